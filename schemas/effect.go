package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// EffectKind is a kind of effect on people. Actions of one kind do the same to a person for the
// purpose of doing it twice: a second call rings them again, whichever action makes it.
type EffectKind string

// The kinds. An action that reaches no person by itself, or only people on a live call, has none.
const (
	Ringing       EffectKind = "ringing"
	Mail          EffectKind = "mail"           // a message that may be answered in the organisation's name
	ContactChange EffectKind = "contact_change" // of the record of a person
)

// EffectKey returns a hash of what the call does: action, identity and the input as Sippet reads it.
// Two calls that differ in `fields`, or in how a value is written, have the same key. It says
// whether a call has run before. An approval is bound to [Payload.Hash], never to this key. A read
// has no effect but its answer, so its key is that of the whole payload.
func (p *Payload) EffectKey() string {
	a := p.Action
	if a.Class == Read {
		return p.Hash()
	}
	effect := map[string]any{"action": a.Name}
	if id, ok := p.Args["identity"]; ok {
		effect["identity"] = id
	}
	in, _ := p.Args["input"].(map[string]any)
	read := make(map[string]any, len(in))
	for k, v := range in {
		if v = a.check.props["input"].props[k].cast(v); v != nil || !a.creates {
			read[k] = v // a created record has null where nothing is given; in an update null clears
		}
	}
	if len(read) > 0 {
		effect["input"] = read
	}
	sum := sha256.Sum256(encode(effect))
	return hex.EncodeToString(sum[:])
}

// microseconds is how Sippet stores a time.
const microseconds = "2006-01-02T15:04:05.000000Z"

// cast returns an input value as Sippet reads it: a text is trimmed, an empty one is null, and a
// time is in UTC with microseconds. An object is kept as it is.
func (n *node) cast(v any) any {
	switch v := v.(type) {
	case string:
		v = strings.TrimSpace(v)
		if v == "" {
			return nil
		}
		if n != nil && n.format == "date-time" {
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return t.UTC().Format(microseconds)
			}
		}
		return v
	case []any:
		var items *node
		if n != nil {
			items = n.items
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = items.cast(e)
		}
		return out
	}
	return v
}

// Affects returns the people that the arguments of a change of a contact affect, spelled as
// [Payload.Subjects] spells them: the contact, the number and address that it gets. Package
// recipients resolves whom the other kinds affect.
func (p *Payload) Affects() []string {
	if p.Action.EffectKind != ContactChange {
		return nil
	}
	in, _ := p.Args["input"].(map[string]any)
	var out []string
	out = appendSubjects(out, ContactSubject, p.Args["identity"])
	out = appendSubjects(out, ContactSubject, in["contactId"])
	out = appendSubjects(out, PhoneSubject, in["phoneE164"])
	out = appendSubjects(out, EmailSubject, in["email"])
	slices.Sort(out)
	return slices.Compact(out)
}
