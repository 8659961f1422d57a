package schemas

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Undo says which call puts back what a write replaced. Where Mark is empty,
// Set is the write itself and its input takes the old values by their own names.
type Undo struct {
	// Never is why there is none: one clause, lower case. Nothing else is set then.
	Never string
	// Mark is the field whose old value decides between Set and Unset: null or not.
	Mark string
	// Set is the action that puts back a record whose mark was set.
	Set string
	// Unset is the action that puts back a record whose mark was null.
	Unset string
	// WhySet and WhyUnset say why there is no such action.
	WhySet, WhyUnset string
	// Input names the replaced field that each input key of Set takes.
	Input map[string]string
}

// Reverse gives the call that puts back what a write replaced: the action and
// its arguments as a tool takes them, compact, which Check has taken. payload
// is the write's [Payload.Body] and replaced what [Payload.Replaced] gave.
//
// It is for what a record holds, not for what happened since: an email that
// was sent meanwhile stays sent, and when and by whom a flag or a label was
// set is then of the reversal. Where there is none the error is an [Error] of
// [InvalidArguments] that says `… cannot be undone` and why.
func Reverse(action string, payload, replaced json.RawMessage) (name string, args json.RawMessage, err error) {
	a, err := Find(action)
	if err != nil {
		return "", nil, err
	}
	return a.reverse(payload, replaced)
}

func (a *Action) reverse(payload, replaced json.RawMessage) (string, json.RawMessage, error) {
	no := func(format string, args ...any) (string, json.RawMessage, error) {
		return "", nil, &Error{Outcome: InvalidArguments, Message: a.Name + " cannot be undone: " + fmt.Sprintf(format, args...),
			Next: "nothing was sent; look at the record and set by hand what should be otherwise"}
	}
	if why := a.irreversible(); why != "" {
		return no("%s", why)
	}
	p, err := a.recorded(payload)
	if err != nil {
		return no("its arguments are not known any more: %s", reasonOf(err))
	}
	old, derr := decode(replaced)
	if derr != nil {
		return no("what it replaced cannot be read")
	}
	if len(old) == 0 {
		return no("what it replaced was not kept")
	}
	return a.putBack(p, old, no)
}

// irreversible is why no call of the action can be undone; empty where some can.
func (a *Action) irreversible() string {
	switch {
	case a.Undo != nil:
		return a.Undo.Never
	case a.Class == Read:
		return "it changes nothing"
	case a.Class == Outbound:
		return "it has reached a person or a live call"
	case a.Class == Credential:
		return "a token that was issued cannot be called back"
	}
	return "this API does not bring back what it took away"
}

// recorded reads a payload back through the checker.
func (a *Action) recorded(payload json.RawMessage) (*Payload, error) {
	args, err := decode(payload)
	if err != nil {
		return nil, err
	}
	if name, ok := args["action"]; ok && name != a.Name {
		return nil, &Error{Outcome: InvalidArguments, Message: "they are another action's"}
	}
	delete(args, "action")
	return a.Check(encode(args), Limits{})
}

func (a *Action) putBack(p *Payload, old map[string]any, no func(string, ...any) (string, json.RawMessage, error)) (string, json.RawMessage, error) {
	u, in, from := a.Undo, map[string]any{}, map[string]string{}
	name := u.Set
	if u.Mark == "" {
		sent, _ := p.Args["input"].(map[string]any)
		for _, k := range SortedKeys(sent) {
			if k != a.RecordKey {
				from[k] = k
			}
		}
		for _, k := range a.Replaces {
			from[k] = k
		}
		if len(from) == 0 {
			return no("it changed nothing")
		}
		if a.RecordKey != "" {
			in[a.RecordKey] = sent[a.RecordKey]
		}
	} else {
		mark, kept := old[u.Mark]
		switch {
		case !kept:
			return no("the old value of %s was not kept", u.Mark)
		case mark == nil && u.Unset == "":
			return no("%s", u.WhyUnset)
		case mark == nil:
			name = u.Unset
		case u.Set == "":
			return no("%s", u.WhySet)
		default:
			from = u.Input
		}
	}
	back := byName[name]
	for _, k := range slices.Sorted(maps.Keys(from)) {
		f := from[k]
		v, kept := old[f]
		switch {
		case a.Resource.Field(f) == nil:
			return no("the old value of %s cannot be read", f)
		case !kept:
			return no("the old value of %s was not kept", f)
		case v == nil && !slices.Contains(back.check.props["input"].props[k].types, "null"):
			return no("%s was empty and cannot be emptied again", f)
		}
		in[k] = v
	}
	args := map[string]any{}
	if id, ok := p.Args["identity"]; ok {
		args["identity"] = id
	}
	if len(in) > 0 {
		args["input"] = in
	}
	raw := encode(args)
	if _, err := back.Check(raw, Limits{}); err != nil {
		return no("the old values would not be taken: %s", reasonOf(err))
	}
	return name, raw, nil
}

// reasonOf is an error's text without its outcome.
func reasonOf(err error) string {
	return strings.TrimPrefix(err.Error(), string(InvalidArguments)+": ")
}
