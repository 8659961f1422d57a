package inbox_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestBrowserTicks: of the requests that share a card, those about a record that the requester itself
// renamed, and those with invisible characters, are not ticked. They run only if a person ticks them.
func TestBrowserTicks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	w.up.On(rpctest.Run, "list_contacts", clinic)
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	update := func(n int, input string) answer {
		t.Helper()
		return w.call(t, agent, "update_contact", `{"identity":"`+rpctest.ID(n)+`","input":{`+input+`}}`)
	}
	if a := update(1, `"fullName":"Test Entry"`); a.Outcome != "done" {
		t.Fatal(a.frame)
	}
	update(1, `"email":"one@example.com"`)
	update(2, `"email":"two@example.com"`)
	update(3, `"email":"three@example.com","metadata":{"note":"ha\u200bha"}`)
	all := w.pending(t, 3)
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(1)
	card := "#approval-" + all[0].ID
	tick := func(n int) string { return `[data-line="` + all[n].ID + `"] input[type=checkbox]` }
	for n, want := range []int{0, 1, 0} {
		if got := b.count(tick(n) + ":checked"); got != want || b.count(tick(n)) != 1 {
			t.Errorf("line %d: ticked %d, want %d", n, got, want)
		}
	}
	b.sees(card, "are not ticked")
	b.sees(`[data-line="`+all[0].ID+`"]`, "by this assistant, was")
	b.sees(`[data-line="`+all[2].ID+`"]`, "invisible characters")
	b.click(tick(2))
	b.click(card + " button[value=approve]")
	b.until("the remaining line", `document.querySelectorAll("[data-line]").length == 1`)
	if left := w.pending(t, 1); left[0].ID != all[0].ID || w.ran("update_contact") != 3 {
		t.Errorf("%s is pending, %d ran", left[0].ID, w.ran("update_contact"))
	}
}

// TestUntickedPeople: without the page's script a card asks for the number of people on its ticked
// lines.
func TestUntickedPeople(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	w.up.On(rpctest.Run, "list_contacts", clinic)
	agent := w.token(t, "ada", "agent")
	if a := w.call(t, agent, "update_contact", `{"identity":"`+rpctest.ID(1)+`","input":{"fullName":"Test Entry"}}`); a.Outcome != "done" {
		t.Fatal(a.frame)
	}
	w.call(t, agent, "start_outbound_call", `{"input":{"contactId":"`+rpctest.ID(1)+`"}}`)
	for n := range 11 {
		w.call(t, agent, "start_outbound_call", ringArgs(n))
	}
	w.pending(t, 12)
	if _, page := w.loggedIn(t, w.token(t, "bob", "approver")).get("/inbox"); !strings.Contains(page, "Type <b data-people>11</b>") {
		t.Errorf("%s", tail(page, 4000))
	}
}
