package schemas

import (
	"bytes"
	"encoding/json"
	"net/mail"
	"slices"
	"strings"
)

// SubjectKind is the sort of thing that names a person.
type SubjectKind string

// The kinds. A subject is written as its kind, a colon and a value.
const (
	ContactSubject SubjectKind = "contact" // a uuid in lower case
	PhoneSubject   SubjectKind = "phone"   // a number in E.164
	EmailSubject   SubjectKind = "email"   // an address in lower case

	// senderSubject is only a tag: the email address in a message's From.
	senderSubject SubjectKind = "sender"
)

// maxSubjects bounds what Returned gives: more people than one page holds.
const maxSubjects = 500

// Subjects are the persons whom the call concerns by its arguments, such as
// `contact:7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30`, `phone:+442079460123` or
// `email:ada@example.com`: sorted, without repeats, nil where it names nobody.
// Whom a filter leaves out is named as well. There is no bound: whose data is
// in the arguments must not be missing.
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
	}
	if filter, ok := p.Args["filter"].(map[string]any); ok {
		out = a.Resource.filtered(out, filter)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// filtered adds whom a filter names by a whole value. A part of a number or of a name says not who it is.
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

// appendSubjects adds a value, or each value of a list.
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

// appendSubject adds a value in its one spelling; what cannot be of its kind is left out.
func appendSubject(out []string, kind SubjectKind, v string) []string {
	switch kind {
	case ContactSubject:
		if !isUUID(v) {
			return out
		}
		v = strings.ToLower(v)
	case PhoneSubject:
		if v = dialled(v); !isPhone(v) {
			return out
		}
	case EmailSubject:
		if v = strings.ToLower(strings.TrimSpace(v)); !strings.Contains(v, "@") {
			return out
		}
	case senderSubject:
		m, err := mail.ReadMessage(strings.NewReader(v))
		if err != nil {
			return out
		}
		from, _ := m.Header.AddressList("From") // none where it cannot be read
		for _, f := range from {
			out = appendSubject(out, EmailSubject, f.Address)
		}
		return out
	default:
		return out
	}
	return append(out, string(kind)+":"+v)
}

// dialled takes out of a number what is written for readers only.
func dialled(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ()-./\u00a0", r) {
			return -1
		}
		return r
	}, s)
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		return "+" + rest
	}
	return s
}

// isPhone is phonePattern, without its cost.
func isPhone(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// CreatesSubject reports whether the action makes the record of a person who
// has no id yet. Who records such a call supplies a provisional subject for it,
// and afterwards Created says for whom it stood.
func (a *Action) CreatesSubject() bool {
	return a.Creates && a.Resource.Field("id").Names != ""
}

// Created is the subject that came to be, by the answer to a call that
// succeeded: `contact:<id>`, or "" where the action creates no person or the
// answer does not say whom. It always can: Check sees to it that the answer has an id.
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

// Erases are the subjects whose data is gone once the call has succeeded; nil for all but an erasure.
func (p *Payload) Erases() []string {
	if !p.Action.Erases {
		return nil
	}
	return p.Subjects()
}

// Returned says which persons an answer told of, by the ids of contacts in its
// rows, and which of those contacts are erased: both as Subjects gives them,
// sorted, without repeats, at most 500. data is what Sippet answered: an array
// of records, a page with `results`, a record or null. What cannot be read is
// left out, and so are rows that were not asked for an id.
func (p *Payload) Returned(data json.RawMessage) (subjects, erased []string) {
	t := teller{resource: p.Action.Resource}
	if !p.Action.List() {
		t.row(data)
	} else if !eachRow(data, t.row) {
		return nil, nil // it was no JSON, whatever it began with
	}
	slices.Sort(t.subjects)
	slices.Sort(t.erased)
	return t.subjects, t.erased
}

// teller collects persons from rows.
type teller struct {
	resource         *Resource         // nil where the answer is a map
	seen             map[[36]byte]bool // contact → erased
	subjects, erased []string
}

func (t *teller) row(data []byte) {
	var who, at []byte
	ok := EachJSON(data, func(key, value []byte) {
		switch {
		case t.isPerson(key):
			who = value
		case t.resource != nil && t.resource.ErasedField != "" && isKey(key, t.resource.ErasedField):
			at = value
		}
	})
	id, isID := uuidOf(who)
	gone, known := t.seen[id]
	if !ok || !isID || !known && len(t.seen) == maxSubjects {
		return
	}
	if !known {
		t.subjects = append(t.subjects, string(ContactSubject)+":"+string(id[:]))
	}
	// Keys are destroyed on the strength of this: nothing but a time will do.
	if !gone && len(at) > len(`""`) && at[0] == '"' {
		gone = true
		t.erased = append(t.erased, string(ContactSubject)+":"+string(id[:]))
	}
	if t.seen == nil {
		t.seen = map[[36]byte]bool{}
	}
	t.seen[id] = gone
}

// isPerson reports whether a key names a contact: the resource's own field, and
// in a map, whose shape nobody states, any name that means a contact elsewhere.
func (t *teller) isPerson(key []byte) bool {
	if t.resource != nil {
		return t.resource.person != "" && isKey(key, t.resource.person)
	}
	for name := range contactKeys {
		if isKey(key, name) {
			return true
		}
	}
	return false
}

// contactKeys are the names by which resources refer to a contact of another record.
var contactKeys = map[string]bool{}

// isKey compares a key (with its quotes) and a name without copying.
func isKey(key []byte, name string) bool {
	if len(key) < 2 {
		return false
	}
	if bytes.IndexByte(key, '\\') >= 0 {
		return DecodeString(key) == name
	}
	return string(key[1:len(key)-1]) == name
}

// uuidOf reads a quoted uuid into lower case.
func uuidOf(quoted []byte) (id [36]byte, ok bool) {
	if len(quoted) != len(id)+2 || quoted[0] != '"' {
		return id, false
	}
	copy(id[:], quoted[1:])
	for i, c := range id {
		if 'A' <= c && c <= 'Z' {
			id[i] = c + 'a' - 'A'
		}
	}
	return id, isUUID(id[:])
}
