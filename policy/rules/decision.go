package rules

import (
	"fmt"
	"strings"
)

// Decision is what a policy demands before an action runs. The order is the
// ladder: a larger one is stricter. The zero value is no decision, and the gate
// treats it as Deny.
type Decision int

const (
	// Allow runs at once.
	Allow Decision = iota + 1
	// Validate runs when Sippet's validate passed on the same bytes.
	Validate
	// Confirm also needs the yes of a person: the caller's own.
	Confirm
	// Approve also needs the yes of another person than the caller.
	Approve
	// Deny never runs.
	Deny
)

var decisionNames = map[Decision]string{Allow: "allow", Validate: "validate", Confirm: "confirm", Approve: "approve", Deny: "deny"}

func (d Decision) String() string {
	if n, ok := decisionNames[d]; ok {
		return n
	}
	return "deny"
}

// MarshalText gives the name.
func (d Decision) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes a name, and nothing but a name.
func (d *Decision) UnmarshalText(text []byte) error {
	for k, n := range decisionNames {
		if n == string(text) {
			*d = k
			return nil
		}
	}
	return fmt.Errorf("unknown decision %q, valid: %s", text, strings.Join([]string{"allow", "validate", "confirm", "approve", "deny"}, ", "))
}
