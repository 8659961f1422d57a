package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

func deleteArgs(n int) string {
	return fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n))
}

// TestBrowserDeclineAll: an approver declines all requests of one caller at once. Those that were
// made after the page was shown, and those of others, still wait. The caller cannot ask for what was
// declined three times, until somebody lets it.
func TestBrowserDeclineAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: time.Millisecond})
	b, other := newBrowser(t).strict(w), newBrowser(t).strict(w)
	agent, eve, bob := w.token(t, "ada", "agent"), w.token(t, "eve", "agent"), w.token(t, "bob", "approver")
	w.call(t, agent, "start_outbound_call", ringArgs(1))
	w.pending(t, 1)
	b.login(w, bob)
	b.cards(1)
	other.login(w, w.token(t, "cem", "approver"))
	live := b.stays()
	if got := b.text("[data-all]"); got != "" {
		t.Errorf("one request alone: %q", got)
	}
	first := w.pending(t, 1)[0].ID
	for n := range 2 {
		w.call(t, agent, "delete_contact", deleteArgs(n))
	}
	w.call(t, eve, "start_outbound_call", ringArgs(9))
	b.cards(3)
	b.sees("#approval-"+first+" [data-all]", "Decline all 3 of this caller…")
	for n := range 2 {
		w.call(t, agent, "start_outbound_call", ringArgs(n+2))
	}
	b.sees("#approval-"+first+" [data-all]", "Decline all 5 of this caller…")
	live()
	b.look("light", false)
	b.shot("decline-all-card")
	b.click("#approval-" + first + " [data-all] a")
	b.sees("h1", "Decline all requests of ada")
	b.sees("main li", "3 × Start an outbound call")
	b.sees("main", "2 × Erase a contact")
	b.shot("decline-all-page")
	w.call(t, agent, "start_outbound_call", ringArgs(7)) // after the page
	b.write("input[name=note]", "the wrong list")
	b.click("button.danger")
	b.sees("h1", "Declined: 5")
	if left := w.pending(t, 2); left[0].Credential == left[1].Credential {
		t.Errorf("%+v", left)
	}
	declined, err := w.ledger.Approvals(t.Context(), ledger.ApprovalFilter{State: ledger.Declined})
	if err != nil || len(declined) != 5 {
		t.Fatalf("%d %v", len(declined), err)
	}
	for _, r := range declined {
		if r, err := w.ledger.Approval(t.Context(), r.ID); err != nil || r.By != (ledger.Actor{Name: "bob", Via: "inbox"}) || r.Note != "the wrong list" || r.Requester.Name != "ada" {
			t.Errorf("%+v %v", r, err)
		}
	}

	b.click("main a.button")
	b.cards(2)
	b.sees(".paused", "cannot ask for “Start an outbound call” until")
	other.sees(".paused", "cannot ask for “Start an outbound call” until")
	b.shot("paused")
	b.look("dark", true)
	b.shot("paused-phone")
	b.look("light", false)
	if n := b.count(".paused"); n != 1 { // two deletions are no pause
		t.Errorf("%d pauses", n)
	}
	a := w.call(t, agent, "start_outbound_call", ringArgs(20))
	if a.Outcome != "limit_exceeded" || !strings.Contains(a.Message, "several requests for start_outbound_call were declined, so no more are made until ") || !strings.Contains(a.frame, "retryAfter") {
		t.Errorf("%s", a.frame)
	}
	if a := w.call(t, agent, "delete_contact", deleteArgs(5)); a.Outcome != "approval_pending" {
		t.Errorf("%s", a.frame)
	}
	if a := w.call(t, eve, "start_outbound_call", ringArgs(10)); a.Outcome != "approval_pending" {
		t.Errorf("%s", a.frame)
	}
	b.click(".paused button")
	b.until("that the pause is gone", `document.querySelectorAll(".paused").length == 0`)
	other.until("that the pause is gone", `document.querySelectorAll(".paused").length == 0`)
	if a := w.call(t, agent, "start_outbound_call", ringArgs(20)); a.Outcome != "approval_pending" {
		t.Errorf("%s", a.frame)
	}
	w.verify(t)
}

func (w *world) verify(t testing.TB) {
	t.Helper()
	if r, err := w.ledger.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) > 0 {
		t.Errorf("%+v %v", r.Findings, err)
	}
}

// TestDeclineAll: only who may answer a request declines it together with others or lifts a pause,
// with the stamp of the page, or by the API.
func TestDeclineAll(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := newWorld(t, setup{wait: time.Millisecond, now: func() time.Time { return now }, idle: true})
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	ask := func(action, args string) string {
		t.Helper()
		a := w.call(t, agent, action, args)
		if a.Outcome != "approval_pending" {
			t.Fatalf("%s", a.frame)
		}
		return a.Approval.ID
	}
	id := ask("start_outbound_call", ringArgs(1))
	ask("start_outbound_call", ringArgs(2))
	deletion := ask("delete_contact", deleteArgs(1)) // needs another person
	type reply struct {
		Declined int
		Results  []struct{ ID, State, Error string }
		Paused   []struct{ ID, Action, Barred string }
		Error    string
	}
	bobs := w.loggedIn(t, bob)
	api := func(v *visitor, token, path, body string, want int) (out reply) {
		t.Helper()
		method := "POST"
		if body == "" {
			method = "GET"
		}
		res, text := v.json(method, "/approvals"+path, token, body)
		if err := json.Unmarshal([]byte(text), &out); err != nil || res.StatusCode != want {
			t.Fatalf("%s: HTTP %d, %v: %s", path, res.StatusCode, err, text)
		}
		return out
	}
	api(bobs, w.token(t, "oz", "operator"), "/"+id+"/decline-all", `{}`, http.StatusForbidden)
	api(bobs, w.token(t, "oz", "admin"), "/"+id+"/decline-all", `{}`, http.StatusConflict)
	api(bobs, bob, "/"+ledger.NewID()+"/decline-all", `{}`, http.StatusConflict)
	stamp := bobs.stampsOn("/inbox/approvals/" + id + "/decline-all")["all-"+id]
	for name, bad := range map[string]url.Values{"none": {}, "of another request": {"stamp": {bobs.stampsOn("/inbox/approvals/" + deletion + "/decline-all")["all-"+deletion]}}} {
		if res, text := bobs.post("/inbox/approvals/"+id+"/decline-all", bad); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: HTTP %d: %s", name, res.StatusCode, text)
		}
	}
	if stamp == "" {
		t.Fatal("the page has no stamp")
	}
	w.pending(t, 3)

	// Ada's own person declines what a second person need not answer.
	own := w.visitor(t)
	own.post(strings.TrimPrefix(w.loginLink(t, "ada", false), w.base), nil)
	got := api(own, "", "/"+id+"/decline-all", `{"note":"no"}`, http.StatusOK)
	if got.Declined != 2 || len(got.Results) != 2 || got.Results[0].State != "declined" {
		t.Errorf("%+v", got)
	}
	if got := api(own, "", "/"+id+"/decline-all", `{}`, http.StatusOK); got.Declined != 0 || got.Results == nil {
		t.Errorf("again: %+v", got)
	}
	api(bobs, bob, "/"+id+"/lift", `{}`, http.StatusConflict) // two declines are no pause
	now = now.Add(time.Second)
	last := ask("start_outbound_call", ringArgs(3))
	api(bobs, bob, "/"+last+"/decline-all", `{}`, http.StatusOK)
	if got := api(bobs, bob, "", "", http.StatusOK).Paused; len(got) != 1 || got[0].Action != "start_outbound_call" || got[0].Barred != "" || got[0].ID != last {
		t.Errorf("%+v", got)
	}
	if res, text := bobs.post("/inbox/approvals/"+last+"/lift", url.Values{"stamp": {stamp}}); res.StatusCode != http.StatusForbidden {
		t.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	api(bobs, w.token(t, "oz", "admin"), "/"+last+"/lift", `{}`, http.StatusConflict)
	api(bobs, bob, "/"+id+"/lift", `{}`, http.StatusOK) // any of its requests names the caller and the action
	if got := api(bobs, bob, "", "", http.StatusOK).Paused; len(got) != 0 {
		t.Errorf("%+v", got)
	}
	ask("start_outbound_call", ringArgs(4))
	w.verify(t)
}
