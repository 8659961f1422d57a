package inbox_test

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/ledger"
)

// TestBrowserKeys: with the keyboard alone somebody goes from card to card; only Enter on a button answers.
func TestBrowserKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	w.call(t, agent, "start_outbound_call", ring)
	w.call(t, agent, "end_call", `{"input":{"callUuid":"c-17"}}`)
	all := w.asked(t, 2)
	b.login(w, bob)
	b.cards(2)
	eval[int](b, `(addEventListener("submit", () => window.sent++, true), window.sent = 0)`)
	unanswered := func(after string) {
		t.Helper()
		if eval[int](b, `window.sent`) != 0 {
			t.Fatalf("%s sent an answer", after)
		}
		w.asked(t, 2)
	}
	at := func(selector string) {
		t.Helper()
		if !eval[bool](b, `document.activeElement.matches(`+quoted(selector)+`)`) {
			t.Fatalf("the focus is not at %s but at %s", selector, eval[string](b, `document.activeElement.outerHTML.slice(0, 200)`))
		}
	}
	first, second := "#q-"+all[0].ID, "#q-"+all[1].ID
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
	for _, key := range []string{"y", "y", "n", "y"} {
		b.press(key)
		at(first + map[string]string{"y": " button[value=yes]", "n": " button[value=no]"}[key])
	}
	b.press("jy")
	at(second + " button[value=yes]")
	unanswered("keys without Enter")

	// What is typed is typed, and Enter behind it presses nothing.
	b.write(first+" input[name=note]", "yynj no\r")
	at(first + " input[name=note]")
	if got := eval[string](b, `document.activeElement.value`); got != "yynj no" {
		t.Errorf("typed %q", got)
	}
	unanswered("Enter behind a reason for a no")

	eval[bool](b, `document.activeElement.blur() || true`)
	b.press("jjkjy\r")
	b.until("that the second is gone", `!document.querySelector(`+quoted(second)+`)`)
	if q, err := w.ledger.Grant(t.Context(), all[1].ID); err != nil || q.State != ledger.Granted && q.State != ledger.Spent || q.By != "bob (inbox)" {
		t.Errorf("%+v, %v", q, err)
	}
	b.until("that the first can be answered", `!document.querySelector(`+quoted(first+" button[value=no]")+`).disabled`)
	b.press("jn\r")
	b.cards(0)
	if q, err := w.ledger.Grant(t.Context(), all[0].ID); err != nil || q.State != ledger.Refused {
		t.Errorf("%+v, %v", q, err)
	}
	if n := w.ran("start_outbound_call"); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}
