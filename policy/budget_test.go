package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestBudget checks that a call is denied while its budget is used up, and that a call that was not
// sent costs nothing.
func TestBudget(t *testing.T) {
	s, book, args := newPhonebookGate(t, plain+`budgets: {rings: {key: caller, rate: 20/h, burst: 5, cost: "recipients.size()"}}
rules: [{id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: Twenty an hour.}]
`, 4)
	if a := s.approve(t, s.call(t, "start_bulk_outbound_call", args)); a.Outcome() != schemas.Done {
		t.Fatalf("%+v", a.Err)
	}
	one := func(n int) policy.Call {
		return s.call(t, "start_outbound_call", fmt.Sprintf(`{"input":{"phoneNumber":"+44207946%04d"}}`, n))
	}
	book.fault = &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet cannot be reached"}
	if a := s.approve(t, one(1)); a.Outcome() != schemas.UpstreamUnavailable {
		t.Fatalf("%+v", a)
	}
	book.fault = nil
	if a := s.approve(t, one(2)); a.Outcome() != schemas.Done {
		t.Fatalf("a call that was not sent was charged: %+v", a.Err)
	}
	c := one(3)
	a := s.approve(t, c)
	if a.Outcome() != schemas.LimitExceeded || !strings.Contains(a.Err.Message, "rings") || a.Err.RetryAfter <= 0 || a.Err.RetryAfter > 3*time.Minute {
		t.Errorf("%+v", a.Err)
	}
	s.clock.Add(a.Err.RetryAfter)
	if a := s.approve(t, c); a.Outcome() != schemas.Done {
		t.Errorf("after the wait: %+v", a.Err)
	}
	big, _, many := newPhonebookGate(t, plain+`budgets: {rings: {key: organisation, rate: 20/h, burst: 5, cost: "recipients.size()"}}
rules: [{id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: Twenty an hour.}]
`, 9)
	if a := big.approve(t, big.call(t, "start_bulk_outbound_call", many)); a.Outcome() != schemas.LimitExceeded || a.Err.RetryAfter != 0 {
		t.Errorf("more than the budget holds: %+v", a.Err)
	}
}

// TestBudgetOfReads checks that a budget applies to reads too.
func TestBudgetOfReads(t *testing.T) {
	s, _, _ := newPhonebookGate(t, plain+`budgets: {reads: {key: caller, rate: 1/h, burst: 2}}
rules: [{id: few-reads, match: {classes: [read]}, limit: reads, reason: Two an hour.}]
`, 0)
	for n, want := range []schemas.Outcome{schemas.Done, schemas.Done, schemas.LimitExceeded} {
		if a := s.Do(t.Context(), s.call(t, "list_calls", `{}`)); a.Outcome() != want {
			t.Errorf("read %d: %s", n+1, a.Outcome())
		}
	}
}
