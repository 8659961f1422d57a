package policy_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// newMany returns a world with a thousand contacts, which `#` numbers, and a policy: a built-in profile
// or a text.
func newMany(t testing.TB, text string) *approvalWorld {
	t.Helper()
	o := newApprovalWorld(t, house)
	o.Log = slog.New(slog.DiscardHandler)
	if p, err := rules.Load(text); err == nil {
		o.Policy = policy.FixedPolicySet(p)
	} else {
		o.Policy = parsePolicy(t, text)
	}
	for i := range 1000 {
		o.up.numbers[fmt.Sprintf("%08d-4f0e-4a3b-9a87-1b6f0a0c9d11", i)] = fmt.Sprintf("+442079460%03d", i)
	}
	return o
}

// flood makes calls until one is not done, and returns how many were, and the result of the last.
func (o *approvalWorld) flood(t testing.TB, from, most int, action, args string) (done int, last policy.Result) {
	t.Helper()
	for i := range most {
		last = o.Do(t.Context(), call(t, adaCaller, action, strings.ReplaceAll(args, "#", fmt.Sprintf("%08d", from+i))))
		if last.Outcome() != schemas.Done {
			return done, last
		}
		done++
	}
	return done, last
}

const (
	updates  = `{"identity":"#-4f0e-4a3b-9a87-1b6f0a0c9d11","input":{"defaultLanguage":"cy"}}`
	labels   = `{"identity":"#-4f0e-4a3b-9a87-1b6f0a0c9d11","input":{"label":"spam"}}`
	newCalls = `{"input":{"direction":"inbound","fromNumber":"+442079460123","toNumber":"+442079460124","callUuid":"c-#","status":"completed"}}`
)

// TestFlood checks how many changes a caller makes under each profile before a person is asked, or no more
// run for a while.
func TestFlood(t *testing.T) {
	pending, limit := schemas.ApprovalPending, schemas.LimitExceeded
	for _, c := range []struct {
		profile, action, args string
		done                  int
		ends                  schemas.Outcome
		budget                string
	}{
		{"desktop", "update_contact", updates, 20, pending, "desktop/contacts"},
		{"team", "update_contact", updates, 20, pending, "team/contacts"},
		{"unattended", "update_contact", updates, 60, limit, "unattended/changes"},
		{"desktop", "override_call_classification", labels, 100, pending, "desktop/labels"},
		{"team", "override_call_classification", labels, 100, pending, "team/labels"},
		{"unattended", "override_call_classification", labels, 60, limit, "unattended/changes"},
		{"desktop", "create_call", newCalls, 200, limit, "desktop/changes"},
		{"team", "create_call", newCalls, 300, limit, "team/changes"},
		{"unattended", "create_call", newCalls, 60, limit, "unattended/changes"},
		{"unattended", "flag_call_for_review", `{"identity":"#-4f0e-4a3b-9a87-1b6f0a0c9d11"}`, 300, limit, "unattended/flags"},
	} {
		t.Run(c.profile+" "+c.action, func(t *testing.T) {
			t.Parallel()
			o := newMany(t, c.profile)
			done, last := o.flood(t, 0, 310, c.action, c.args)
			if done != c.done || last.Outcome() != c.ends || len(o.up.runs()) != c.done {
				t.Fatalf("%d of %d ran, then %s", len(o.up.runs()), done, brief(last))
			}
			switch c.ends {
			case limit:
				if !strings.Contains(last.Err.Message, "the budget "+c.budget+" of caller ada is too low: 0 left, 1 needed") || last.Err.RetryAfter <= 0 {
					t.Error(brief(last))
				}
			case pending:
				costs := []approval.Cost{{Budget: c.budget, Takes: 1, Left: 0, Refill: 100}}
				if d := cmp.Diff(costs, last.Pending.Card.Costs); d != "" || last.Pending.Card.Needs != "confirm" || last.Verdict.Decision != rules.Confirm {
					t.Error(d, last.Pending.Card.Needs, last.Verdict.Decision)
				}
			}
		})
	}
}

// TestOverCard checks that the card of a call over a budget says how many changes there were and what
// approving allows, and has the first of them with old and new values.
func TestOverCard(t *testing.T) {
	o := newMany(t, "desktop")
	o.up.with(func(s *sippet) {
		s.record = `[{"id":"` + anID + `","fullName":"Eleanor Marsh","phoneE164":"+442079460123","defaultLanguage":"en"}]`
	})
	for i := range 20 {
		if a := o.Do(t.Context(), call(t, adaCaller, "update_contact", update(anID, fmt.Sprintf(`"defaultLanguage":"l%d"`, i)))); a.Err != nil {
			t.Fatal(brief(a))
		}
	}
	o.clock.Add(90 * time.Second) // three grow back
	for i := range 3 {
		o.do(t, adaCaller, "update_contact", update(anID, fmt.Sprintf(`"defaultLanguage":"m%d"`, i)))
	}
	card := o.cardOf(t, call(t, adaCaller, "update_contact", update(anID, `"defaultLanguage":"cy"`)))
	if card.Warnings[0] != "23 such changes in 10 minutes; approving allows 100 more" {
		t.Errorf("%q", card.Warnings)
	}
	var first []string
	for _, f := range card.Facts {
		if f.Name == "so far" {
			first = append(first, f.Value)
		}
	}
	want := []string{}
	for i := range 5 {
		want = append(want, fmt.Sprintf(`a minute ago: update_contact "Eleanor Marsh", defaultLanguage "en" → "l%d"`, i))
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
	if card.Why != "policy desktop: rule contact-pace: A person looks at what an assistant does to more than 20 contacts in ten minutes" {
		t.Error(card.Why)
	}
	if !strings.Contains(strings.Join(strings.Fields(card.Long()), " "), "This takes 1 from the budget desktop/contacts, which has 0 left now: approving adds 100 to it.") {
		t.Error(card.Long())
	}
	if card.Deed == nil || !strings.Contains(strings.Join(card.Deed, " "), "approving allows 100 more") {
		t.Errorf("%q", card.Deed)
	}
}

// TestOverApproved checks that an approval runs the call and adds to the budget, that calls which are
// pending for the same budget run with their own approval, and that the rest are asked about again.
func TestOverApproved(t *testing.T) {
	o := newMany(t, "desktop")
	o.startExecutor(t)
	o.flood(t, 0, 20, "update_contact", updates)
	var ids []string
	for i := range 3 {
		ids = append(ids, o.ask(t, call(t, adaCaller, "update_contact", strings.ReplaceAll(updates, "#", fmt.Sprintf("%08d", 100+i)))))
	}
	o.answer(t, ids[2], adaPerson, approval.Reply{})
	for _, id := range ids[:2] {
		o.answer(t, id, adaPerson, approves)
		if a := o.outcome(t, id); a.Err != nil {
			t.Fatal(brief(a))
		}
	}
	// Of the 100 that one approval added, two are used.
	if done, last := o.flood(t, 200, 120, "update_contact", updates); done != 98 || last.Pending == nil {
		t.Errorf("%d ran, then %s", done, brief(last))
	}
	if n := len(o.up.runs()); n != 20+2+98 {
		t.Errorf("%d ran", n)
	}
	if r, err := o.Ledger.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) > 0 {
		t.Errorf("%v %v", r.Findings, err)
	}
}

// TestOverRace checks that of calls at the same moment none runs beyond the budget.
func TestOverRace(t *testing.T) {
	o := newMany(t, "team")
	var ran, asked atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			a := o.Do(t.Context(), call(t, adaCaller, "update_contact", strings.ReplaceAll(updates, "#", fmt.Sprintf("%08d", i))))
			switch a.Outcome() {
			case schemas.Done:
				ran.Add(1)
			case schemas.ApprovalPending:
				asked.Add(1)
			default:
				t.Error(brief(a))
			}
		})
	}
	wg.Wait()
	if ran.Load() != 20 || asked.Load() != 20 || len(o.up.runs()) != 20 {
		t.Errorf("%d ran and %d are pending", ran.Load(), asked.Load())
	}
}

// TestOverExplained checks that validate_action says that a person would be asked.
func TestOverExplained(t *testing.T) {
	o := newMany(t, "desktop")
	next := call(t, adaCaller, "update_contact", strings.ReplaceAll(updates, "#", "00000777"))
	if e := o.Explain(t.Context(), next); e.Verdict.Decision != rules.Validate {
		t.Errorf("%+v", e)
	}
	o.flood(t, 0, 20, "update_contact", updates)
	if e := o.Explain(t.Context(), next); e.Verdict.Decision != rules.Confirm || !strings.Contains(e.Verdict.Why, "contact-pace") || e.Fault != nil {
		t.Errorf("%+v", e)
	}
}

// TestFloodOfAll checks that many callers together are limited too, and that people with tokens raise
// the limit.
func TestFloodOfAll(t *testing.T) {
	for people, want := range map[int]int{0: 4, 1: 4, 4: 8} {
		o := newMany(t, head+`defaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}
budgets: {all: {key: organisation, rate: 4/h, burst: 4, perCaller: 2}}
rules: [{id: all, match: {classes: [write]}, limit: all, reason: Together.}]
`)
		for i := range 2 * people { // two tokens each
			person := fmt.Sprint("person ", i%max(1, people))
			if _, _, err := o.Ledger.CreateToken(t.Context(), ledger.Token{Person: person, Roles: []string{"agent"}}, ledger.Actor{Name: "root"}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range want + 1 {
			who := policy.Caller{Actor: ledger.Actor{Name: fmt.Sprint("caller ", i)}, ID: fmt.Sprint(i)}
			a := o.Do(t.Context(), call(t, who, "update_contact", strings.ReplaceAll(updates, "#", fmt.Sprintf("%08d", i))))
			switch {
			case i < want && a.Outcome() == schemas.Done:
			case i == want && a.Outcome() == schemas.LimitExceeded && strings.Contains(a.Err.Message, "the budget organisation/all"):
			default:
				t.Errorf("%d people, call %d: %s", people, i+1, brief(a))
			}
		}
	}
}
