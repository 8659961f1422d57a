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

// TestTakeWithAnOldLogin: if the login got too old after approving, taking needs a new login. It is
// still possible then, until what was issued is destroyed after 15 minutes.
func TestTakeWithAnOldLogin(t *testing.T) {
	clock := &offsetClock{}
	w := newWorld(t, setup{now: clock.now})
	w.up.On(rpctest.Run, "issue_operator_access_token", rpctest.OK(`{"token":"opr_secret"}`))
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	old := w.loggedIn(t, bob)
	clock.add(14 * time.Minute)
	call := w.later(t, agent, "issue_operator_access_token", `{"input":{"operatorEmail":"o@example.org"}}`)
	req := w.pending(t, 1)[0]
	if res, text := old.post("/inbox/answer", url.Values{"line": {old.stampsOn("/inbox")[req.ID]}, "answer": {"approve"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	if a := get(t, call); a.Outcome != "done" {
		t.Fatalf("%s", a.frame)
	}
	if _, page := old.get("/inbox"); !strings.Contains(page, `action="/inbox/take"`) {
		t.Error("a recent login is not offered to take it")
	}
	stamp := old.stampsOn("/inbox")["take-"+req.ID]
	clock.add(2 * time.Minute)
	if _, page := old.get("/inbox"); strings.Contains(page, `action="/inbox/take"`) || !strings.Contains(page, `href="/inbox/login?again"`) {
		t.Error("an old login gets no link to a new one")
	}
	if res, page := old.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {stamp}}); res.StatusCode != http.StatusConflict || strings.Contains(page, "opr_secret") {
		t.Errorf("an old login takes it: HTTP %d", res.StatusCode)
	}
	renewed := w.loggedIn(t, bob)
	if res, page := renewed.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {renewed.stampsOn("/inbox")["take-"+req.ID]}}); res.StatusCode != http.StatusOK || !strings.Contains(page, "opr_secret") {
		t.Errorf("a new login does not take it: HTTP %d", res.StatusCode)
	}
}

// TestBrowserVisiblePages: a visible page counts only if it shows all pending requests. The server
// opens the browser if there is none.
func TestBrowserVisiblePages(t *testing.T) {
	w := newWorld(t, setup{wait: time.Minute})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	w.later(t, agent, "delete_contact", erase)
	req := w.pending(t, 1)[0]
	pages := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); w.box.Pages() != n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d visible pages, want %d", w.box.Pages(), n)
			}
		}
	}
	b.login(w, bob)
	pages(1)
	b.goTo(w.base + "/inbox/approvals/" + req.ID)
	pages(0)
	b.cards(1)
	b.click("button[value=decline]")
	b.sees("[data-list=decided]", "bob declined")
	pages(0)
}

// TestUrgentIsShown: if a page cannot show all requests, it shows those that expire first.
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
	asked := w.pending(t, 63)
	_, page := bob.get("/inbox")
	if last := asked[62].ID; !strings.Contains(page, `data-line="`+last+`"`) || !strings.Contains(page, "3 more are pending") {
		t.Errorf("the most urgent request is not on the page, or too many are: %v", strings.Count(page, "data-line="))
	}
}

// TestBrowserSameElements: an update of the page replaces only what changed. A click, the focus and
// a selection on anything else are not lost.
func TestBrowserSameElements(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	w.up.On(rpctest.Run, "issue_operator_access_token", rpctest.OK(`{"token":"opr_secret"}`))
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	w.call(t, agent, "issue_operator_access_token", `{"input":{"operatorEmail":"o@example.org"}}`)
	b.cards(1)
	b.click("button[value=approve]")
	b.sees("[data-list=decided]", "bob approved, and it ran")
	b.sees(".handover", "you can take it once")
	b.until("the times in the reader's words", `document.querySelector(".ended time").innerText == "just now"`)
	eval[bool](b, `(() => {
		window.before = [...document.querySelectorAll(".handover, .handover button, .ended, .ended a")];
		before[1].focus();
		return true;
	})()`)
	same := func(after string) {
		t.Helper()
		if !eval[bool](b, `before.length == 4 && before.every(e => e.isConnected) && document.activeElement == before[1]`) {
			t.Errorf("%s: an element was replaced, or lost the focus", after)
		}
	}
	w.call(t, agent, "start_outbound_call", ring)
	b.cards(1)
	same("a new card")
	id := w.pending(t, 1)[0].ID
	carol := w.loggedIn(t, w.token(t, "carol", "approver"))
	if res, text := carol.post("/inbox/answer", url.Values{"line": {carol.stampsOn("/inbox")[id]}, "answer": {"decline"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("HTTP %d: %s", res.StatusCode, text)
	}
	b.cards(0)
	b.sees("[data-list=decided] li:first-child", "carol declined")
	same("a new decided request")
	b.click(".handover button")
	b.sees("h1", "What was issued")
}
