package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// unconfirmed asks nobody by itself.
const unconfirmed = head + "defaults: {class: {read: allow, write: validate, outbound: validate, destructive: validate, credential: deny}}\n"

// TestUnknownWhileChecked checks that of many calls that ring one person, which have all passed the
// check for unknown outcomes when the outcome of an earlier one becomes unknown, none runs without a
// person who is told.
func TestUnknownWhileChecked(t *testing.T) {
	const n = 16
	o := newApprovalWorld(t, unconfirmed)
	var checked, ended sync.WaitGroup
	checked.Add(n)
	known := make(chan struct{}) // closed when the outcome is durable
	results := make([]policy.Result, n)
	o.up.with(func(s *sippet) {
		s.fault, s.sent = lost, true
		s.onRun = func() {
			s.with(func(s *sippet) {
				s.onRun, s.onCheck = nil, func() { checked.Done(); <-known }
			})
			for i := range n {
				caller := []policy.Caller{adaCaller, boCaller}[i%2]
				args := strings.Replace(ringNumber, "}}", fmt.Sprintf(`,"aiAgentId":"3b241101-e2bb-4255-8caf-%012d"}}`, i), 1)
				c := call(t, caller, "start_outbound_call", args)
				ended.Go(func() { results[i] = o.Do(t.Context(), c) })
			}
			checked.Wait()
		}
	})
	if a := o.Do(t.Context(), call(t, adaCaller, "start_outbound_call", ringContact)); a.Outcome() != schemas.OutcomeUnknown {
		t.Fatal(brief(a))
	}
	close(known)
	ended.Wait()
	for _, a := range results {
		if a.Pending == nil || !strings.Contains(a.Pending.Card.Earlier, "start_outbound_call was sent") || !strings.Contains(a.Pending.Card.Earlier, "its outcome is unknown") {
			t.Errorf("%s", brief(a))
		}
	}
	if runs := o.up.runs(); len(runs) != 1 {
		t.Errorf("%d calls ran", len(runs))
	}
}

// TestExplainUnknown checks that validate_action returns what a call would get while an outcome is
// unknown, and that a stricter decision stays.
func TestExplainUnknown(t *testing.T) {
	for name, c := range map[string]struct{ policy, args, decision, why string }{
		"the same call":      {unconfirmed, ringNumber, "confirm", "the same call was sent a minute ago and its outcome is unknown"},
		"in other bytes":     {unconfirmed, strings.Replace(ringNumber, `{"input"`, `{"reason":"again","input"`, 1), "confirm", "the same call was sent"},
		"to the same person": {unconfirmed, ringContact, "confirm", "start_outbound_call was sent a minute ago for one of the people that this call is about"},
		"to another":         {unconfirmed, strings.Replace(ringNumber, "460123", "460199", 1), "validate", ""},
		"approve stays":      {strings.Replace(unconfirmed, "outbound: validate", "outbound: approve", 1), ringNumber, "approve", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, unconfirmed)
			o.up.with(func(s *sippet) { s.fault, s.sent = lost, true })
			first := o.Do(t.Context(), call(t, adaCaller, "start_outbound_call", ringNumber))
			if first.Outcome() != schemas.OutcomeUnknown {
				t.Fatal(brief(first))
			}
			o.Policy = parsePolicy(t, c.policy)
			o.clock.Add(time.Minute)
			got := o.Explain(t.Context(), call(t, adaCaller, "start_outbound_call", c.args))
			if got.Fault != nil || got.Verdict.Decision.String() != c.decision || !strings.Contains(got.Verdict.Why, c.why) || c.why == "" && strings.Contains(got.Verdict.Why, "unknown") {
				t.Errorf("%s: %s, %v", got.Verdict.Decision, got.Verdict.Why, got.Fault)
			}
			if err := o.Ledger.Resolve(t.Context(), first.Err.Intent, ledger.Failed, "", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
			if got := o.Explain(t.Context(), call(t, adaCaller, "start_outbound_call", c.args)); strings.Contains(got.Verdict.Why, "unknown") || c.decision == "confirm" && got.Verdict.Decision.String() != "validate" {
				t.Errorf("after it was resolved: %s: %s", got.Verdict.Decision, got.Verdict.Why)
			}
		})
	}
}
