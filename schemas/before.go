package schemas

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// BeforeRead returns the read of the values that the call is about to replace: a list of the one
// record, with its id and the fields that the call sets. It returns nil if the call replaces
// nothing that can be read: for all classes but writes, for calls that create a record, and for an
// update that sets nothing.
func (p *Payload) BeforeRead() *Payload {
	field, key := p.replacedRecord()
	if key == "" {
		return nil
	}
	sets := p.setFields()
	if len(sets) == 0 {
		return nil
	}
	list := p.Action.list
	fields := []string{"id"}
	for _, f := range append([]string{field}, sets...) {
		if !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	return list.read(fields, map[string]any{field: map[string]any{"eq": key}}, 1)
}

// Replaced returns the old values of the fields that the call sets, from the answer to the read
// that BeforeRead returns: one compact object, keys in the resource's order, values as Sippet wrote
// them. A field that the answer lacks is left out. It returns nil if the record was not found or
// the answer cannot be read.
func (p *Payload) Replaced(data json.RawMessage) json.RawMessage {
	field, key := p.replacedRecord()
	if key == "" {
		return nil
	}
	found, _ := findRow(data, field, key)
	return copyMembers(found, p.setFields())
}

// findRow returns the first row of an answer that is the record; nil if none is. It reports false if
// the answer cannot be read.
func findRow(data []byte, field, value string) (found []byte, ok bool) {
	ok = eachRow(data, func(row []byte) {
		if found == nil && matchesRecord(row, field, value) {
			found = row
		}
	})
	if !ok {
		found = nil
	}
	return found, ok
}

// eachRow visits the elements of an array or of a page's `results`. It reports whether data is such
// an array or page. Rows that were visited before it reports false must not be used.
func eachRow(data []byte, visit func(row []byte)) bool {
	var results []byte
	ok := EachJSON(data, func(key, value []byte) {
		switch {
		case key == nil:
			visit(value)
		case isKey(key, "results"): // the last of several, as encoding/json does
			results = value
		}
	})
	if ok && len(results) > 0 && results[0] == '[' {
		return EachJSON(results, func(_, row []byte) { visit(row) })
	}
	return ok
}

// replacedRecord returns how the call names the record that it changes: a field and its value. The
// value is empty if the call changes no record that can be read.
func (p *Payload) replacedRecord() (field, value string) {
	a := p.Action
	if !a.updatesRecord() {
		return "", ""
	}
	if a.recordKey == "" {
		value, _ = p.Args["identity"].(string)
		return "id", value
	}
	in, _ := p.Args["input"].(map[string]any)
	value, _ = in[a.recordKey].(string)
	return a.recordKey, value
}

// updatesRecord reports whether the action changes an existing record.
func (a *Action) updatesRecord() bool {
	return a.Class == Write && !a.creates && a.Resource != nil
}

// setFields returns the fields that the call sets, in the resource's order.
func (p *Payload) setFields() []string {
	a := p.Action
	in, _ := p.Args["input"].(map[string]any)
	var out []string
	for _, f := range a.Resource.Names() {
		_, given := in[f]
		if given && f != a.recordKey || slices.Contains(a.alsoSets, f) {
			out = append(out, f)
		}
	}
	return out
}

// matchesRecord reports whether a row is the record that was asked for. A server that ignores the
// filter returns other records, and their values must not be restored into this one.
func matchesRecord(row []byte, field, value string) bool {
	var got []byte
	EachJSON(row, func(k, v []byte) {
		if isKey(k, field) {
			got = v
		}
	})
	return strings.EqualFold(DecodeString(got), value)
}

// copyMembers returns an object of some of a row's members; values change in white space only. It
// returns nil for no row.
func copyMembers(row []byte, names []string) json.RawMessage {
	if row == nil {
		return nil
	}
	values := make([][]byte, len(names))
	EachJSON(row, func(k, v []byte) {
		for i, n := range names {
			if isKey(k, n) {
				values[i] = v
			}
		}
	})
	var b bytes.Buffer
	b.WriteByte('{')
	for i, v := range values {
		if v == nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + names[i] + `":`)
		if err := json.Compact(&b, v); err != nil { // EachJSON has accepted it
			return nil
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// SameJSON reports whether JSON has a value, which was decoded with numbers as text.
func SameJSON(raw []byte, v any) bool {
	var old any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&old) != nil {
		return false
	}
	a, _ := json.Marshal(old) // both were decoded from JSON
	b, _ := json.Marshal(v)
	return bytes.Equal(a, b)
}
