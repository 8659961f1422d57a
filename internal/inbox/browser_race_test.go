package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// withoutEvents makes new pages process no event, as over a slow connection. A test calls changed
// in the page to deliver one.
func (b *browser) withoutEvents() {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.EventSource = class { addEventListener(_, f) { window.changed = f } close() {} }`})
		return err
	}))
}

// TestBrowserRace: two approvers click at the same moment. One answer counts, the call runs once,
// and the other person sees who was faster.
func TestBrowserRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	people := map[string]*browser{"bob": newBrowser(t).strict(w)}
	people["carol"] = newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	for name, b := range people {
		b.withoutEvents()
		b.login(w, w.token(t, name, "approver"))
	}
	won := map[string]int{}
	for round, press := range []string{"approve", "approve", "approve", "decline"} {
		call := w.later(t, agent, "start_outbound_call", ringArgs(round))
		req := w.pending(t, 1)[0]
		for _, b := range people {
			b.goTo(w.base + "/inbox")
			b.cards(1)
		}
		// In the last round one approves and the other declines.
		buttons := map[string]string{"bob": "approve", "carol": press}
		var wg sync.WaitGroup
		errs := make(chan error, len(people))
		for name, b := range people {
			wg.Go(func() {
				_, err := run(b, chromedp.Click(chromedp.CSS("#approval-"+req.ID+" button[value="+buttons[name]+"]")))
				errs <- err
			})
		}
		wg.Wait()
		for range people {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		a := get(t, call)
		now, err := w.ledger.Approval(t.Context(), req.ID)
		if err != nil {
			t.Fatal(err)
		}
		winner := now.By.Name
		loser := people[map[string]string{"bob": "carol", "carol": "bob"}[winner]]
		if loser == nil {
			t.Fatalf("answered by %q", now.By)
		}
		won[winner]++
		switch {
		case buttons[winner] == "approve" && (a.Outcome != "done" || a.ApprovedBy != winner || now.State != ledger.Used):
			t.Errorf("round %d: %s approved: %s, %+v", round, winner, a.frame, now)
		case buttons[winner] == "decline" && (a.Outcome != "declined" || now.State != ledger.Declined):
			t.Errorf("round %d: %s declined: %s, %+v", round, winner, a.frame, now)
		}
		const over = `(changed(), document.querySelectorAll("[data-card]").length == 0)`
		if press == "decline" {
			// Declining also ends an approval that is not used yet, so both answers may count.
			for _, b := range people {
				b.until("that nothing is pending", over)
				b.sees("[data-list=decided] li:first-child", winner+map[string]string{"approve": " approved, and it ran", "decline": " declined"}[buttons[winner]])
			}
			continue
		}
		people[winner].until("that nothing is pending", over)
		if said := people[winner].count("[data-result]:not([hidden])"); said != 0 {
			t.Errorf("round %d: %s sees a rejection", round, winner)
		}
		// The rejection stays visible after the card ended, without controls.
		loser.sees("[data-result]:not([hidden])", winner+" answered this already")
		loser.until("that nothing is pending", over)
		loser.sees("[data-result]:not([hidden])", winner+" answered this already")
		if n := loser.count(".card"); n != 1 {
			t.Errorf("round %d: %d cards", round, n)
		}
		if n := loser.count(".card button:not([disabled]), .card input, .card a"); n != 0 {
			t.Errorf("round %d: %d controls on an ended card", round, n)
		}
	}
	runs := 3
	if req := w.ended(t)[0]; req.State == ledger.Used {
		runs = 4
	}
	if n := w.ran("start_outbound_call"); n != runs {
		t.Errorf("it ran %d times, want %d", n, runs)
	}
	t.Log("who was faster:", won)
}

// TestBrowserSlow: another person's answer arrives while mine is being sent. The page still shows
// the result of mine.
func TestBrowserSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	req := w.pending(t, 1)[0]
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(1)
	// The answer is sent after the page has processed the answer of carol.
	eval[bool](b, `(() => {
		const original = window.fetch;
		window.updates = 0;
		window.fetch = async (url, o) => {
			if (o && o.method == "POST") await new Promise(r => window.go = r);
			const got = await original(url, o);
			if (String(url).includes("part")) window.updates++;
			return got;
		};
		return true;
	})()`)
	b.click("#approval-" + req.ID + " button[value=approve]")
	b.until("that the answer is being sent", `window.go`)
	carol := w.loggedIn(t, w.token(t, "carol", "approver"))
	before := eval[int](b, `window.updates`)
	if res, _ := carol.post("/inbox/answer", map[string][]string{"line": carol.stamps(), "answer": {"decline"}}); res.StatusCode != 303 {
		t.Fatalf("HTTP %d", res.StatusCode)
	}
	b.until("that the page was updated", fmt.Sprintf(`window.updates > %d`, before))
	b.sees("[data-list=decided]", "carol declined")
	eval[bool](b, `window.go() || true`)
	b.sees("[data-result]:not([hidden])", "carol answered this already")
	b.cards(0)
	if n := w.ran("start_outbound_call"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}
