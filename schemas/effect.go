package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/mail"
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

// Affects returns the people that the arguments of a call with an EffectKind affect, as far as the
// arguments alone say, spelled as [Payload.Subjects] spells them: the contact that a call changes,
// the number and address that it gives it, the senders of a message. Whom a call rings is resolved
// from Sippet instead.
func (p *Payload) Affects() []string {
	in, _ := p.Args["input"].(map[string]any)
	var out []string
	switch p.Action.EffectKind {
	case ContactChange:
		out = appendSubjects(out, ContactSubject, p.Args["identity"])
		out = appendSubjects(out, ContactSubject, in["contactId"])
		out = appendSubjects(out, PhoneSubject, in["phoneE164"])
		out = appendSubjects(out, EmailSubject, in["email"])
	case Mail:
		raw, _ := in["rawMime"].(string)
		out = appendSenders(out, raw)
		out = appendAddresses(out, in["structuredPayload"])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// appendSenders appends those who would get an answer to a message.
func appendSenders(out []string, raw string) []string {
	m, err := mail.ReadMessage(strings.NewReader(strings.TrimLeft(raw, " \t\r\n")))
	if err != nil {
		return out
	}
	parser := mail.AddressParser{WordDecoder: new(mime.WordDecoder)}
	for _, header := range []string{"From", "Reply-To", "Sender", "Return-Path"} {
		for _, line := range m.Header[header] {
			list, _ := parser.ParseList(line) // none where it cannot be read
			for _, a := range list {
				out = appendSubject(out, EmailSubject, a.Address)
			}
		}
	}
	return out
}

// appendAddresses appends every email address that is a whole text anywhere in a value: the
// reference does not say which key of a structured message has its sender.
func appendAddresses(out []string, v any) []string {
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, '@') && len(v) <= 320 {
			out = appendSubject(out, EmailSubject, v)
		}
	case []any:
		for _, e := range v {
			out = appendAddresses(out, e)
		}
	case map[string]any:
		for _, e := range v {
			out = appendAddresses(out, e)
		}
	}
	return out
}
