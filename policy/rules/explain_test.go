package rules_test

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestRecipientConditions: a rule that reads only the count of recipients does not depend on more.
func TestRecipientConditions(t *testing.T) {
	rule := func(when string) *rules.Policy {
		return parse(t, laxDefaults+"lists: {ours: [\"+44\"]}\nbudgets: {rings: {key: caller, rate: 1/h, burst: 1, cost: recipients.size()}}\nrules:\n"+
			"  - {id: a, match: {actions: [\"start_*\"]}, when: \""+when+"\", decision: deny, reason: R}\n"+
			"  - {id: b, match: {actions: [\"start_*\"]}, limit: rings, reason: R}\n")
	}
	bulk, _ := schemas.Find("start_bulk_outbound_call")
	for when, want := range map[string]int{
		"recipients.size() > 5": 0, "size(recipients) > 5": 0, "caller.id == 'x'": 0,
		"recipients.exists(r, has(r.kind))":                               1,
		"recipients.size() > 5 && recipients[0].number == '+1'":           1,
		"recipients.all(r, lists.ours.exists(p, r.number.startsWith(p)))": 1,
	} {
		if got := rule(when).RecipientConditions(bulk); len(got) != want {
			t.Errorf("%s: %q", when, got)
		}
	}
	if read, _ := schemas.Find("list_calls"); rule("recipients.exists(r, has(r.kind))").RecipientConditions(read) != nil {
		t.Error("a read rings nobody")
	}
}
