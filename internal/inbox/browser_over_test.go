package inbox_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestBrowserRevoke: an unused approval can be revoked. Only the approval of a read stays unused:
// the call has stopped waiting, and must be made again to get the data.
func TestBrowserRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 100 * time.Millisecond})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	const read = `{"input":{"id":"` + anID + `"}}`
	asks := func() string {
		t.Helper()
		a := w.call(t, agent, "get_campaign", read)
		if a.Outcome != "approval_pending" {
			t.Fatalf("%s", a.frame)
		}
		return a.Approval.ID
	}
	b.login(w, w.token(t, "bob", "approver"))
	id := asks()
	b.cards(1)
	b.sees("#approval-"+id, "It reads only and changes nothing.")
	live := b.stays()
	b.click("button[value=approve]")
	b.sees("#approval-"+id+" .barred", "bob approved this. The approval is not used yet.")
	if n := b.count("button[value=approve], button[value=decline]"); n != 0 {
		t.Errorf("%d buttons to answer again", n)
	}
	b.click("#approval-" + id + " button[value=revoke]")
	b.cards(0)
	b.sees("[data-list=decided]", "revoked by bob")
	next := asks()
	if next == id || w.ran("get_campaign") != 0 {
		t.Fatalf("after it was revoked: request %s, it ran %d times", next, w.ran("get_campaign"))
	}
	b.cards(1)
	b.click("#approval-" + next + " button[value=approve]")
	b.sees("#approval-"+next, "not used yet")
	if a := w.call(t, agent, "get_campaign", read); a.Outcome != "done" || w.ran("get_campaign") != 1 {
		t.Errorf("with an unused approval: %s", a.frame)
	}
	b.cards(0)
	b.sees("[data-list=decided] li:first-child", "bob approved, and it ran")
	live()
}

// TestBrowserExpire: a request that nobody answers expires. Its card is removed, the call gets the
// outcome, and a late answer is rejected.
func TestBrowserExpire(t *testing.T) {
	t.Parallel()
	clock := &offsetClock{}
	w := newWorld(t, setup{now: clock.now, wait: time.Minute})
	b := newBrowser(t).strict(w)
	bob := w.token(t, "bob", "approver")
	b.login(w, bob)
	late := w.loggedIn(t, bob)
	call := w.later(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	b.cards(1)
	req := w.pending(t, 1)[0]
	live, form := b.stays(), url.Values{"line": {late.stampsOn("/inbox")[req.ID]}, "answer": {"approve"}}
	clock.add(req.Expires.Sub(clock.now()) - 10*time.Second)
	b.never(1500*time.Millisecond, "the card was removed too early", `document.querySelectorAll("[data-card]").length == 0`)
	clock.add(10 * time.Second)
	b.cards(0)
	b.sees("[data-list=decided]", "expired without an answer")
	b.until("a title without a number", `document.title == "Inbox · Sippet"`)
	live()
	if a := get(t, call); a.Outcome != "denied" || !strings.Contains(a.Message, "nobody answered the approval request in time") || a.Ran != false {
		t.Errorf("%s", a.frame)
	}
	if res, text := late.post("/inbox/answer", form); res.StatusCode != 409 || !strings.Contains(text, "Your answer was not recorded") {
		t.Errorf("a late approval: HTTP %d: %s", res.StatusCode, text)
	}
	b.goTo(w.base + "/inbox/approvals/" + req.ID)
	b.sees("[data-list=decided]", "expired without an answer")
	if b.count("button[name=answer]") != 0 {
		t.Error("an expired request can be answered")
	}
	if now, err := w.ledger.Approval(t.Context(), req.ID); err != nil || now.State != ledger.Pending || w.ran("start_outbound_call") != 0 {
		t.Errorf("the request is %s, it ran %d times, %v", now.State, w.ran("start_outbound_call"), err)
	}
}

// TestBrowserRunning: the page shows that a call is running. If Sippet rejects the call, the page
// shows its message.
func TestBrowserRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	hold := make(chan struct{})
	w.up.On(rpctest.Run, "start_outbound_call", rpctest.InTurn(rpctest.Always(rpctest.Answer{Usual: true, Until: hold}),
		rpctest.Refuse("invalid", "the number <b>rings</b> nowhere"), rpctest.HTML))
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	approve := func(number string) <-chan answer {
		t.Helper()
		call := w.later(t, agent, "start_outbound_call", `{"input":{"phoneNumber":"`+number+`"}}`)
		b.cards(1)
		b.click("button[value=approve]")
		return call
	}
	call := approve("+442079460123")
	b.cards(0)
	b.sees("[data-list=decided] li:first-child", "bob approved, and it is running")
	close(hold)
	b.sees("[data-list=decided] li:first-child", "bob approved, and it ran")
	if a := get(t, call); a.Outcome != "done" {
		t.Errorf("%s", a.frame)
	}
	call = approve("+442079460124")
	b.sees("[data-list=decided] li:first-child", "bob approved, but Sippet rejected it")
	b.sees("[data-list=decided] li:first-child", "the number <b>rings</b> nowhere")
	if a := get(t, call); a.Outcome != "upstream_error" {
		t.Errorf("%s", a.frame)
	}
	call = approve("+442079460125")
	b.sees("[data-list=decided] li:first-child", "whether it ran is unknown")
	b.sees("[data-list=decided] li:first-child", "sippet-mcp audit resolve ")
	if a := get(t, call); a.Outcome != "outcome_unknown" {
		t.Errorf("%s", a.frame)
	}
}

// TestBrowserProgramEnded: the card of a request whose program has ended loses its buttons and says
// why, until it would have expired. Neither the page nor the API can approve it.
func TestBrowserProgramEnded(t *testing.T) {
	t.Parallel()
	clock := &offsetClock{}
	w := newWorld(t, setup{now: clock.now, wait: 1})
	b := newBrowser(t).strict(w)
	bob := w.token(t, "bob", "approver")
	b.login(w, bob)
	late := w.loggedIn(t, bob)
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	other := w.call(t, w.token(t, "eve", "agent"), "start_outbound_call", ringArgs(1)).Approval.ID
	b.cards(2)
	req := w.pending(t, 2)[0]
	live, form := b.stays(), url.Values{"line": {late.stampsOn("/inbox")[req.ID]}, "answer": {"approve"}}
	why := approval.ProgramEnded()
	if err := w.ledger.AnswerApproval(t.Context(), req, ledger.Reply{State: ledger.Revoked, Outcome: why.Outcome, Fault: ledger.EncodeError(why)}); err != nil {
		t.Fatal(err)
	}
	card := "#approval-" + req.ID
	b.sees(card, "This cannot be approved any more: the program that asked has ended. Nothing ran.")
	b.cards(2)
	if n := b.count(card + " button:not([hidden]), " + card + " a, " + card + " input:not([type=hidden])"); n != 0 || b.count("#approval-"+other+" button[value=approve]") != 1 {
		t.Errorf("%d controls", n)
	}
	if title := eval[string](b, `document.title`); title != "(1) Inbox · Sippet" || b.text("[data-list=decided]") != "" || b.count(card+" .left") != 0 {
		t.Errorf("title %q, decided %q, the card:\n%s", title, b.text("[data-list=decided]"), b.text(card))
	}
	if res, text := late.post("/inbox/answer", form); res.StatusCode != 409 || !strings.Contains(text, "Your answer was not recorded") {
		t.Errorf("approving it: HTTP %d: %s", res.StatusCode, text)
	}
	if _, text := late.json("GET", "/approvals", bob, ""); !strings.Contains(text, `"state":"revoked"`) || !strings.Contains(text, "the program that asked has ended; nothing ran") || strings.Contains(text, `"stamp":"`+req.ID) {
		t.Errorf("the API: %s", text)
	}
	one := b.tab()
	one.goTo(w.base + "/inbox/approvals/" + req.ID)
	one.sees("[data-list=decided]", "cannot be approved any more")
	clock.add(req.Expires.Sub(clock.now()))
	b.until("that the card is gone", `!document.querySelector(`+quoted(card)+`)`)
	b.sees("[data-list=decided]", "cannot be approved any more")
	live()
	if w.ran("start_outbound_call") != 0 {
		t.Error("it ran")
	}
}

// TestBrowserDeparted: a card says that the program of its requester no longer waits, until it comes
// back.
func TestBrowserDeparted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	bob, agent := w.token(t, "bob", "approver"), w.token(t, "ada", "agent")
	b.login(w, bob)
	id := w.call(t, agent, "start_outbound_call", ring).Approval.ID
	b.cards(1)
	live, text := b.stays(), "The assistant no longer waits for the answer, since just now. It gets the result when it asks."
	if b.count(".departed") != 0 {
		t.Errorf("%s", b.text(".departed"))
	}
	if err := w.ledger.RecordUnanswered(t.Context(), id, ledger.ClientEvent{Kind: ledger.ClientDeparted}); err != nil {
		t.Fatal(err)
	}
	b.sees(".departed", text)
	if _, got := w.loggedIn(t, bob).json("GET", "/approvals/"+id, bob, ""); !strings.Contains(got, `"departed":"20`) {
		t.Errorf("the API: %s", got)
	}
	w.call(t, agent, "start_outbound_call", ring)
	b.until("that it waits again", `!document.querySelector(".departed")`)
	if _, got := w.loggedIn(t, bob).json("GET", "/approvals/"+id, bob, ""); strings.Contains(got, "departed") {
		t.Errorf("the API: %s", got)
	}
	b.click("button[value=approve]")
	b.cards(0)
	live()
}
