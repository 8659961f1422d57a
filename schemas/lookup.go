package schemas

import (
	"bytes"
	"encoding/json"
)

// Lookup is a read of one record, for the card of a call that refers to it.
type Lookup struct {
	Read *Payload

	id string // of the record; empty if the answer is the record
}

// References returns how to look up the records that the input names by id, such as the AI agent that
// speaks.
func (p *Payload) References() (out []Lookup) {
	in, _ := p.Args["input"].(map[string]any)
	for _, k := range p.Action.inputs {
		id, _ := in[k.Name].(string)
		if when, given := in[k.where]; k.refers == "" || id == "" || given && when != k.when {
			continue
		}
		list := byName[k.refers]
		out = append(out, Lookup{list.read(list.Resource.idAndCardFields(), map[string]any{"id": map[string]any{"eq": id}}, 1), id})
	}
	return out
}

// Operator returns how to look up the operator of the key; nil if the call does not act
// for them.
func (p *Payload) Operator() *Lookup {
	if !p.Action.forOperator {
		return nil
	}
	who := byName["who_am_i"]
	return &Lookup{Read: who.read(who.Resource.idAndCardFields(), nil, 1)}
}

func (r *Resource) idAndCardFields() []string { return append([]string{"id"}, r.cardFields...) }

// Named returns the fields by which a person recognises the record; nil if it was not found. It
// reports false if the answer cannot be read.
func (l Lookup) Named(data json.RawMessage) (named json.RawMessage, ok bool) {
	var row []byte
	if l.id != "" {
		_, _, ok = CountRows(data)
		row, _ = findRow(data, "id", l.id)
	} else if EachJSON(data, func(key, _ []byte) { ok = key != nil }) && ok {
		row = data
	}
	return copyMembers(row, l.Read.Action.Resource.cardFields), row != nil || ok
}

// Erased returns the fields of a record that an erasure erases, from the answer to the read that
// AboutRead returns: one object. It returns nil if the call erases nothing or the record was not found.
func (p *Payload) Erased(data json.RawMessage) json.RawMessage {
	if !p.Action.erases {
		return nil
	}
	_, field, value := p.recordRef()
	found, _ := findRow(data, field, value)
	return copyMembers(found, p.changedFields())
}

// Kept returns the reads of what Sippet keeps of a person after an erasure, up to a page of each kind
// of record. They find it by the contact, and by the number in erased, which Erased returned.
func (p *Payload) Kept(erased json.RawMessage) (out []*Payload) {
	if !p.Action.erases {
		return nil
	}
	_, _, id := p.recordRef()
	values := map[SubjectKind]string{ContactSubject: id}
	EachJSON(erased, func(key, value []byte) {
		number := DecodeString(value) // Sippet's own check may be less strict
		if f := p.Action.Resource.FieldOf(key); f != nil && f.Names == PhoneSubject && isPhone(number) {
			values[PhoneSubject] = number
		}
	})
	for _, list := range registry {
		if !list.List() || list.Resource.Keeps == "" {
			continue
		}
		var either []any
		for _, f := range list.Resource.Fields {
			if v := values[f.Names]; v != "" {
				either = append(either, map[string]any{f.Name: map[string]any{"eq": v}})
			}
		}
		if either != nil {
			out = append(out, list.read([]string{"id"}, map[string]any{"or": either}, MaxLimit))
		}
	}
	return out
}

// CountRows returns how many records an array or a page of them has, and whether there are more. It
// reports false if the answer is neither.
func CountRows(data json.RawMessage) (n int, more, ok bool) {
	data = bytes.TrimSpace(data)
	array, results := bytes.HasPrefix(data, []byte("[")), json.RawMessage(nil)
	if !EachJSON(data, func(key, value []byte) {
		switch {
		case key == nil:
			n++
		case isKey(key, "results"):
			results = value
		case isKey(key, "hasMore"):
			more = string(value) == "true"
		}
	}) {
		return 0, false, false
	}
	if array {
		return n, false, true
	}
	if len(results) == 0 || results[0] != '[' {
		return 0, false, false
	}
	n, _, ok = CountRows(results)
	return n, more, ok
}
