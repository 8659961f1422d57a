package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// sent returns the payloads of an action that reached an endpoint, in order.
func (w *world) sent(endpoint, action string) (all []string) {
	for _, r := range w.up.Requests() {
		if r.Endpoint == endpoint && r.Action == action {
			all = append(all, string(r.Body))
		}
	}
	return all
}

// TestBrowserApprove: a request appears on the open page. Approving runs exactly the requested
// payload, once, and the call that waits gets the result.
func TestBrowserApprove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	b.sees("[data-list=empty]", "Nothing waits for you")
	live := b.stays()
	call := w.later(t, agent, "start_outbound_call", ring)
	b.cards(1)
	req := w.pending(t, 1)[0]
	if title, badge := eval[string](b, `document.title`), b.text("[data-count]"); title != "(1) Inbox · Sippet" || badge != "1" {
		t.Errorf("title %q, badge %q", title, badge)
	}
	if got := b.text("[data-list=empty]"); got != "" {
		t.Errorf("beside the card it says %q", got)
	}
	card := b.text("#approval-" + req.ID)
	for _, want := range []string{"REACHES PEOPLE", "+44 20 7946 0000", "Requested by ada", "Claude Desktop 1.9", "cannot be undone", "She asked to be rung back about her invoice."} {
		if !strings.Contains(strings.ToUpper(card), strings.ToUpper(want)) {
			t.Errorf("the card does not say %q:\n%s", want, card)
		}
	}
	if n := w.ran("start_outbound_call"); n != 0 {
		t.Fatalf("it ran %d times before anybody approved", n)
	}
	b.click("#approval-" + req.ID + " button[value=approve]")
	if a := get(t, call); a.Outcome != "done" || a.ApprovedBy != "bob" {
		t.Errorf("%s", a.frame)
	}
	b.cards(0)
	b.sees("[data-list=decided]", "bob approved, and it ran")
	b.sees("[data-list=empty]", "Nothing waits for you")
	b.until("a title without a number", `document.title == "Inbox · Sippet" && document.querySelector("[data-count]").hidden`)
	live()
	const payload = `{"action":"start_outbound_call","input":{"contactId":"` + anID + `"}}`
	if got := w.sent(rpctest.Run, "start_outbound_call"); len(got) != 1 || got[0] != payload {
		t.Errorf("what ran: %q", got)
	}
	for _, got := range w.sent(rpctest.Validate, "start_outbound_call") {
		if got != payload {
			t.Errorf("what was validated: %s", got)
		}
	}
}

// TestBrowserLate: the call has stopped waiting. Its link shows the request, and approving there
// runs it. The requester gets the result once: with approval_status, or by the same call again,
// which runs nothing. After that the same call is a new request.
func TestBrowserLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 100 * time.Millisecond})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	for n, c := range []struct {
		name, args string
		ask        bool // for the status, before the same call
	}{
		{"the status first", `{"input":{"phoneNumber":"+442079460123"}}`, true},
		{"the same call", `{"input":{"phoneNumber":"+442079460124"}}`, false},
	} {
		first := w.call(t, agent, "start_outbound_call", c.args)
		id := first.Approval.ID
		if first.Outcome != "approval_pending" || first.Approval.Link != w.base+"/inbox/approvals/"+id || first.Approval.Needs != "confirm" || first.Ran != false {
			t.Fatalf("%s: %s", c.name, first.frame)
		}
		status := func() answer { t.Helper(); return w.call(t, agent, "approval_status", `{"id":"`+id+`"}`) }
		if a := status(); a.Outcome != "approval_pending" || a.Approval.ID != id {
			t.Errorf("%s: before the answer: %s", c.name, a.frame)
		}
		if a := w.call(t, agent, "start_outbound_call", c.args); a.Outcome != "approval_pending" || a.Approval.ID != id {
			t.Errorf("%s: the same call before the answer: %s", c.name, a.frame)
		}
		b.goTo(first.Approval.Link)
		live := b.stays()
		b.click("#approval-" + id + " button[value=approve]")
		b.sees("[data-list=decided]", "bob approved, and it ran")
		b.cards(0)
		live()
		if c.ask {
			if a := status(); a.Outcome != "done" || a.ApprovedBy != "bob" || len(a.Result) == 0 {
				t.Errorf("%s: %s", c.name, a.frame)
			}
		} else {
			if a := w.call(t, agent, "start_outbound_call", c.args); a.Outcome != "done" || a.ApprovedBy != "bob" || len(a.Result) == 0 {
				t.Errorf("%s: %s", c.name, a.frame)
			}
			if a := status(); a.Outcome != "done" || a.ApprovedBy != "bob" { // a status may be read again
				t.Errorf("%s: %s", c.name, a.frame)
			}
		}
		if got := w.ran("start_outbound_call"); got != n+1 {
			t.Errorf("%s: it ran %d times", c.name, got-n)
		}
		again := w.call(t, agent, "start_outbound_call", c.args)
		if again.Outcome != "approval_pending" || again.Approval.ID == id {
			t.Errorf("%s: after it got the result: %s", c.name, again.frame)
		}
		b.goTo(again.Approval.Link)
		b.sees(".warn", "The same call ran")
		b.click("button[value=decline]")
		b.sees("[data-list=decided]", "bob declined")
		if got := w.ran("start_outbound_call"); got != n+1 {
			t.Errorf("%s: it ran %d times", c.name, got-n)
		}
	}
	if a := w.call(t, w.token(t, "eve", "agent"), "approval_status", `{"id":"`+w.ended(t)[0].ID+`"}`); a.Outcome != "invalid_arguments" {
		t.Errorf("the request of another caller: %s", a.frame)
	}
}

// ended returns the decided requests, the last one first.
func (w *world) ended(t *testing.T) []ledger.ApprovalRequest {
	t.Helper()
	all, err := w.ledger.Approvals(t.Context(), ledger.ApprovalFilter{Ended: true})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d requests have ended, %v", len(all), err)
	}
	return all
}

// TestBrowserDecline: the caller gets the note of the person who declined, and nothing runs.
func TestBrowserDecline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	b.login(w, w.token(t, "bob", "approver"))
	call := w.later(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	b.cards(1)
	const words = `No: she moved to "Bristol" <b>last week</b>, ask Grace`
	b.write("input[name=note]", words)
	b.click("button[value=decline]")
	a := get(t, call)
	if a.Outcome != "declined" || !strings.Contains(a.Message, "bob declined start_outbound_call") || !strings.Contains(a.Message, words) || a.Ran != false {
		t.Errorf("%s", a.frame)
	}
	b.cards(0)
	b.sees("[data-list=decided]", "bob declined")
	b.sees("[data-list=decided]", words)
	if n := w.ran("start_outbound_call"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
	if req := w.ended(t)[0]; req.State != ledger.Declined || req.By.String() != "bob, via inbox" {
		t.Errorf("%+v", req)
	}
}
