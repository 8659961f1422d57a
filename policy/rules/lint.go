package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Finding is a likely mistake in a policy that can be loaded.
type Finding struct {
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	Col    int    `json:"col"`
	// Rule is the id of the rule; empty for a list or a budget.
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
}

// String returns the position and the message, as Fault.Error does.
func (f Finding) String() string {
	return fmt.Sprintf("policy %s:%d:%d: %s", f.Policy, f.Line, f.Col, f.Message)
}

// LintFiles lints each of the policies alone, and all of them together as [Load] composes them. The
// error joins those of loading.
func LintFiles(names ...string) ([]Finding, error) {
	var out []Finding
	var faults []error
	add := func(found ...Finding) {
		for _, f := range found {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	for _, name := range names {
		p, err := Load(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		// A file without defaults is linted together with the others.
		if len(names) == 1 || !p.WithoutDefaults() {
			add(p.Lint()...)
		}
		if len(names) == 1 && p.WithoutDefaults() {
			add(Finding{Policy: p.name, Line: 1, Col: 1,
				Message: "the file has no defaults, so alone it denies everything: name it with another, such as --policy desktop," + name})
		}
		for _, message := range p.ExpiredExemptions() {
			add(Finding{Policy: p.name, Message: message})
		}
	}
	if len(names) > 1 && faults == nil {
		p, err := Load(names...)
		if err != nil {
			return out, err
		}
		add(p.Lint()...)
	}
	return out, errors.Join(faults...)
}

// Lint finds rules that never match or have no effect, lists and budgets that no rule uses, and
// roles that look misspelt. It assumes that a file without defaults is added to others.
func (p *Policy) Lint() []Finding {
	var out []Finding
	for _, f := range p.files {
		add := func(at position, rule, format string, args ...any) {
			out = append(out, Finding{f.name, at.line, at.col, rule, fmt.Sprintf(format, args...)})
		}
		limited := map[*budget]bool{}
		for _, u := range f.rules {
			limited[u.limit] = true
			if m := p.whyIneffective(u); m != "" {
				add(u.at, u.id, "the rule %s %s", u.id, m)
			}
			for _, x := range u.exempt {
				if v, ok := x.when.constantValue(); ok && !v {
					add(x.at, u.id, "the exemption from %s never applies: its when is false for every call", u.id)
				}
			}
		}
		for _, name := range names(f.lists) {
			if !f.listUsed[name] {
				add(f.listPositions[name], "", "the list %s is used by no rule", name)
			}
		}
		for _, name := range names(f.budgets) {
			if b := f.budgets[name]; !limited[b] {
				add(b.at, "", "the budget %s is used by no rule: write a rule with limit: %s", name, name)
			}
		}
	}
	out = append(out, p.unknownRoles()...)
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Line, b.Line)) })
	return out
}

// whyIneffective returns why the rule never matches or has no effect; empty if it has one.
func (p *Policy) whyIneffective(u *rule) string {
	about := u.actions()
	if len(about) == 0 {
		return "never matches: no action fits all lists of its match"
	}
	if v, ok := u.when.constantValue(); ok {
		if !v {
			return "never matches: its when is false for every call"
		}
		return "has a when that is true for every call: remove it"
	}
	matters := false
	for _, a := range about {
		silent := p.plans[a.Name].noDefault // the file has no default, so another file decides
		switch {
		case u.redact != nil:
			matters = matters || hiddenFields(u.redact, a) != nil
		case u.limit != nil:
			matters = matters || silent || p.plans[a.Name].defaultDecision < Deny
		default:
			matters = matters || silent || u.decision >= p.plans[a.Name].defaultDecision
		}
	}
	switch {
	case matters:
		return ""
	case u.redact != nil:
		return "hides nothing: no action that it matches returns these fields"
	case u.limit != nil:
		return "has no effect: all that it limits is denied"
	}
	return fmt.Sprintf("has no effect: the default of all that it matches is stricter than %s", u.decision)
}

// constantValue returns the value of a condition for every call; not ok if it depends on the call.
func (e *expr) constantValue() (v, ok bool) {
	if e == nil || !e.constant {
		return false, false
	}
	for _, p := range e.programs {
		out, _, err := p.plain.Eval(cel.NoVars())
		b, isBool := out.(types.Bool)
		return bool(b), err == nil && isBool
	}
	return false, false
}

// Roles are the roles with a meaning in this program. A file may name others.
var Roles = []string{"agent", "operator", "approver", "admin"}

// roleRefs returns the roles that a rule and its exemptions name.
func (u *rule) roleRefs() []roleRef {
	out := slices.Clone(u.match.roleRefs)
	if u.when != nil {
		out = append(out, u.when.roles...)
	}
	for _, x := range u.exempt {
		if x.when != nil {
			out = append(out, x.when.roles...)
		}
	}
	return out
}

// unknownRoles finds roles that are not in Roles, and that no other rule and no test names. Most
// often they are misspelt, so that the rule matches nobody.
func (p *Policy) unknownRoles() (out []Finding) {
	tested := slices.Clone(Roles)
	for _, f := range p.files {
		for _, t := range f.cases {
			tested = append(tested, t.facts.Caller.Roles...)
		}
	}
	for _, u := range p.rules {
		known := slices.Clone(tested)
		for _, other := range p.rules {
			if other != u {
				for _, n := range other.roleRefs() {
					known = append(known, n.role)
				}
			}
		}
		var seen []string
		for _, n := range u.roleRefs() {
			if slices.ContainsFunc(known, func(k string) bool { return glob(n.role, k) }) || slices.Contains(seen, n.role) {
				continue
			}
			seen = append(seen, n.role)
			m := fmt.Sprintf("the rule %s names the role %s, and nothing else does", u.id, quote(n.role))
			if near := schemas.Nearest(n.role, known); near != "" {
				m += ", did you mean " + near + "?"
			} else {
				m += fmt.Sprintf(": it is not one of %s; if it is your own role, name it in a test", strings.Join(Roles, ", "))
			}
			out = append(out, Finding{u.file.name, n.at.line, n.at.col, u.id, m})
		}
	}
	return out
}
