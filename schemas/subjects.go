package schemas

import (
	"encoding/json"
	"net/mail"
	"slices"
	"strings"
)

// Subjects returns the persons that the arguments of the call name, such as
// `contact:7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30`, `phone:+442079460123` or
// `email:ada@example.com`: sorted, without repeats, nil where they name nobody.
// A person that a filter excludes is named too. The list has no bound: everybody
// named in the recorded arguments must be found again.
func (p *Payload) Subjects() []string {
	var out []string
	a := p.Action
	if id, ok := p.Args["identity"].(string); ok && a.Resource != nil {
		out = appendSubject(out, a.Resource.Field("id").Names, id)
	}
	if in, ok := p.Args["input"].(map[string]any); ok {
		for _, k := range a.inputs {
			out = appendSubjects(out, k.Names, in[k.Name])
		}
		senders, _, _ := p.Senders()
		for _, s := range senders {
			out = appendSubject(out, EmailSubject, s)
		}
	}
	if filter, ok := p.Args["filter"].(map[string]any); ok {
		out = a.Resource.filtered(out, filter)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// filtered appends the persons that a filter names by a whole value. A part of a number or a name
// identifies nobody.
func (r *Resource) filtered(out []string, filter map[string]any) []string {
	for key, v := range filter {
		switch v := v.(type) {
		case []any: // and, or, not
			for _, e := range v {
				if g, ok := e.(map[string]any); ok {
					out = r.filtered(out, g)
				}
			}
		case map[string]any:
			if f := r.Field(key); f != nil && f.Names != "" {
				for _, op := range []string{"eq", "notEq", "in"} {
					out = appendSubjects(out, f.Names, v[op])
				}
			}
		}
	}
	return out
}

// appendSubjects appends the subject of a value, or of each value of a list.
func appendSubjects(out []string, kind SubjectKind, v any) []string {
	switch v := v.(type) {
	case string:
		return appendSubject(out, kind, v)
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = appendSubject(out, kind, s)
			}
		}
	}
	return out
}

// appendSubject appends the subject of a value; what cannot be of its kind is left out.
func appendSubject(out []string, kind SubjectKind, v string) []string {
	switch kind {
	case "":
		return out
	case SenderSubject: // also where the email is at fault: it is recorded all the same
		m, err := mail.ReadMessage(strings.NewReader(v))
		if err != nil {
			return out
		}
		for _, header := range []string{"From", "Reply-To"} {
			list, _ := m.Header.AddressList(header) // none where it cannot be read
			for _, a := range list {
				out = appendSubject(out, EmailSubject, a.Address)
			}
		}
		return out
	}
	if s, ok := subjectOf(kind, v); ok {
		return append(out, s)
	}
	return out
}

// CreatesSubject reports whether the action creates the record of a person, who
// has no id until then. The ledger files such a call under a provisional subject
// and replaces that by the one that Created returns.
func (a *Action) CreatesSubject() bool {
	return a.creates && a.Resource.Field("id").Names != ""
}

// Created returns the subject that a successful call created, read from its
// answer: `contact:<id>`, or "" where the action creates no person or the answer
// has no id. Check always asks for the id.
func (p *Payload) Created(data json.RawMessage) string {
	if !p.Action.CreatesSubject() {
		return ""
	}
	subjects, _ := p.Returned(data)
	if len(subjects) != 1 {
		return ""
	}
	return subjects[0]
}

// Erases returns the subjects that Sippet erases if the call succeeds; nil for all but an erasure.
func (p *Payload) Erases() []string {
	if !p.Action.erases {
		return nil
	}
	return p.Subjects()
}
