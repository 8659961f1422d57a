package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
)

// TestBrowserKeys: keys move between cards and buttons. Only Enter on a button answers.
func TestBrowserKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	w.call(t, agent, "start_outbound_call", ring)
	w.call(t, agent, "end_call", `{"input":{"callUuid":"c-17"}}`)
	all := w.pending(t, 2)
	b.login(w, bob)
	b.cards(2)
	eval[int](b, `(addEventListener("submit", () => window.sent++, true), window.sent = 0)`)
	unanswered := func(after string) {
		t.Helper()
		if eval[int](b, `window.sent`) != 0 {
			t.Fatalf("%s sent an answer", after)
		}
		w.pending(t, 2)
	}
	at := func(selector string) {
		t.Helper()
		if !eval[bool](b, `document.activeElement.matches(`+quoted(selector)+`)`) {
			t.Fatalf("the focus is not at %s but at %s", selector, eval[string](b, `document.activeElement.outerHTML.slice(0, 200)`))
		}
	}
	first, second := "#approval-"+all[0].ID, "#approval-"+all[1].ID
	b.until("the window has the keyboard", "document.hasFocus()")
	b.press("j")
	at(first)
	b.press("j")
	at(second)
	b.press("j")
	at(second)
	b.press("k")
	at(first)
	b.press("k")
	at(first)
	for _, key := range []string{"a", "a", "d", "a"} {
		b.press(key)
		at(first + map[string]string{"a": " button[value=approve]", "d": " button[value=decline]"}[key])
	}
	b.press("ja")
	at(second + " button[value=approve]")
	unanswered("keys without Enter")

	// In a field, keys are text, and Enter presses no button.
	b.write(first+" input[name=note]", "aadj no\r")
	at(first + " input[name=note]")
	if got := eval[string](b, `document.activeElement.value`); got != "aadj no" {
		t.Errorf("typed %q", got)
	}
	unanswered("Enter in the note")

	eval[bool](b, `document.activeElement.blur() || true`)
	b.press("jjkja\r")
	b.until("that the second card is removed", `!document.querySelector(`+quoted(second)+`)`)
	if req, err := w.ledger.Approval(t.Context(), all[1].ID); err != nil || req.State != ledger.Approved && req.State != ledger.Used || req.By.String() != "bob, via inbox" {
		t.Errorf("%+v, %v", req, err)
	}
	b.until("that the first card can be answered", `!document.querySelector(`+quoted(first+" button[value=decline]")+`).disabled`)
	b.press("jd\r")
	b.cards(0)
	if req, err := w.ledger.Approval(t.Context(), all[0].ID); err != nil || req.State != ledger.Declined {
		t.Errorf("%+v, %v", req, err)
	}
	if n := w.ran("start_outbound_call"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}

// TestBrowserQuick: an answer within two seconds is marked, in the history and in the ledger. The
// time counts from when each line was shown.
func TestBrowserQuick(t *testing.T) {
	t.Parallel()
	clock := ledgertest.NewClock(time.Now())
	w := newWorld(t, setup{now: clock.Now, wait: 1})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	const mark = "answered in under two seconds"
	for n, c := range []struct {
		answer string
		after  time.Duration
		quick  bool
	}{{"approve", 0, true}, {"decline", 1999 * time.Millisecond, true}, {"approve", 2 * time.Second, false}, {"decline", time.Minute, false}} {
		w.call(t, agent, "start_outbound_call", ringArgs(n))
		b.cards(1)
		req := w.pending(t, 1)[0]
		clock.Add(c.after)
		b.click("[data-card] button[value=" + c.answer + "]")
		b.cards(0)
		b.sees("[data-list=decided] li:first-child", map[string]string{"approve": "bob approved, and it ran", "decline": "bob declined"}[c.answer])
		if got := strings.Contains(b.text("[data-list=decided] li:first-child"), mark); got != c.quick {
			t.Errorf("%s after %v is marked: %t", c.answer, c.after, got)
		}
		if now, err := w.ledger.Approval(t.Context(), req.ID); err != nil || now.Quick != c.quick {
			t.Errorf("%s after %v is quick in the ledger: %t, %v", c.answer, c.after, now.Quick, err)
		}
		clock.Add(2 * time.Minute) // the next request is on another card
	}
	// Each line keeps the time at which it was shown, also if the card changes.
	w.call(t, agent, "start_outbound_call", ringArgs(10))
	b.cards(1)
	first := w.pending(t, 1)[0].ID
	clock.Add(5 * time.Second)
	w.call(t, agent, "start_outbound_call", ringArgs(11))
	b.until("the second line", `document.querySelectorAll("[data-line]").length == 2`)
	b.click("[data-card] button[value=decline]") // only the first is ticked
	b.until("the second alone", `document.querySelectorAll("[data-line]").length == 1`)
	second := w.pending(t, 1)[0].ID
	b.click("[data-card] button[value=decline]")
	b.cards(0)
	for id, want := range map[string]bool{first: false, second: true} {
		if req, err := w.ledger.Approval(t.Context(), id); err != nil || req.Quick != want || req.State != ledger.Declined {
			t.Errorf("%s is quick: %t, want %t; %s, %v", id, req.Quick, want, req.State, err)
		}
	}
	b.goTo(w.base + "/inbox/history")
	if n := eval[int](b, `[...document.querySelectorAll(".ended")].filter(e => e.innerText.includes("`+mark+`")).length`); n != 3 || b.count(".ended") != 6 {
		t.Errorf("%d of %d are marked in the history", n, b.count(".ended"))
	}
}
