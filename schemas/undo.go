package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// undo says which call puts back what a write replaced.
type undo struct {
	// never is why there is none: one clause, lower case. Nothing else is set then.
	never string
	// mark is the field whose old value decides between Set and Unset. Empty: Set
	// is the write itself, and its input takes the old values by their own names.
	mark string
	// set is the action that puts back a record whose mark was not null.
	set string
	// unset is the action that puts back a record whose mark was null.
	unset string
	// whySet and whyUnset say why there is no such action: one clause, lower case.
	whySet, whyUnset string
	// input names the replaced field that each input key of Set takes.
	input map[string]string
}

// Reverse gives the call that puts back what a write replaced: the action and
// its arguments as its tool takes them, compact, which Check has taken. payload
// is the write's [Payload.Body], replaced what [Payload.Replaced] gave for it.
//
// It puts back what the record held, and nothing that happened since: an email
// sent meanwhile stays sent, another's later change is replaced as well, and
// when and by whom a flag or a label was set is then of the reversal.
//
// Where there is none the error is an [Error] of [InvalidArguments] that says
// `… cannot be undone` and why. It holds no value of the record.
func Reverse(action string, payload, replaced json.RawMessage) (name string, args json.RawMessage, err *Error) {
	a, err := Find(action)
	if err != nil {
		return "", nil, err
	}
	name, args, why := a.reverse(payload, replaced)
	if why != "" {
		return "", nil, &Error{Outcome: InvalidArguments, Message: a.Name + " cannot be undone: " + why,
			Next: "nothing was sent; look at the record and change by hand what should be otherwise"}
	}
	return name, args, nil
}

func (a *Action) reverse(payload, replaced json.RawMessage) (name string, raw json.RawMessage, why string) {
	if why = a.whyIrreversible(); why != "" {
		return "", nil, why
	}
	p, err := a.parsePayload(payload)
	if err != nil {
		return "", nil, "its recorded arguments cannot be read"
	}
	old, unread := decode(replaced)
	switch {
	case unread != nil:
		return "", nil, "what it replaced cannot be read"
	case len(old) == 0:
		return "", nil, "what it replaced was not kept"
	}
	name, from, why := a.restoringAction(p, old)
	if why != "" {
		return "", nil, why
	}
	back := byName[name]
	args, why := a.restoringArgs(p, back, from, old)
	if why != "" {
		return "", nil, why
	}
	raw = encode(args)
	if _, err := back.Check(raw, Limits{}); err != nil {
		return "", nil, whyRejected(err)
	}
	return name, raw, ""
}

// Reversal tells a person whether a call of the action can be taken back: a sentence.
func (a *Action) Reversal() string {
	why := a.whyIrreversible()
	if a.Class == Outbound {
		why = "it reaches a person or a live call"
	}
	if why != "" {
		return "It cannot be undone: " + why + "."
	}
	return "What it replaces is kept, and can be put back."
}

// whyIrreversible is why no call of the action can be undone; empty where some can.
func (a *Action) whyIrreversible() string {
	switch {
	case a.undo != nil:
		return a.undo.never
	case a.Class == Read:
		return "it changes nothing"
	case a.Class == Outbound:
		return "it has reached a person or a live call"
	case a.Class == Credential:
		return "a token that was issued cannot be called back"
	}
	return "this API does not bring back what it took away"
}

// parsePayload reads a payload back through the checker.
func (a *Action) parsePayload(payload json.RawMessage) (*Payload, *Error) {
	args, err := decode(payload)
	if err != nil {
		return nil, err
	}
	if name, ok := args["action"]; ok && name != a.Name {
		return nil, &Error{Outcome: InvalidArguments, Message: "the payload is that of another action, not of " + a.Name}
	}
	delete(args, "action")
	return a.Check(encode(args), Limits{})
}

// restoringAction chooses the action that puts the old values back, and for each of its
// input keys the field whose old value it takes.
func (a *Action) restoringAction(p *Payload, old map[string]any) (name string, from map[string]string, why string) {
	u := a.undo
	if u.mark != "" {
		mark, kept := old[u.mark]
		switch {
		case !kept:
			return "", nil, "the old value of " + u.mark + " was not kept"
		case mark == nil:
			return u.unset, nil, u.whyUnset
		}
		return u.set, u.input, u.whySet
	}
	from = map[string]string{}
	in, _ := p.Args["input"].(map[string]any)
	for k := range in {
		from[k] = k
	}
	for _, k := range a.alsoSets {
		from[k] = k
	}
	delete(from, a.recordKey)
	if len(from) == 0 {
		why = "it changed nothing"
	}
	return u.set, from, why
}

// restoringArgs makes the reversal's arguments.
func (a *Action) restoringArgs(p *Payload, back *Action, from map[string]string, old map[string]any) (args map[string]any, why string) {
	args = map[string]any{}
	if id, ok := p.Args["identity"]; ok {
		args["identity"] = id
	}
	if len(from) == 0 {
		return args, ""
	}
	in := map[string]any{}
	if a.recordKey != "" {
		in[a.recordKey] = p.Args["input"].(map[string]any)[a.recordKey]
	}
	for _, k := range slices.Sorted(maps.Keys(from)) {
		f := from[k]
		v, kept := old[f]
		switch {
		case a.Resource.Field(f) == nil:
			return nil, "the old value of " + f + " cannot be read"
		case !kept:
			return nil, "the old value of " + f + " was not kept"
		case v == nil && !back.inputKey(k).Nullable:
			return nil, f + " was empty before, and " + back.Name + " cannot empty it"
		}
		in[k] = v
	}
	args["input"] = in
	return args, ""
}

// whyRejected says which old values the checker does not take, and not what they are.
func whyRejected(e *Error) string {
	if len(e.Details) == 0 {
		return "the old values cannot be sent"
	}
	var names []string
	for _, d := range e.Details {
		name := strings.TrimPrefix(d.Path, "input.")
		if i := strings.IndexAny(name, ".["); i >= 0 {
			name = name[:i]
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "no call takes the old value of " + strings.Join(names, " and ")
}
