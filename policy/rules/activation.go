package rules

import (
	"fmt"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// activation resolves the variables of expressions from facts. It computes each value once, when it
// is first read.
type activation struct {
	facts   *Facts
	file    *file
	exceeds bool // the facts are larger than cost estimates assume
	values  [slots]ref.Val
	known   [slots]bool
}

// The slots of the variables.
const (
	slotAction = iota
	slotCaller
	slotNow
	slotInput
	slotIdentity
	slotFilter
	slotFields
	slotRecipients
	slotMatches
	slotCurrent
	slots
)

// holds evaluates a condition. A missing condition is true.
func (a *activation) holds(p *program, f *file) (bool, error) {
	if p == nil {
		return true, nil
	}
	v, err := a.eval(p, f)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it returns %s, not true or false", v.Type().TypeName())
	}
	return bool(b), nil
}

func (a *activation) eval(p *program, f *file) (ref.Val, error) {
	a.file = f
	run := p.plain
	if a.exceeds {
		run = p.counted
	}
	v, _, err := run.Eval(a)
	return v, err
}

// exempted returns the exemption that disables the rule, or nil. One that cannot be evaluated does
// not apply.
func (a *activation) exempted(b *boundRule) *exemption {
	for _, x := range b.exempt {
		if a.facts.Now.IsZero() || x.expired(a.facts.Now) {
			continue
		}
		if ok, err := a.holds(x.when, b.file); ok && err == nil {
			return x.exemption
		}
	}
	return nil
}

// Parent implements interpreter.Activation. There is none.
func (a *activation) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	if name == "lists" {
		return a.file.values, true
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
	case "matches":
		i = slotMatches
	case "current":
		i = slotCurrent
	default:
		return nil, false
	}
	if !a.known[i] {
		a.values[i], a.known[i] = a.value(i), true
	}
	return a.values[i], a.values[i] != nil
}

// value computes a variable; nil if the call has none.
func (a *activation) value(slot int) ref.Val {
	args := a.facts.Payload.Args
	switch slot {
	case slotAction:
		return types.String(a.facts.Payload.Action.Name)
	case slotCaller:
		return &record{callerShape, &a.facts.Caller}
	case slotNow:
		if !a.facts.Now.IsZero() {
			return types.Timestamp{Time: a.facts.Now}
		}
	case slotInput:
		in, ok := args["input"].(map[string]any)
		if args["input"] != nil && !ok {
			return nil
		}
		return &record{celEnvOf(a.facts.Payload.Action).input, in}
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
		if a.facts.Recipients != nil {
			return newRecipientList(a.facts.Recipients)
		}
	case slotMatches:
		if r := a.facts.Related; r != nil {
			list := make([]ref.Val, len(r.Matches))
			for i := range r.Matches {
				list[i] = &record{matchShape, &r.Matches[i]}
			}
			return types.NewRefValList(adapter{}, list)
		}
	case slotCurrent:
		if r := a.facts.Related; r != nil && r.Current != nil {
			return &record{currentShape, r.Current}
		}
	}
	return nil
}
