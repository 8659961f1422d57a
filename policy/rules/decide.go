package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Decide says what a call needs. An action that the policy does not know is denied.
func (p *Policy) Decide(f Facts) Verdict { return p.decide(&f, nil) }

// decide goes through the rules of the action. see, where it is not nil, is told of each.
func (p *Policy) decide(f *Facts, see func(Step)) Verdict {
	var plan *plan
	if f.Payload != nil && f.Payload.Action != nil {
		plan = p.plans[f.Payload.Action.Name]
	}
	if plan == nil {
		return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s does not know the action", p.name)}
	}
	v := Verdict{Decision: plan.base, Why: plan.why}
	s := activation{facts: f, large: larger(f)}
	failed, ruled := false, false // whether Why is a failure's, or a rule's at all
	say := func(d Decision, broken bool, why func() string) {
		// Of equals a rule says more than the default, and anything more than a failure; then the first id.
		if d > v.Decision || d == v.Decision && !broken && (!ruled || failed) {
			v.Decision, v.Why, failed, ruled = d, why(), broken, true
		}
	}
	for _, b := range plan.rules {
		if !b.match.caller(f.Caller) {
			report(see, b, NotCaller, "")
			continue
		}
		matched, err := s.true(b.when, b.file)
		if !matched && err == nil {
			report(see, b, NotWhen, "")
			continue
		}
		if x := s.exempted(b); x != nil {
			v.Exempted = append(v.Exempted, Exempted{Rule: b.id, Reason: x.reason, Until: x.until.Format(time.DateOnly)})
			report(see, b, Exempt, x.reason)
			continue
		}
		v.Rules = append(v.Rules, b.id)
		if err == nil && b.limit != nil {
			err = s.debit(&v, b)
		}
		if err != nil {
			say(Deny, true, func() string {
				return fmt.Sprintf("policy %s: rule %s cannot be evaluated, so it denies: %s", b.file.name, b.id, clip(err.Error(), 200))
			})
			report(see, b, Failed, err.Error())
			continue
		}
		v.Hidden = append(v.Hidden, b.hidden...)
		if b.decision != 0 {
			say(b.decision, false, func() string {
				return fmt.Sprintf("policy %s: rule %s: %s", b.file.name, b.id, strings.TrimSuffix(b.reason, "."))
			})
		}
		report(see, b, Matched, "")
	}
	v.Decision = max(v.Decision, least(f.Payload.Action.Class)) // whatever files say
	if v.Decision == Deny {
		v.Debits = nil // it takes nothing
	}
	slices.SortFunc(v.Debits, func(a, b Debit) int { return cmp.Or(cmp.Compare(a.Budget, b.Budget), cmp.Compare(a.Key, b.Key)) })
	v.Hidden, v.Rules = unique(v.Hidden), unique(v.Rules)
	return v
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// Hidden gives the fields of the action's answer that the caller must not see, such as `Contact.dateOfBirth`, sorted.
func (p *Policy) Hidden(a *schemas.Action, c Caller) []string {
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

// activation is the facts as expressions read them, each value made when it is first asked for.
type activation struct {
	facts  *Facts
	file   *file
	large  bool // larger than estimates assume
	values [slots]ref.Val
	known  [slots]bool
}

// The slots of variables in a scene.
const (
	slotAction = iota
	slotCaller
	slotNow
	slotInput
	slotIdentity
	slotFilter
	slotFields
	slotRecipients
	slots
)

// true evaluates a condition. Where there is none it holds.
func (s *activation) true(p *program, f *file) (bool, error) {
	if p == nil {
		return true, nil
	}
	v, err := s.eval(p, f)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it gives %s, neither true nor false", v.Type().TypeName())
	}
	return bool(b), nil
}

func (s *activation) eval(p *program, f *file) (ref.Val, error) {
	s.file = f
	run := p.plain
	if s.large {
		run = p.counted
	}
	v, _, err := run.Eval(s)
	return v, err
}

// exempted gives the exemption that takes the rule away. One that cannot be evaluated does not apply.
func (s *activation) exempted(b *bound) *exemption {
	for _, x := range b.exempt {
		if s.facts.Now.IsZero() || x.over(s.facts.Now) {
			continue
		}
		if ok, err := s.true(x.when, b.file); ok && err == nil {
			return x.exemption
		}
	}
	return nil
}

// debit adds what the call takes from the rule's budget. Two rules with one budget take from it once.
func (s *activation) debit(v *Verdict, b *bound) error {
	cost := int64(1)
	if b.cost != nil {
		out, err := s.eval(b.cost, b.file)
		if err != nil {
			return fmt.Errorf("the cost of budget %s: %w", b.limit.name, err)
		}
		n, ok := out.(types.Int)
		if !ok || n < 0 {
			return fmt.Errorf("the cost of budget %s is %v, it must be 0 or more", b.limit.name, out.Value())
		}
		cost = int64(n)
	}
	var keys []string
	switch b.limit.key {
	case "caller":
		keys = []string{"caller:" + s.facts.Caller.ID}
	case "role":
		for _, r := range unique(slices.Clone(s.facts.Caller.Roles)) {
			keys = append(keys, "role:"+r)
		}
		if keys == nil {
			keys = []string{"role:"} // those without any share one
		}
	default:
		keys = []string{"organisation"}
	}
	for _, k := range keys {
		d := Debit{Budget: b.file.name + "/" + b.limit.name, Key: k, Cost: cost, Interval: b.limit.interval, Burst: b.limit.burst}
		if cost > 0 && !slices.Contains(v.Debits, d) {
			v.Debits = append(v.Debits, d)
		}
	}
	return nil
}

// Parent is nil: there is one scene.
func (s *activation) Parent() interpreter.Activation { return nil }

// ResolveName gives a variable.
func (s *activation) ResolveName(name string) (any, bool) {
	if name == "lists" {
		return s.file.values, true
	}
	var i int
	switch name {
	case "action":
		i = slotAction
	case "caller":
		i = slotCaller
	case "now":
		i = slotNow
	case "input":
		i = slotInput
	case "identity":
		i = slotIdentity
	case "filter":
		i = slotFilter
	case "fields":
		i = slotFields
	case "recipients":
		i = slotRecipients
	default:
		return nil, false
	}
	if !s.known[i] {
		s.values[i], s.known[i] = s.value(i), true
	}
	return s.values[i], s.values[i] != nil
}

// value makes a variable; nil where there is none.
func (s *activation) value(slot int) ref.Val {
	args := s.facts.Payload.Args
	switch slot {
	case slotAction:
		return types.String(s.facts.Payload.Action.Name)
	case slotCaller:
		return &record{callerShape, &s.facts.Caller}
	case slotNow:
		if !s.facts.Now.IsZero() {
			return types.Timestamp{Time: s.facts.Now}
		}
	case slotInput:
		in, ok := args["input"].(map[string]any)
		if args["input"] != nil && !ok {
			return nil
		}
		return &record{celEnvOf(s.facts.Payload.Action).input, in}
	case slotIdentity:
		if id, ok := args["identity"].(string); ok {
			return types.String(id)
		}
	case slotFilter:
		filter, ok := args["filter"].(map[string]any)
		if args["filter"] != nil && !ok {
			return nil
		}
		return adapter{}.NativeToValue(filter)
	case slotFields:
		fields, ok := args["fields"].([]any)
		if args["fields"] != nil && !ok {
			return nil
		}
		return adapter{}.NativeToValue(fields)
	case slotRecipients:
		if s.facts.Recipients != nil {
			return newRecipientList(s.facts.Recipients)
		}
	}
	return nil
}
