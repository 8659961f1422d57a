package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestLint checks all findings with their positions, and that rules with an effect have none.
func TestLint(t *testing.T) {
	p := parse(t, laxDefaults+`lists: {used: [a], unused: [b]}
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
		"policy x:8:10: the rule empty never matches: no action fits all lists of its match",
		"policy x:9:10: the rule never never matches: its when is false for every call",
		"policy x:10:10: the rule never-computed never matches: its when is false for every call",
		"policy x:11:10: the rule always has a when that is true for every call: remove it",
		"policy x:12:10: the rule weak has no effect: the default of all that it matches is stricter than approve",
		"policy x:13:10: the rule hides-nothing hides nothing: no action that it matches returns these fields",
		"policy x:14:10: the rule limits-nothing has no effect: all that it limits is denied",
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

// TestProfilesLint checks that the profiles and the example have no findings.
func TestProfilesLint(t *testing.T) {
	for _, name := range rules.Profiles {
		p, err := rules.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lint()) > 0 || len(p.ExpiredExemptions()) > 0 {
			t.Errorf("%s: %v %v", name, p.Lint(), p.ExpiredExemptions())
		}
	}
	if p := example(t); len(p.Lint()) > 0 {
		t.Error(p.Lint())
	}
}

func findings(p *rules.Policy) string {
	var out []string
	for _, f := range p.Lint() {
		out = append(out, f.String())
	}
	return strings.Join(out, "\n")
}

// TestUnknownRoles: a role that something else names too is not reported.
func TestUnknownRoles(t *testing.T) {
	p := parse(t, laxDefaults+`rules:
  - {id: a, match: {roles: ["!admin", intren]}, decision: confirm, reason: R}
  - {id: b, match: {roles: ["night-*"]}, decision: confirm, reason: R}
  - {id: c, when: "'auditor' in caller.roles || 'auditor' in caller.roles", decision: confirm, reason: R}
  - {id: d, match: {roles: [lead]}, decision: confirm, reason: R}
  - {id: e, match: {roles: ["!lead"]}, decision: confirm, reason: R}
exempt: [{rule: a, when: "'agnet' in caller.roles", until: 2999-01-01, reason: R}]
tests:
  - {name: t, as: {roles: [intern, night-shift]}, call: {action: list_calls}, expect: {decision: confirm}}
`)
	want := `policy x:4:39: the rule a names the role "intren", and nothing else does, did you mean intern?
policy x:6:20: the rule c names the role "auditor", and nothing else does: it is not one of agent, operator, approver, admin; if it is your own role, name it in a test
policy x:9:27: the rule a names the role "agnet", and nothing else does, did you mean agent?`
	if got := findings(p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWithoutDefaults: the rules of a file without defaults are not reported as without effect.
func TestWithoutDefaults(t *testing.T) {
	p := parse(t, head+"rules: [{id: a, match: {actions: [end_call]}, decision: confirm, reason: R}]\n")
	if !p.WithoutDefaults() || findings(p) != "" {
		t.Errorf("%v %s", p.WithoutDefaults(), findings(p))
	}
	if p := parse(t, laxDefaults); p.WithoutDefaults() {
		t.Error("it has defaults")
	}
}
