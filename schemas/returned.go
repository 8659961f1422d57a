package schemas

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxSubjects bounds the subjects of one answer. It is more than the largest page has rows.
const maxSubjects = 500

// Returned returns the persons in an answer, by the ids of contacts in its rows, and those of them
// that are erased. Both are spelled as Subjects spells them, sorted, without repeats, at most 500.
// data is Sippet's answer: an array of records, a page with `results`, a record or null. Rows that
// cannot be read, or have no id, are left out.
func (p *Payload) Returned(data json.RawMessage) (subjects, erased []string) {
	t := personReader{resource: p.Action.Resource}
	if !p.Action.List() {
		t.readRow(data)
	} else if !eachRow(data, t.readRow) {
		return nil, nil // it is not valid JSON, so its first rows do not count
	}
	slices.Sort(t.subjects)
	slices.Sort(t.erased)
	return t.subjects, t.erased
}

// personReader collects persons from rows.
type personReader struct {
	resource         *Resource         // nil where the answer is a map
	seen             map[[36]byte]bool // contact → erased
	subjects, erased []string
}

func (t *personReader) readRow(data []byte) {
	var person, erasedAt []byte
	ok := EachJSON(data, func(key, value []byte) {
		switch {
		case t.namesPerson(key):
			person = value
		case t.resource != nil && t.resource.erasedField != "" && isKey(key, t.resource.erasedField):
			erasedAt = value
		}
	})
	id, isID := uuidOf(person)
	erased, known := t.seen[id]
	if !ok || !isID || !known && len(t.seen) == maxSubjects {
		return
	}
	if !known {
		t.subjects = append(t.subjects, string(ContactSubject)+":"+string(id[:]))
	}
	// The keys of erased persons are destroyed, so only a time counts as erased.
	if !erased && len(erasedAt) > len(`""`) && erasedAt[0] == '"' {
		erased = true
		t.erased = append(t.erased, string(ContactSubject)+":"+string(id[:]))
	}
	if t.seen == nil {
		t.seen = map[[36]byte]bool{}
	}
	t.seen[id] = erased
}

// namesPerson reports whether a key names a contact: the resource's own field. In a map, whatever
// its shape, it is any name that a resource uses for a contact.
func (t *personReader) namesPerson(key []byte) bool {
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

// uuidOf returns a quoted uuid in lower case.
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
