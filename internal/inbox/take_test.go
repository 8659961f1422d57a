package inbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// Somebody whose login grew old between the yes and the taking is led to a new login, not past one: what was issued is
// destroyed a quarter of an hour after.
func TestTakeWithAnOldLogin(t *testing.T) {
	clock := &ahead{}
	w := newWorld(t, setup{now: clock.now})
	w.up.On(rpctest.Run, "issue_operator_access_token", rpctest.OK(`{"token":"opr_secret"}`))
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	old := w.loggedIn(t, bob)
	clock.add(14 * time.Minute)
	call := w.later(t, agent, "issue_operator_access_token", `{"input":{"operatorEmail":"o@example.org"}}`)
	q := w.asked(t, 1)[0]
	if res, text := old.post("/inbox/answer", url.Values{"line": {old.stampsOn("/inbox")[q.ID]}, "answer": {"approve"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	if a := get(t, call); a.Outcome != "done" {
		t.Fatalf("%s", a.frame)
	}
	if _, page := old.get("/inbox"); !strings.Contains(page, `action="/inbox/take"`) {
		t.Error("a fresh login is not offered to take it")
	}
	stamp := old.stampsOn("/inbox")["take-"+q.ID]
	clock.add(2 * time.Minute)
	if _, page := old.get("/inbox"); strings.Contains(page, `action="/inbox/take"`) || !strings.Contains(page, `href="/inbox/login?again"`) {
		t.Error("an old login is not led to a new one")
	}
	if res, page := old.post("/inbox/take", url.Values{"id": {q.ID}, "stamp": {stamp}}); res.StatusCode != http.StatusConflict || strings.Contains(page, "opr_secret") {
		t.Errorf("an old login takes it: HTTP %d", res.StatusCode)
	}
	anew := w.loggedIn(t, bob)
	if res, page := anew.post("/inbox/take", url.Values{"id": {q.ID}, "stamp": {anew.stampsOn("/inbox")["take-"+q.ID]}}); res.StatusCode != http.StatusOK || !strings.Contains(page, "opr_secret") {
		t.Errorf("a new login does not take it: HTTP %d", res.StatusCode)
	}
}

// The server opens its person's browser unless they look at what waits: a page about one question shows them no other.
func TestBrowserLooksOn(t *testing.T) {
	w := newWorld(t, setup{wait: time.Minute})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	w.later(t, agent, "delete_contact", erase)
	q := w.asked(t, 1)[0]
	pages := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); w.box.Pages() != n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d pages are said to be looked at, not %d", w.box.Pages(), n)
			}
		}
	}
	b.login(w, bob)
	pages(1)
	b.goTo(w.base + "/inbox/approvals/" + q.ID)
	pages(0)
	b.cards(1)
	b.click("button[value=decline]")
	b.sees("[data-list=decided]", "bob declined")
	pages(0)
}

// What has a day waits behind what has a quarter of an hour, where there is more than a page shows.
func TestUrgentIsShown(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	bob := w.loggedIn(t, w.token(t, "bob", "approver"))
	for c := range 2 {
		agent := w.token(t, fmt.Sprint("caller ", c), "agent")
		for n := range 31 {
			w.call(t, agent, "delete_contact", fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)))
		}
	}
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	asked := w.asked(t, 63)
	_, page := bob.get("/inbox")
	if last := asked[62].ID; !strings.Contains(page, `data-line="`+last+`"`) || !strings.Contains(page, "3 more are pending") {
		t.Errorf("what has to be answered soon is not on the page, or more is: %v", strings.Count(page, "data-line="))
	}
}
