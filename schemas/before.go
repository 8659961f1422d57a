package schemas

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// BeforeRead is the read that shows what the call is about to replace: a list over
// the same resource, of the one record, with its id and the fields that the
// call sets. nil where the call replaces nothing that can be read: for all but
// writes, for creations, and for an update that changes nothing.
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
	args := map[string]any{"fields": fields, "filter": map[string]any{field: map[string]any{"eq": key}}}
	if list.Paged() {
		args["page"] = map[string]any{"limit": 1}
	}
	before, err := list.Check(encode(args), Limits{})
	if err != nil { // its names are the registry's, its value has passed the same check
		panic("schemas: the read before " + p.Action.Name + ": " + err.Error())
	}
	return before
}

// Replaced takes the answer to the read that Before gives and cuts out of it
// the old values of the fields that the call sets: one compact object, keys in
// the resource's order, values as they came. A field that the answer lacks is
// left out. nil where the record was not found or the answer cannot be read.
func (p *Payload) Replaced(data json.RawMessage) json.RawMessage {
	field, key := p.replacedRecord()
	if key == "" {
		return nil
	}
	var found []byte
	ok := eachRow(data, func(row []byte) {
		if found == nil && matchesRecord(row, field, key) {
			found = row
		}
	})
	if !ok || found == nil {
		return nil
	}
	return copyMembers(found, p.setFields())
}

// eachRow visits the elements of an array or of a page's `results`. It reports
// whether data is such an array or page; until it has, no row is to be relied on.
func eachRow(data []byte, visit func(row []byte)) bool {
	var results []byte
	ok := EachJSON(data, func(key, value []byte) {
		switch {
		case key == nil:
			visit(value)
		case isKey(key, "results"): // of several the last, as for all who decode
			results = value
		}
	})
	if ok && len(results) > 0 && results[0] == '[' {
		return EachJSON(results, func(_, row []byte) { visit(row) })
	}
	return ok
}

// replacedRecord is how the call names the record that it changes: a field and its
// value. The value is empty where the call changes no record that can be read.
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

// updatesRecord reports whether the action changes a record that was there before.
func (a *Action) updatesRecord() bool {
	return a.Class == Write && !a.creates && a.Resource != nil
}

// setFields are the fields whose values the call replaces, in the resource's order.
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

// matchesRecord reports whether a row is the one that was asked for: a server that
// does not know the filter must not have another record's values put back.
func matchesRecord(row []byte, field, value string) bool {
	var got []byte
	EachJSON(row, func(k, v []byte) {
		if isKey(k, field) {
			got = v
		}
	})
	return strings.EqualFold(DecodeString(got), value)
}

// copyMembers makes an object of some of a row's members, values verbatim but for spaces.
func copyMembers(row []byte, names []string) json.RawMessage {
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
		if err := json.Compact(&b, v); err != nil { // the scan took it for JSON
			return nil
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}
