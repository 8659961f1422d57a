package inbox_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

func ringArgs(n int) string {
	return fmt.Sprintf(`{"input":{"phoneNumber":"+4420794601%02d"}}`, n)
}

// numberOf returns the number that a payload rings.
func numberOf(payload string) string {
	_, number, _ := strings.Cut(payload, `"phoneNumber":"`)
	number, _, _ = strings.Cut(number, `"`)
	return number
}

// watchCard records each state of the first card: the time, the lines, the ticked ones, and whether
// it can be approved.
const watchCard = `(() => {
	const note = () => {
		const card = document.querySelector("[data-card]"), approve = card && card.querySelector("button[value=approve]");
		if (!approve) return;
		const now = {at: performance.now(), lines: card.querySelectorAll("[data-line]").length, ticked: card.querySelectorAll("input[name=line]:checked").length, disabled: approve.disabled};
		const last = seen[seen.length - 1];
		if (!last || last.lines != now.lines || last.ticked != now.ticked || last.disabled != now.disabled) seen.push(now);
	};
	window.seen = [];
	note();
	new MutationObserver(note).observe(document.querySelector("[data-live]"), {subtree: true, childList: true, attributes: true});
	return true;
})()`

// look is one state that watchCard recorded.
type look struct {
	At            float64
	Lines, Ticked int
	Disabled      bool
}

// TestBrowserMany: the requests of one caller within a minute share a card. The ticked ones run.
// The others stay pending, and are not ticked any more.
func TestBrowserMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	calls := map[string]<-chan answer{}
	for n := range 4 {
		calls[fmt.Sprintf("+4420794601%02d", n)] = w.later(t, agent, "start_outbound_call", ringArgs(n))
	}
	all := w.pending(t, 4)
	eve := w.later(t, w.token(t, "eve", "agent"), "start_outbound_call", ringArgs(50))
	w.pending(t, 5)
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(2)
	card := "#approval-" + all[0].ID
	b.sees(card+" h2", "4 requests: Start an outbound call")
	if lines, ticked := b.count(card+" [data-line]"), b.count(card+" input[type=checkbox]:checked"); lines != 4 || ticked != 4 {
		t.Fatalf("%d lines, %d ticked", lines, ticked)
	}
	live := b.stays()
	number := func(req ledger.ApprovalRequest) string {
		t.Helper()
		req, err := w.ledger.Approval(t.Context(), req.ID)
		if err != nil {
			t.Fatal(err)
		}
		return numberOf(string(req.Payload))
	}
	var want, left []string
	for n, req := range all {
		if n%2 == 0 { // among them the first, which gives the card its id
			want = append(want, number(req))
			continue
		}
		left = append(left, number(req))
		b.click(`[data-line="` + req.ID + `"] input[type=checkbox]`)
	}
	eval[bool](b, watchCard)
	b.click(card + " button[value=approve]")
	for _, to := range want {
		if a := get(t, calls[to]); a.Outcome != "done" || a.ApprovedBy != "bob" {
			t.Errorf("%s: %s", to, a.frame)
		}
	}
	b.until("the two remaining lines", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 2`)
	var ran []string
	for _, body := range w.sent(rpctest.Run, "start_outbound_call") {
		ran = append(ran, numberOf(body))
	}
	slices.Sort(ran)
	slices.Sort(want)
	if !slices.Equal(ran, want) {
		t.Errorf("%q ran, want %q", ran, want)
	}
	w.pending(t, 3)
	for _, to := range left {
		select {
		case a := <-calls[to]:
			t.Errorf("%s was answered: %s", to, a.frame)
		default:
		}
	}
	rest := 0
	for _, s := range eval[[]look](b, `seen`) {
		if s.Lines != 2 {
			continue
		}
		if rest++; s.Ticked != 0 || !s.Disabled {
			t.Errorf("a remaining line is ticked, or the button is enabled: %+v", s)
		}
	}
	if rest == 0 {
		t.Error("the card with the remaining lines was never shown")
	}
	for range 2 {
		b.click("input[type=checkbox]:not(:checked)")
	}
	b.click("[data-card] button[value=decline]")
	for _, to := range left {
		if a := get(t, calls[to]); a.Outcome != "declined" {
			t.Errorf("%s: %s", to, a.frame)
		}
	}
	b.cards(1)
	live()
	b.click("button[value=decline]")
	if a := get(t, eve); a.Outcome != "declined" || w.ran("start_outbound_call") != 2 {
		t.Errorf("%s, and it ran %d times", a.frame, w.ran("start_outbound_call"))
	}
}

// TestBrowserJoin: a request that joins an open card is not ticked. For a moment neither that card
// nor one that moves down can be answered. What is typed, and the focus, are kept.
func TestBrowserJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	w.call(t, agent, "start_outbound_call", ringArgs(0))
	w.call(t, agent, "start_outbound_call", ringArgs(1))
	w.call(t, w.token(t, "eve", "agent"), "start_outbound_call", ringArgs(50))
	w.pending(t, 3)
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(2)
	live := b.stays()
	b.write("[data-card] input[name=note]", "half a rea")
	eval[bool](b, watchCard)
	eval[bool](b, `(() => {
		window.below = [];
		const decline = document.querySelectorAll("[data-card]")[1].querySelector("button[value=decline]");
		new MutationObserver(() => below.push(decline.disabled)).observe(decline, {attributes: true});
		return true;
	})()`)
	w.call(t, agent, "start_outbound_call", ringArgs(2))
	b.until("the third line", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 3`)
	// Typing does not enable a held card.
	eval[bool](b, `document.querySelector("input[name=note]").dispatchEvent(new Event("input", {bubbles: true}))`)
	b.until("that it can be approved", `!document.querySelector("[data-card] button[value=approve]").disabled`)
	seen := eval[[]look](b, `seen`)
	at := slices.IndexFunc(seen, func(s look) bool { return s.Lines == 3 })
	open := slices.IndexFunc(seen, func(s look) bool { return s.Lines == 3 && !s.Disabled })
	if at < 1 || open <= at || seen[0].Ticked != 2 || seen[0].Disabled {
		t.Fatalf("%+v", seen)
	}
	for _, s := range seen[at:] {
		if s.Ticked != 2 {
			t.Errorf("the new line is ticked: %+v", seen)
		}
	}
	if d := seen[open].At - seen[at].At; d < 1000 {
		t.Errorf("the card that changed was held for %.0f ms", d)
	}
	b.until("that the card below was held, and is not any more", `below[0] === true && below[below.length - 1] === false`)
	b.press("son") // the field still has the focus; else these were commands of the page
	if got := eval[string](b, `document.querySelector("input[name=note]").value`); got != "half a reason" {
		t.Errorf("of the typed text %q is left", got)
	}
	// Approving answers the two ticked lines.
	b.click("[data-card] button[value=approve]")
	b.until("one line less", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 1`)
	if all := w.pending(t, 2); w.ran("start_outbound_call") != 2 {
		t.Errorf("%d are pending, %d ran", len(all), w.ran("start_outbound_call"))
	}
	live()
}

// TestBrowserNumber: approving calls to more than ten people needs their number. It changes with
// the ticked lines. A wrong number changes nothing, also without the page's script.
func TestBrowserNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	for n := range 12 {
		w.call(t, agent, "start_outbound_call", ringArgs(n))
	}
	all := w.pending(t, 12)
	b.login(w, bob)
	b.cards(1)
	b.sees(".people", "Type 12 to approve")
	const disabled = `document.querySelector("button[value=approve]").disabled`
	typed := func(s string, want bool) {
		t.Helper()
		eval[string](b, `document.querySelector("input[name=people]").value = ""`)
		b.write("input[name=people]", s)
		if got := eval[bool](b, disabled); got != want {
			t.Errorf("with %q typed the button is disabled: %t", s, got)
		}
	}
	// The script may start a moment after the card is shown.
	b.until("that it cannot be approved without a number, but denied", disabled+` && !document.querySelector("button[value=decline]").disabled`)
	typed("11", true)
	typed("12 ", false)
	typed("120", true)
	typed("012", true)
	typed("12", false)
	first := `[data-line="` + all[3].ID + `"] input[type=checkbox]`
	b.click(first)
	b.sees(".people", "Type 11 to approve")
	if !eval[bool](b, disabled) {
		t.Error("the old number is accepted after a line was unticked")
	}
	b.click(`[data-line="` + all[4].ID + `"] input[type=checkbox]`)
	b.until("that no number is needed for ten", `document.querySelector(".people").hidden && !`+disabled)
	b.click(first)
	b.sees(".people", "Type 11 to approve")
	typed("11", false)

	v := w.loggedIn(t, bob)
	form := url.Values{"line": v.stamps(), "answer": {"approve"}}
	for _, people := range []string{"", "0", "11", "13", "-12", "12a", "12.0", "twelve"} {
		form.Set("people", people)
		if res, text := v.post("/inbox/answer", form); res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), "type the number of people that this reaches: 12") {
			t.Errorf("with the number %q: HTTP %d: %s", people, res.StatusCode, text)
		}
	}
	if now := w.pending(t, 12); slices.ContainsFunc(now, func(req ledger.ApprovalRequest) bool { return req.State != ledger.Pending }) || w.ran("start_outbound_call") != 0 {
		t.Fatalf("a wrong number changed something: %+v", now)
	}
	// A single request needs no number, and does not answer the others.
	who := approval.Person{Name: "bob", Roles: []string{"approver"}, Via: "inbox"}
	if got := w.approvals.Answer(t.Context(), []string{all[0].ID}, who, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Error(got[0].Err)
	}
	b.until("eleven lines", `document.querySelectorAll("[data-line]").length == 11`)
	b.sees(".people", "10") // one of the eleven ticked lines was answered
	b.until("that it can be approved", `!`+disabled)
	b.click("button[value=approve]")
	b.until("the remaining line", `document.querySelectorAll("[data-line]").length == 1`)
	if left := w.pending(t, 1); left[0].ID != all[4].ID || w.ran("start_outbound_call") != 11 {
		t.Errorf("%s is pending, %d ran", left[0].ID, w.ran("start_outbound_call"))
	}
}
