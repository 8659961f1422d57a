package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// undo says which call restores what a write replaced.
type undo struct {
	// never is the reason why no call does: one clause, lower case. All other fields are empty
	// then.
	never string
	// mark is the field that decides: if its old value was not null, set restores the record, else
	// unset. If mark is empty, set is the write itself and its input takes the old values.
	mark string
	// set is the action that restores a record with a mark.
	set string
	// unset is the action that restores a record without a mark.
	unset string
	// whySet and whyUnset are the reasons why there is no such action: one clause, lower case.
	whySet, whyUnset string
	// input names, for each input key of set, the field with the old value.
	input map[string]string
}

// Reverse returns the call that restores what a write replaced: the action and its arguments as its
// tool takes them, compact and checked. payload is the write's [Payload.Body]; replaced is what
// [Payload.Replaced] returned for it.
//
// The call restores the record's fields only. An email that was sent since stays sent, and a later
// change by somebody else is lost. A restored flag or label has a new time and author.
//
// If the write cannot be reversed, the error is of [InvalidArguments] and says
// `… cannot be undone` and why. It holds no value of the record.
func Reverse(action string, payload, replaced json.RawMessage) (name string, args json.RawMessage, err *Error) {
	a, err := Find(action)
	if err != nil {
		return "", nil, err
	}
	name, args, why := a.reverse(payload, replaced)
	if why != "" {
		return "", nil, &Error{Outcome: InvalidArguments, Message: a.Name + " cannot be undone: " + why,
			Next: "nothing was sent; read the record, and change by hand what should be different"}
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
		return "", nil, "the recorded old values cannot be read"
	case len(old) == 0:
		return "", nil, "the old values were not recorded"
	}
	name, from, why := a.restoringAction(p, old)
	if why != "" {
		return "", nil, why
	}
	restoring := byName[name]
	args, why := a.restoringArgs(p, restoring, from, old)
	if why != "" {
		return "", nil, why
	}
	raw = encode(args)
	if _, err := restoring.Check(raw, Limits{}); err != nil {
		return "", nil, whyRejected(err)
	}
	return name, raw, ""
}

// Reversal returns a sentence for the card that says whether a call of the action can be undone.
func (a *Action) Reversal() string {
	why := a.whyIrreversible()
	if a.Class == Outbound {
		why = "it reaches a person or a live call"
	}
	if why != "" {
		return "It cannot be undone: " + why + "."
	}
	return "The old values are recorded and can be restored."
}

// whyIrreversible returns why no call of the action can be undone; empty if some can.
func (a *Action) whyIrreversible() string {
	switch {
	case a.undo != nil:
		return a.undo.never
	case a.Class == Read:
		return "it changes nothing"
	case a.Class == Outbound:
		return "it has reached a person or a live call"
	case a.Class == Credential:
		return "an issued token cannot be revoked with this API"
	}
	return "this API cannot restore it"
}

// ParsePayload checks a recorded [Payload.Body] of an action and returns it.
func ParsePayload(action string, payload json.RawMessage) (*Payload, *Error) {
	a, err := Find(action)
	if err != nil {
		return nil, err
	}
	return a.parsePayload(payload)
}

// parsePayload checks a recorded payload and returns it.
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

// restoringAction returns the action that restores the old values. from names, for each of its
// input keys, the field with the old value. why is the reason if no action does.
func (a *Action) restoringAction(p *Payload, old map[string]any) (name string, from map[string]string, why string) {
	u := a.undo
	if u.mark != "" {
		mark, kept := old[u.mark]
		switch {
		case !kept:
			return "", nil, "the old value of " + u.mark + " was not recorded"
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

// restoringArgs returns the arguments of the call that restores the old values.
func (a *Action) restoringArgs(p *Payload, restoring *Action, from map[string]string, old map[string]any) (args map[string]any, why string) {
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
			return nil, "the old value of " + f + " was not recorded"
		case v == nil && !restoring.inputKey(k).Nullable:
			return nil, f + " was empty before, and " + restoring.Name + " cannot clear it"
		}
		in[k] = v
	}
	args["input"] = in
	return args, ""
}

// whyRejected names the fields with old values that the checker rejects, without the values.
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
