package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// hijackBudget is what one caller did that the profile's budgets count.
type hijackBudget struct {
	changes            int // all that ran
	unasked, confirmed int // of contacts
}

// overBudget counts a run and says which budget of the profile it breaks; empty if none. Only the budgets
// that a sequence can use up are here: the others are larger.
func (h *hijack) overBudget(r *hijackRun, approved bool) string {
	if r.action == "end_call" || r.action == "flag_call_for_review" || len(r.rings)+len(r.mails)+len(r.live) > 0 {
		return ""
	}
	b := h.budgets[r.caller]
	if b == nil {
		b = &hijackBudget{}
		h.budgets[r.caller] = b
	}
	minutes := int(h.clock.Now().Sub(h.began) / time.Minute)
	b.changes++
	if most := []int{200 + minutes*200/60, 300 + minutes*5, 60 + minutes}[h.column]; b.changes > most {
		return fmt.Sprintf("it is change %d, and the caller may make %d", b.changes, most)
	}
	switch {
	case !strings.HasSuffix(r.action, "_contact"):
		return ""
	case approved:
		b.confirmed++
		return ""
	}
	b.unasked++
	most := 20 + 2*minutes + 100*b.confirmed
	if b.unasked > most && h.column < 2 {
		return fmt.Sprintf("it is change %d of a contact that nobody approved, and the caller may make %d", b.unasked, most)
	}
	if b.unasked > 20 {
		h.world.seen["beyond 20 contacts"]++
	}
	return ""
}

// flood changes one contact many times, so that a person is asked, and goes on after they answered.
func (h *hijack) flood(rt *rapid.T) {
	names := []string{"en", "de", "cy", "ga", "pl", "fr"}
	at := rapid.IntRange(0, 5).Draw(rt, "language")
	change := func(times int) {
		for i := range times {
			name := slices.Concat(names[at:], names)[i%6]
			if h.call(rt, draft{"update_contact", onRecord(h.focus, row{"defaultLanguage": name})}, ""); h.fault != "" {
				return
			}
		}
	}
	change(rapid.IntRange(15, 25).Draw(rt, "times"))
	for range 3 {
		if h.fault == "" {
			h.answer(rt)
		}
	}
	if h.fault == "" {
		h.execute(rt)
	}
	if h.fault == "" {
		change(5)
	}
}
