package rules

import (
	"cmp"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Finding is something in a policy that does no harm and cannot be meant.
type Finding struct {
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	Col    int    `json:"col"`
	// Rule is the rule that it is about; empty where it is about something else.
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
}

// String gives the place and the message, as a Fault does.
func (f Finding) String() string {
	return fmt.Sprintf("policy %s:%d:%d: %s", f.Policy, f.Line, f.Col, f.Message)
}

// Lint finds rules that never match or never matter, lists and budgets that no
// rule uses, and roles that look misspelt. A file without defaults is taken for one that is added to others.
func (p *Policy) Lint() []Finding {
	var out []Finding
	for _, f := range p.files {
		add := func(at position, rule, format string, args ...any) {
			out = append(out, Finding{f.name, at.line, at.col, rule, fmt.Sprintf(format, args...)})
		}
		limited := map[*budget]bool{}
		for _, u := range f.rules {
			limited[u.limit] = true
			if m := p.idle(u); m != "" {
				add(u.at, u.id, "the rule %s %s", u.id, m)
			}
			for _, x := range u.exempt {
				if v, ok := x.when.value(); ok && !v {
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
	out = append(out, p.unknownNames()...)
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Line, b.Line)) })
	return out
}

// idle says why the rule does nothing; empty where it does something.
func (p *Policy) idle(u *rule) string {
	about := u.actions()
	if len(about) == 0 {
		return "never matches: no action is all that its match asks for"
	}
	if v, ok := u.when.value(); ok {
		if !v {
			return "never matches: its when is false for every call"
		}
		return "has a when that is true for every call: leave it out"
	}
	matters := false
	for _, a := range about {
		silent := p.plans[a.Name].silent // a file that others are added to: what is strict depends on them
		switch {
		case u.redact != nil:
			matters = matters || hides(u.redact, a) != nil
		case u.limit != nil:
			matters = matters || silent || p.plans[a.Name].base < Deny
		default:
			matters = matters || silent || u.decision >= p.plans[a.Name].base
		}
	}
	switch {
	case matters:
		return ""
	case u.redact != nil:
		return "hides nothing: no action that it matches answers with these fields"
	case u.limit != nil:
		return "never matters: what it limits is denied anyway"
	}
	return fmt.Sprintf("never matters: the default of all that it matches is stricter than %s", u.decision)
}

// value gives what a condition says of every call; not ok where it depends on the call.
func (e *expr) value() (v, ok bool) {
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
