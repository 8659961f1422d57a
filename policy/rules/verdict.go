package rules

import (
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Caller is who asks.
type Caller struct {
	// ID is the principal's, such as `ada` or `ci-bot`; budgets and rules know them by it.
	ID string
	// Person is the human being behind it; empty where nobody knows.
	Person string
	// Roles are the roles that they have; rules match on them.
	Roles []string
}

// Facts are all that a decision depends on.
type Facts struct {
	Payload *schemas.Payload
	Caller  Caller
	// Recipients is whom the call would ring; nil where the action rings nobody. A rule that asks for recipients that
	// nobody resolved cannot be evaluated, and so denies.
	Recipients *recipients.Set
	// Now is the time that rules and exemptions see. Where it is zero no exemption applies, and rules about it deny.
	Now time.Time
}

// Verdict is a decision and where it comes from.
type Verdict struct {
	Decision Decision `json:"decision"`
	// Why names the policy and the line of it that decided, in words for a person in a hurry; no full stop.
	Why string `json:"why"`
	// Rules are the ids of all rules that matched, sorted.
	Rules []string `json:"rules,omitempty"`
	// Exempted are the rules that matched and that an exemption took away, sorted.
	Exempted []Exempted `json:"exempted,omitempty"`
	// Debits are what the call takes from budgets, sorted by budget and key; nil if it is denied.
	Debits []Debit `json:"debits,omitempty"`
	// Hidden are the fields of the answer that this caller must not see, such as `Contact.dateOfBirth`, sorted.
	Hidden []string `json:"hidden,omitempty"`
}

// Debit is what a call takes from one share of a budget. A share holds Burst units at most and starts full.
type Debit struct {
	// Budget is the policy's name and the budget's, such as `desktop/rings`. Key names the share, such as `caller:ada`.
	Budget string `json:"budget"`
	Key    string `json:"key"`
	// Cost is how many units are taken, at least 1. One unit grows back every Interval.
	Cost     int64         `json:"cost"`
	Interval time.Duration `json:"interval"`
	Burst    int64         `json:"burst"`
}

// Exempted is a rule that did not count, and by which exemption.
type Exempted struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	// Until is the last day on which the exemption holds.
	Until string `json:"until"`
}
