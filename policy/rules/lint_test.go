package rules_test

import (
	"slices"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestLint: what never matches or never matters is found, with its place; what matters is not.
func TestLint(t *testing.T) {
	p := parse(t, lax+`lists: {used: [a], unused: [b]}
budgets:
  used: {key: caller, rate: 1/h, burst: 1}
  unused: {key: caller, rate: 1/h, burst: 1}
rules:
  - {id: empty, match: {actions: ["start_*"], classes: [read]}, decision: deny, reason: R}
  - {id: never, when: false, decision: deny, reason: R}
  - {id: never-computed, when: "1 > 2 || [1].exists(x, x == 2)", decision: deny, reason: R}
  - {id: always, when: true, decision: deny, reason: R}
  - {id: weak, match: {classes: [credential]}, decision: approve, reason: R}
  - {id: hides-nothing, match: {actions: [list_calls]}, redact: [Contact.email], reason: R}
  - {id: limits-nothing, match: {classes: [credential]}, limit: used, reason: R}
  - {id: equal, match: {actions: [create_contact]}, decision: validate, reason: R}
  - {id: matters, when: caller.id in lists.used, decision: validate, reason: R}
  - {id: fails, when: "1 / 0 > 1", decision: deny, reason: R}
  - {id: limits, match: {classes: [read]}, limit: used, reason: R}
exempt:
  - {rule: matters, when: "false", until: 2999-01-01, reason: R}
`)
	want := []string{
		"policy x:3:20: the list unused is used by no rule",
		"policy x:6:3: the budget unused is used by no rule: write a rule with limit: unused",
		"policy x:8:10: the rule empty never matches: no action is all that its match asks for",
		"policy x:9:10: the rule never never matches: its when is false for every call",
		"policy x:10:10: the rule never-computed never matches: its when is false for every call",
		"policy x:11:10: the rule always has a when that is true for every call: leave it out",
		"policy x:12:10: the rule weak never matters: the default of all that it matches is stricter than approve",
		"policy x:13:10: the rule hides-nothing hides nothing: no action that it matches answers with these fields",
		"policy x:14:10: the rule limits-nothing never matters: what it limits is denied anyway",
		"policy x:20:5: the exemption from matters never applies: its when is false for every call",
	}
	var got []string
	for _, f := range p.Lint() {
		got = append(got, f.String())
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not found: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("found: %s", g)
		}
	}
}

// TestProfilesAreTidy: what people read as examples has no findings and no notes.
func TestProfilesAreTidy(t *testing.T) {
	for _, name := range rules.Profiles {
		p, err := rules.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lint()) > 0 || len(p.Notes()) > 0 {
			t.Errorf("%s: %v %v", name, p.Lint(), p.Notes())
		}
	}
	if p := example(t); len(p.Lint()) > 0 {
		t.Error(p.Lint())
	}
}

// TestRunTests: a test that fails says what came instead and why, and rules that no test fires are named.
func TestRunTests(t *testing.T) {
	p := parse(t, lax+`rules:
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
	want := []string{"", "expected confirm, got deny (policy x: rule a: No hanging up)", "expected that b matches (other actions); what matched: a", "", "", ""}
	for i, c := range r.Results {
		if c.Why != want[i] || c.Passed != (want[i] == "") || c.Policy != "x" || c.Line != 9+i {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Results) != 6 || r.Passed() || !slices.Equal(r.Unfired, []string{"b", "d"}) {
		t.Errorf("%+v", r)
	}
}
