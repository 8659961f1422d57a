package inbox_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

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
