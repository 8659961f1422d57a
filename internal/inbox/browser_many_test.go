package inbox_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

func ringing(n int) string {
	return fmt.Sprintf(`{"input":{"phoneNumber":"+4420794601%02d"}}`, n)
}

// rung is the number that such a payload rings.
func rung(payload string) string {
	_, number, _ := strings.Cut(payload, `"phoneNumber":"`)
	number, _, _ = strings.Cut(number, `"`)
	return number
}

// watchCard writes down how the first card looks each time that it changes: when, how many lines, how many of them
// ticked, and whether it can be approved.
const watchCard = `(() => {
	const note = () => {
		const card = document.querySelector("[data-card]"), yes = card && card.querySelector("button[value=approve]");
		if (!yes) return;
		const now = {at: performance.now(), lines: card.querySelectorAll("[data-line]").length, ticked: card.querySelectorAll("input[name=line]:checked").length, shut: yes.disabled};
		const last = seen[seen.length - 1];
		if (!last || last.lines != now.lines || last.ticked != now.ticked || last.shut != now.shut) seen.push(now);
	};
	window.seen = [];
	note();
	new MutationObserver(note).observe(document.querySelector("[data-live]"), {subtree: true, childList: true, attributes: true});
	return true;
})()`

// look is one entry of what watchCard wrote down.
type look struct {
	At            float64
	Lines, Ticked int
	Shut          bool
}

// TestBrowserMany: what one caller asks within a minute is one card. What is ticked runs, the rest waits on, and is not
// ticked any more.
func TestBrowserMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	calls := map[string]<-chan answer{}
	for n := range 4 {
		calls[fmt.Sprintf("+4420794601%02d", n)] = w.later(t, agent, "start_outbound_call", ringing(n))
	}
	all := w.asked(t, 4)
	eve := w.later(t, w.token(t, "eve", "agent"), "start_outbound_call", ringing(50))
	w.asked(t, 5)
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(2)
	card := "#approval-" + all[0].ID
	b.sees(card+" h2", "4 requests: Start an outbound call")
	if lines, ticked := b.count(card+" [data-line]"), b.count(card+" input[type=checkbox]:checked"); lines != 4 || ticked != 4 {
		t.Fatalf("%d lines, %d ticked", lines, ticked)
	}
	live := b.stays()
	number := func(q ledger.ApprovalRequest) string {
		t.Helper()
		q, err := w.ledger.Approval(t.Context(), q.ID)
		if err != nil {
			t.Fatal(err)
		}
		return rung(string(q.Payload))
	}
	var want, left []string
	for n, q := range all {
		if n%2 == 0 { // the first is among them, after whom the card is named
			want = append(want, number(q))
			continue
		}
		left = append(left, number(q))
		b.click(`[data-line="` + q.ID + `"] input[type=checkbox]`)
	}
	eval[bool](b, watchCard)
	b.click(card + " button[value=approve]")
	for _, to := range want {
		if a := get(t, calls[to]); a.Outcome != "done" || a.ApprovedBy != "bob" {
			t.Errorf("%s: %s", to, a.frame)
		}
	}
	b.until("the two that are left", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 2`)
	var ran []string
	for _, body := range w.sent(rpctest.Run, "start_outbound_call") {
		ran = append(ran, rung(body))
	}
	slices.Sort(ran)
	slices.Sort(want)
	if !slices.Equal(ran, want) {
		t.Errorf("%q ran, want %q", ran, want)
	}
	w.asked(t, 3)
	for _, to := range left {
		select {
		case a := <-calls[to]:
			t.Errorf("%s was answered: %s", to, a.frame)
		default:
		}
	}
	rest := 0
	for _, s := range eval[[]look](b, `seen`) {
		if s.Lines != 2 {
			continue
		}
		if rest++; s.Ticked != 0 || !s.Shut {
			t.Errorf("what was not ticked is ticked, or the button is there: %+v", s)
		}
	}
	if rest == 0 {
		t.Error("nobody saw what is left")
	}
	for range 2 {
		b.click("input[type=checkbox]:not(:checked)")
	}
	b.click("[data-card] button[value=decline]")
	for _, to := range left {
		if a := get(t, calls[to]); a.Outcome != "declined" {
			t.Errorf("%s: %s", to, a.frame)
		}
	}
	b.cards(1)
	live()
	b.click("button[value=decline]")
	if a := get(t, eve); a.Outcome != "declined" || w.ran("start_outbound_call") != 2 {
		t.Errorf("%s, and it ran %d times", a.frame, w.ran("start_outbound_call"))
	}
}

// TestBrowserJoin: a question that joins an open card is not ticked, and neither that card nor one that it pushes down can
// be answered for a moment.
func TestBrowserJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	w.call(t, agent, "start_outbound_call", ringing(0))
	w.call(t, agent, "start_outbound_call", ringing(1))
	w.call(t, w.token(t, "eve", "agent"), "start_outbound_call", ringing(50))
	w.asked(t, 3)
	b.login(w, w.token(t, "bob", "approver"))
	b.cards(2)
	live := b.stays()
	b.write("[data-card] input[name=note]", "half a rea")
	eval[bool](b, watchCard)
	eval[bool](b, `(() => {
		window.below = [];
		const no = document.querySelectorAll("[data-card]")[1].querySelector("button[value=decline]");
		new MutationObserver(() => below.push(no.disabled)).observe(no, {attributes: true});
		return true;
	})()`)
	w.call(t, agent, "start_outbound_call", ringing(2))
	b.until("the third line", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 3`)
	// Typing does not open what is held.
	eval[bool](b, `document.querySelector("input[name=note]").dispatchEvent(new Event("input", {bubbles: true}))`)
	b.until("that it can be approved", `!document.querySelector("[data-card] button[value=approve]").disabled`)
	seen := eval[[]look](b, `seen`)
	at := slices.IndexFunc(seen, func(s look) bool { return s.Lines == 3 })
	open := slices.IndexFunc(seen, func(s look) bool { return s.Lines == 3 && !s.Shut })
	if at < 1 || open <= at || seen[0].Ticked != 2 || seen[0].Shut {
		t.Fatalf("%+v", seen)
	}
	for _, s := range seen[at:] {
		if s.Ticked != 2 {
			t.Errorf("what joined is ticked: %+v", seen)
		}
	}
	if d := seen[open].At - seen[at].At; d < 1000 {
		t.Errorf("the card that changed was held for %.0f ms", d)
	}
	b.until("that the card below was held, and is not any more", `below[0] === true && below[below.length - 1] === false`)
	if got := eval[string](b, `document.querySelector("input[name=note]").value`); got != "half a rea" {
		t.Errorf("of what was typed %q is left", got)
	}
	// A yes answers the two that were ticked.
	b.click("[data-card] button[value=approve]")
	b.until("one line less", `document.querySelector("[data-card]").querySelectorAll("[data-line]").length == 1`)
	if all := w.asked(t, 2); w.ran("start_outbound_call") != 2 {
		t.Errorf("%d wait, %d ran", len(all), w.ran("start_outbound_call"))
	}
	live()
}

// TestBrowserNumber: a yes to more than ten people in one card needs their number, which follows what is ticked. Without
// the page's script a wrong number changes nothing.
func TestBrowserNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver")
	for n := range 12 {
		w.call(t, agent, "start_outbound_call", ringing(n))
	}
	all := w.asked(t, 12)
	b.login(w, bob)
	b.cards(1)
	b.sees(".people", "Type 12 to approve")
	const shut = `document.querySelector("button[value=approve]").disabled`
	typed := func(s string, want bool) {
		t.Helper()
		eval[string](b, `document.querySelector("input[name=people]").value = ""`)
		b.write("input[name=people]", s)
		if got := eval[bool](b, shut); got != want {
			t.Errorf("with %q typed the button is shut: %t", s, got)
		}
	}
	// The page's script may begin to work a moment after the card is there.
	b.until("that it cannot be approved without a number, but denied", shut+` && !document.querySelector("button[value=decline]").disabled`)
	typed("11", true)
	typed("12 ", false)
	typed("120", true)
	typed("012", true)
	typed("12", false)
	first := `[data-line="` + all[3].ID + `"] input[type=checkbox]`
	b.click(first)
	b.sees(".people", "Type 11 to approve")
	if !eval[bool](b, shut) {
		t.Error("the old number is still good after one was unticked")
	}
	b.click(`[data-line="` + all[4].ID + `"] input[type=checkbox]`)
	b.until("no question for a number of ten", `document.querySelector(".people").hidden && !`+shut)
	b.click(first)
	b.sees(".people", "Type 11 to approve")
	typed("11", false)

	v := w.loggedIn(t, bob)
	form := url.Values{"line": v.stamps(), "answer": {"approve"}}
	for _, people := range []string{"", "0", "11", "13", "-12", "12a", "12.0", "twelve"} {
		form.Set("people", people)
		if res, text := v.post("/inbox/answer", form); res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), "type the number of people that this reaches: 12") {
			t.Errorf("with the number %q: HTTP %d: %s", people, res.StatusCode, text)
		}
	}
	if now := w.asked(t, 12); slices.ContainsFunc(now, func(q ledger.ApprovalRequest) bool { return q.State != ledger.Pending }) || w.ran("start_outbound_call") != 0 {
		t.Fatalf("a wrong number changed something: %+v", now)
	}
	// Ten at a time need none, and do not get past the other two.
	who := approval.Person{Name: "bob", Roles: []string{"approver"}, Via: "inbox"}
	if got := w.approvals.Answer(t.Context(), []string{all[0].ID}, who, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Error(got[0].Err)
	}
	b.until("eleven lines", `document.querySelectorAll("[data-line]").length == 11`)
	b.sees(".people", "10") // of the eleven that were ticked one has gone
	b.until("that it can be approved", `!`+shut)
	b.click("button[value=approve]")
	b.until("the one that is left", `document.querySelectorAll("[data-line]").length == 1`)
	if left := w.asked(t, 1); left[0].ID != all[4].ID || w.ran("start_outbound_call") != 11 {
		t.Errorf("%s is left, %d ran", left[0].ID, w.ran("start_outbound_call"))
	}
}
