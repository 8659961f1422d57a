package rules_test

import (
	"slices"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestRunTests: a failed test reports the actual decision and its reason, and the report names the
// rules that no test fires.
func TestRunTests(t *testing.T) {
	p := parse(t, laxDefaults+`rules:
  - {id: a, match: {actions: [end_call]}, decision: deny, reason: No hanging up.}
  - {id: b, match: {actions: [list_calls]}, when: "!between(now, 'UTC', '11:00', '13:00')", decision: confirm, reason: R}
  - {id: c, match: {actions: ["start_*"]}, when: recipients.size() == 3, decision: approve, reason: R}
  - {id: d, match: {actions: [list_calls], roles: [x]}, decision: deny, reason: R}
tests:
  - {name: passes, call: {action: end_call, input: {callUuid: c}}, expect: {decision: deny, rules: [a]}}
  - {name: another decision, call: {action: end_call, input: {callUuid: c}}, expect: {decision: confirm}}
  - {name: another rule, call: {action: end_call, input: {callUuid: c}}, expect: {rules: [a, b]}}
  - {name: now is noon, call: {action: list_calls}, expect: {decision: allow}}
  - {name: three, recipients: 3, call: {action: start_bulk_outbound_call, input: {groupId: 0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11}}, expect: {decision: approve, rules: [c]}}
  - {name: listed, call: {action: start_bulk_outbound_call, input: {contactIds: [0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11]}}, expect: {decision: validate}}
`)
	r := rules.RunTests(p)
	want := []string{"", "expected confirm, got deny (policy x: rule a: No hanging up)", "expected that b matches (other actions); matching rules: a", "", "", ""}
	for i, c := range r.Results {
		if c.Why != want[i] || c.Passed != (want[i] == "") || c.Policy != "x" || c.Line != 9+i {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Results) != 6 || !slices.Equal(r.Unfired, []string{"b", "d"}) {
		t.Errorf("%+v", r)
	}
}

// TestExpectWithout: a test can expect that a rule does not match.
func TestExpectWithout(t *testing.T) {
	r := rules.RunTests(parse(t, head+`rules:
  - {id: a, match: {actions: [end_call]}, decision: deny, reason: R}
  - {id: b, match: {actions: [end_call]}, when: "caller.roles[0] == 'x'", decision: deny, reason: R}
tests:
  - {name: passes, call: {action: list_calls}, expect: {without: [a, b]}}
  - {name: matches, as: {roles: [y]}, call: {action: end_call, input: {callUuid: c}}, expect: {without: [a, b]}}
  - {name: fails, call: {action: end_call, input: {callUuid: c}}, expect: {decision: deny, without: [b]}}
`))
	want := []string{"", "expected that a does not match, but it does",
		"expected that b does not match, but it cannot be evaluated: index out of bounds: 0"}
	for i, c := range r.Results {
		if c.Why != want[i] {
			t.Errorf("%s: %q, want %q", c.Name, c.Why, want[i])
		}
	}
	if r.Rules != 2 || r.Unfired != nil {
		t.Errorf("%+v", r)
	}
}

// TestProfiles runs the tests of the profiles. Each rule must fire in one.
func TestProfiles(t *testing.T) {
	for _, name := range rules.Profiles {
		p, err := rules.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		r := rules.RunTests(p)
		for _, c := range r.Results {
			if !c.Passed {
				t.Errorf("%s:%d: %s: %s", c.Policy, c.Line, c.Name, c.Why)
			}
		}
		if len(r.Unfired) > 0 || len(r.Results) == 0 {
			t.Errorf("%s: rules that no test fires: %v", name, r.Unfired)
		}
	}
}
