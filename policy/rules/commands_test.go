package rules_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func findings(p *rules.Policy) string {
	var out []string
	for _, f := range p.Lint() {
		out = append(out, f.String())
	}
	return strings.Join(out, "\n")
}

// TestRolesThatLookMisspelt: a role of one's own is one that something else names as well.
func TestRolesThatLookMisspelt(t *testing.T) {
	p := parse(t, lax+`rules:
  - {id: a, match: {roles: ["!admin", intren]}, decision: confirm, reason: R}
  - {id: b, match: {roles: ["night-*"]}, decision: confirm, reason: R}
  - {id: c, when: "'auditor' in caller.roles || 'auditor' in caller.roles", decision: confirm, reason: R}
  - {id: d, match: {roles: [lead]}, decision: confirm, reason: R}
  - {id: e, match: {roles: ["!lead"]}, decision: confirm, reason: R}
exempt: [{rule: a, when: "'agnet' in caller.roles", until: 2999-01-01, reason: R}]
tests:
  - {name: t, as: {roles: [intern, night-shift]}, call: {action: list_calls}, expect: {decision: confirm}}
`)
	want := `policy x:4:39: the rule a names the role "intren", which nothing else does, did you mean intern?
policy x:6:20: the rule c names the role "auditor", which nothing else does: it is none of agent, operator, approver, admin; where it is a role of your own, name it in a test
policy x:9:27: the rule a names the role "agnet", which nothing else does, did you mean agent?`
	if got := findings(p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestBare: a file that is added to others is not told that its rules never matter.
func TestBare(t *testing.T) {
	p := parse(t, head+"rules: [{id: a, match: {actions: [end_call]}, decision: confirm, reason: R}]\n")
	if !p.Bare() || findings(p) != "" {
		t.Errorf("%v %s", p.Bare(), findings(p))
	}
	if p := parse(t, lax); p.Bare() {
		t.Error("it has defaults")
	}
}

// TestWithout: a test can say that a rule does not match, and is told why it does.
func TestWithout(t *testing.T) {
	r := rules.RunTests(parse(t, head+`rules:
  - {id: a, match: {actions: [end_call]}, decision: deny, reason: R}
  - {id: b, match: {actions: [end_call]}, when: "caller.roles[0] == 'x'", decision: deny, reason: R}
tests:
  - {name: passes, call: {action: list_calls}, expect: {without: [a, b]}}
  - {name: matches, as: {roles: [y]}, call: {action: end_call, input: {callUuid: c}}, expect: {without: [a, b]}}
  - {name: fails, call: {action: end_call, input: {callUuid: c}}, expect: {decision: deny, without: [b]}}
`))
	want := []string{"", "expected that a does not match, and it does",
		"expected that b does not match, and it cannot be decided: index out of bounds: 0"}
	for i, c := range r.Results {
		if c.Why != want[i] {
			t.Errorf("%s: %q, want %q", c.Name, c.Why, want[i])
		}
	}
	if r.Rules != 2 || r.Unfired != nil {
		t.Errorf("%+v", r)
	}
}

// TestRecipientConditions: what asks only how many people there are does not ask who they are.
func TestRecipientConditions(t *testing.T) {
	rule := func(when string) *rules.Policy {
		return parse(t, lax+"lists: {ours: [\"+44\"]}\nbudgets: {rings: {key: caller, rate: 1/h, burst: 1, cost: recipients.size()}}\nrules:\n"+
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
