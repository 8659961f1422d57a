package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Decision is what a policy demands before an action runs. A larger decision is stricter. The zero
// value is no decision, and the gate treats it as Deny.
type Decision int

const (
	// Allow runs the action at once.
	Allow Decision = iota + 1
	// Validate runs it after Sippet's validate has passed for the same payload.
	Validate
	// Confirm also needs the approval of the caller's own person, or of an approver.
	Confirm
	// Approve also needs the approval of another person.
	Approve
	// Deny never runs it.
	Deny
)

var decisionNames = []string{"allow", "validate", "confirm", "approve", "deny"} // in order, from Allow

func (d Decision) String() string {
	if d < Allow || d > Deny {
		return "deny"
	}
	return decisionNames[d-Allow]
}

// MarshalText returns the decision's name.
func (d Decision) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts exactly the names.
func (d *Decision) UnmarshalText(text []byte) error {
	i := slices.Index(decisionNames, string(text))
	if i < 0 {
		return fmt.Errorf("unknown decision %s: use one of %s", quote(string(text)), strings.Join(decisionNames, ", "))
	}
	*d = Allow + Decision(i)
	return nil
}

// Caller is who makes a call.
type Caller struct {
	// ID identifies the caller, such as `ada` or `ci-bot`. Budgets and rules use it.
	ID string
	// Person is the human being that the caller works for; empty if unknown.
	Person string
	// Roles are the caller's roles.
	Roles []string
}

// CallerCounter returns how many people may call, as a ledger does.
type CallerCounter interface {
	Callers(context.Context) (int64, error)
}

// Facts are everything that a decision depends on.
type Facts struct {
	Payload *schemas.Payload
	Caller  Caller
	// Recipients is nil if the action reaches nobody. If they are not resolved, a rule that reads
	// them cannot be evaluated, and denies.
	Recipients *recipients.Set
	// Related is nil if the action writes no contact. If it was not read, a rule that reads it cannot
	// be evaluated, and denies.
	Related *recipients.Related
	// Callers counts the named callers of the organisation; nil if it has none. It is asked only for a
	// budget that grows with them.
	Callers CallerCounter
	// Now is the time of the call. If it is zero, no exemption applies and rules that read it deny.
	Now time.Time
	// OwnCall is true if the same caller's work started the live call that the call is about.
	OwnCall bool
}

// Safe reports whether the call is in the safe direction.
func (f *Facts) Safe() bool {
	switch f.Payload.Action.Safe {
	case schemas.SafeAlways:
		return true
	case schemas.SafeOnOwnCall:
		return f.OwnCall
	}
	return false
}

// Verdict is a decision and its reason.
type Verdict struct {
	Decision Decision `json:"decision"`
	// Why names the policy and the rule or default that decided, with the rule's reason; no full
	// stop.
	Why string `json:"why"`
	// Rules are the ids of all matching rules, sorted.
	Rules []string `json:"rules,omitempty"`
	// Exempted are the matching rules that an exemption disabled, sorted.
	Exempted []Exempted `json:"exempted,omitempty"`
	// Debits are what the call takes from budgets, sorted by budget and key; nil if it is denied.
	Debits []Debit `json:"debits,omitempty"`
	// Reading are the shares of budgets from which the persons in the answer are taken, sorted by
	// budget and key, each with a Cost of 0; nil if the call is denied or no read.
	Reading []Debit `json:"reading,omitempty"`
	// Hidden are the fields of the answer that the caller must not see, such as
	// `Contact.dateOfBirth`, sorted.
	Hidden []string `json:"hidden,omitempty"`
}

// Debit is what a call takes from one share of a budget. A share holds at most Burst units and
// starts full.
type Debit struct {
	// Budget is the policy's name and the budget's, such as `desktop/rings`. One of the organisation is
	// the same for all policies, such as `organisation/rings`. Key names the share, such as `caller:ada`.
	Budget string `json:"budget"`
	Key    string `json:"key"`
	// Cost is how many units are taken, at least 1; 0 if only the answer will tell. One unit grows back every Interval.
	Cost     int64         `json:"cost"`
	Interval time.Duration `json:"interval"`
	Burst    int64         `json:"burst"`
	// Refill is how many units an approval of a call over the budget adds; 0 if such a call is rejected.
	Refill int64 `json:"refill,omitempty"`
}

// Exempted is a rule that an exemption disabled.
type Exempted struct {
	Rule string `json:"rule"`
	// Reason is the exemption's.
	Reason string `json:"reason"`
	// Until is the last day of the exemption, such as 2027-01-31.
	Until string `json:"until"`
}
