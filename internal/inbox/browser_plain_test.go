package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// withoutScripts disables the scripts of pages.
func (b *browser) withoutScripts() *browser {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	return b
}

// TestBrowserPlain: everything works without scripts: login, approving, declining, unticking,
// revoking, the emergency stop and logging out.
func TestBrowserPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w).withoutScripts()
	agent := w.token(t, "ada", "agent")
	b.goTo(w.base + "/inbox")
	b.show(w.token(t, "bob", "approver", "admin"))
	b.sees("[data-list=empty]", "Nothing waits for you")
	b.sees("noscript", "Reload")
	again := func(cards int) {
		t.Helper()
		b.click("noscript a")
		b.cards(cards)
	}
	approved := w.later(t, agent, "start_outbound_call", ring)
	w.pending(t, 1)
	b.never(time.Second, "the page was updated, so scripts are enabled", `document.querySelector("[data-card]")`)
	again(1)
	b.sees("button[value=approve]", "Ring this number")
	b.sees("button[value=decline]", "Don't ring")
	b.write("input[name=note]", "typed, and Enter\r")
	b.click("button[value=approve]")
	b.until("the page of the request", `location.pathname.startsWith("/inbox/approvals/")`)
	if a := get(t, approved); a.Outcome != "done" || a.ApprovedBy != "bob" {
		t.Errorf("%s", a.frame)
	}
	b.click("noscript a")
	b.sees("[data-list=decided]", "bob approved, and it ran")
	b.click(`.center a[href="/inbox"]`)

	declined := w.later(t, agent, "start_outbound_call", ringArgs(1))
	w.pending(t, 1)
	again(1)
	b.write("input[name=note]", "Not today.")
	b.click("button[value=decline]")
	b.sees("[data-list=decided]", "bob declined")
	b.sees("[data-list=decided]", "Not today.")
	if a := get(t, declined); a.Outcome != "declined" {
		t.Errorf("%s", a.frame)
	}
	b.click(`.center a[href="/inbox"]`)

	out := w.later(t, agent, "start_outbound_call", ringArgs(2))
	left := w.pending(t, 1)[0].ID
	in := w.later(t, agent, "start_outbound_call", ringArgs(3))
	w.pending(t, 2)
	again(1)
	b.sees("button[value=approve]", "Approve what is ticked")
	b.sees("button[value=decline]", "Decline what is ticked")
	b.click(`[data-line="` + left + `"] input[type=checkbox]`)
	b.click("button[value=approve]")
	if a := get(t, in); a.Outcome != "done" || w.ran("start_outbound_call") != 2 {
		t.Errorf("%s", a.frame)
	}
	if req := w.pending(t, 1)[0]; req.ID != left {
		t.Errorf("%s is pending, want %s", req.ID, left)
	}
	// Errors: nothing is ticked, or another person answered first.
	b.click(`.center a[href="/inbox"]`)
	b.cards(1)
	carol := w.loggedIn(t, w.token(t, "carol", "approver"))
	if res, _ := carol.post("/inbox/answer", map[string][]string{"answer": {"approve"}}); res.StatusCode != 400 {
		t.Errorf("nothing ticked: HTTP %d", res.StatusCode)
	}
	if res, _ := carol.post("/inbox/answer", map[string][]string{"line": carol.stamps(), "answer": {"decline"}}); res.StatusCode != 303 {
		t.Fatalf("HTTP %d", res.StatusCode)
	}
	if a := get(t, out); a.Outcome != "declined" {
		t.Errorf("%s", a.frame)
	}
	b.click("button[value=approve]")
	b.sees("main", "Your answer was not recorded")
	b.sees("main", "carol answered this already")
	b.click("main a.button")

	b.click(`a[href="/inbox/stop"]`)
	b.click("button[value=everything]")
	b.sees("h1", "Everything is stopped")
	b.click(`form[action="/inbox/resume"] button`)
	b.sees("h1", "Emergency stop")
	b.click(`form[action="/inbox/logout"] button`)
	b.sees("h1", "Log in")
	if n := w.ran("start_outbound_call"); n != 2 {
		t.Errorf("it ran %d times", n)
	}
}
