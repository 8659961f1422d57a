package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Decide returns what a call needs. The zero Policy denies every action.
func (p *Policy) Decide(f Facts) Verdict { return p.decide(&f, nil) }

// decide evaluates the rules of the action. It calls see, if not nil, for each.
func (p *Policy) decide(f *Facts, see func(Step)) Verdict {
	var plan *plan
	if f.Payload != nil && f.Payload.Action != nil {
		plan = p.plans[f.Payload.Action.Name]
	}
	if plan == nil {
		return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s has no decision for the action", p.name)}
	}
	safe := f.Safe()
	v := Verdict{Decision: plan.defaultDecision, Why: plan.why}
	if safe {
		v = Verdict{Decision: plan.safeDecision, Why: plan.safeWhy}
	}
	a := activation{facts: f, exceeds: exceedsEstimates(f)}
	byRule, byFailure := false, false // what v.Why is from; the default if both are false
	raise := func(d Decision, failed bool, why func() string) {
		// Of equal decisions the reason of a rule is more useful than a failure or the default, and
		// the first id wins.
		if d > v.Decision || d == v.Decision && !failed && (!byRule || byFailure) {
			v.Decision, v.Why, byRule, byFailure = d, why(), true, failed
		}
	}
	for _, b := range plan.rules {
		if !b.match.caller(f.Caller) {
			report(see, b, NotCaller, "")
			continue
		}
		matched, err := a.holds(b.when, b.file)
		if !matched && err == nil {
			report(see, b, NotWhen, "")
			continue
		}
		if x := a.exempted(b); x != nil {
			v.Exempted = append(v.Exempted, Exempted{Rule: b.id, Reason: x.reason, Until: x.until.Format(time.DateOnly)})
			report(see, b, Exempt, x.reason)
			continue
		}
		v.Rules = append(v.Rules, b.id)
		if err == nil && b.limit != nil {
			err = a.debit(&v, b)
		}
		if err != nil {
			raise(Deny, true, func() string {
				return fmt.Sprintf("policy %s: rule %s cannot be evaluated, so it denies: %s", b.file.name, b.id, clip(err.Error(), 200))
			})
			report(see, b, Failed, err.Error())
			continue
		}
		v.Hidden = append(v.Hidden, b.hidden...)
		if b.decision != 0 {
			raise(b.decision, false, func() string {
				return fmt.Sprintf("policy %s: rule %s: %s", b.file.name, b.id, strings.TrimSuffix(b.reason, "."))
			})
		}
		report(see, b, Matched, "")
	}
	v.Decision = max(v.Decision, minDecision(f.Payload.Action.Class))
	if safe {
		v.waitForNobody()
	}
	switch {
	case v.Decision == Deny || safe && f.Payload.Action.Safe != schemas.SafeAlways:
		v.Debits = nil
	case safe: // a person is not asked, but there is an end: such calls can bury others
		v.Debits = slices.DeleteFunc(v.Debits, func(d Debit) bool { return d.Refill > 0 })
	}
	if v.Decision == Deny {
		v.Reading = nil
	}
	slices.SortFunc(v.Debits, byShare)
	slices.SortFunc(v.Reading, byShare)
	v.Hidden, v.Rules = unique(v.Hidden), unique(v.Rules)
	return v
}

func byShare(a, b Debit) int {
	return cmp.Or(cmp.Compare(a.Budget, b.Budget), cmp.Compare(a.Key, b.Key))
}

// waitForNobody lowers a decision that waits for a person, for a call in the safe direction. A deny
// stays.
func (v *Verdict) waitForNobody() {
	if v.Decision > Validate && v.Decision < Deny {
		v.Decision, v.Why = Validate, "the call is in the safe direction, which waits for nobody"
	}
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// HiddenFields returns the fields of the action's answer that the caller must not see, such as
// `Contact.dateOfBirth`, sorted.
func (p *Policy) HiddenFields(a *schemas.Action, c Caller) []string {
	var out []string
	if plan := p.plans[a.Name]; plan != nil {
		for _, b := range plan.rules {
			if b.hidden != nil && b.match.caller(c) {
				out = append(out, b.hidden...)
			}
		}
	}
	return unique(out)
}

// Mildest returns the mildest verdict that any payload of the action can get for the caller. Only
// rules without a condition and without a current exemption count, since the others may not apply.
func (p *Policy) Mildest(a *schemas.Action, c Caller) Verdict {
	plan := p.plans[a.Name]
	if plan == nil {
		return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s has no decision for %s", p.name, a.Name)}
	}
	v := plan.mildest(Verdict{Decision: max(plan.defaultDecision, minDecision(a.Class)), Why: plan.why}, c)
	if a.Safe == "" {
		return v
	}
	safe := plan.mildest(Verdict{Decision: plan.safeDecision, Why: plan.safeWhy}, c)
	if safe.waitForNobody(); safe.Decision < v.Decision {
		return safe
	}
	return v
}

// mildest raises the verdict by the rules that apply to all payloads.
func (p *plan) mildest(v Verdict, c Caller) Verdict {
	now := time.Now()
	for _, b := range p.rules {
		if b.rule.when == nil && b.decision > v.Decision && b.match.caller(c) && !slices.ContainsFunc(b.exempt, func(x boundExemption) bool { return !x.expired(now) }) {
			v.Decision, v.Rules = b.decision, []string{b.id}
			v.Why = fmt.Sprintf("policy %s: rule %s: %s", b.file.name, b.id, strings.TrimSuffix(b.reason, "."))
		}
	}
	return v
}
