package schemas

import (
	"encoding/json"
	"slices"
)

// shownOnCard names the fields by which a person knows a record again.
func (r *Resource) shownOnCard(names ...string) *Resource { r.cardFields = names; return r }

// AboutRead is the read that shows which record a call is about, for a person who
// is asked: of the one record that its identity, its call or its contact names,
// the fields by which a person knows it, and those that an update sets. nil
// where the call names no record that a list can show: for reads, for what
// creates a record, and for what rings somebody, whose destinations are shown.
func (p *Payload) AboutRead() *Payload {
	list, field, value := p.recordRef()
	if value == "" {
		return nil
	}
	fields := []string{"id"}
	for _, f := range slices.Concat([]string{field}, list.Resource.cardFields) {
		if !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	if p.Action.updatesRecord() {
		for _, f := range p.setFields() {
			if !slices.Contains(fields, f) {
				fields = append(fields, f)
			}
		}
	}
	args := map[string]any{"fields": fields, "filter": map[string]any{field: map[string]any{"eq": value}}}
	if list.Paged() {
		args["page"] = map[string]any{"limit": 1}
	}
	about, err := list.Check(encode(args), Limits{})
	if err != nil { // its names are the registry's, its value has passed the same check
		panic("schemas: the read about " + p.Action.Name + ": " + err.Error())
	}
	return about
}

// Named takes from the answer to About what a person knows the record by: one
// object of the fields of Resource.Known that have a value, in their order. nil
// where the record was not found or the answer cannot be read.
func (p *Payload) Named(data json.RawMessage) json.RawMessage {
	list, field, value := p.recordRef()
	if value == "" {
		return nil
	}
	var found []byte
	ok := eachRow(data, func(row []byte) {
		if found == nil && matchesRecord(row, field, value) {
			found = row
		}
	})
	if !ok || found == nil {
		return nil
	}
	return copyMembers(found, list.Resource.cardFields)
}

// recordRef is how the call names its record: in which list, by which field, with which value; an empty value where it does not.
func (p *Payload) recordRef() (list *Action, field, value string) {
	a := p.Action
	in, _ := p.Args["input"].(map[string]any)
	text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	switch {
	case a.Class == Read || a.creates:
		return nil, "", ""
	case a.recordKey != "":
		return byName[a.ShownBy()], a.recordKey, text(in, a.recordKey)
	case a.hasKey("identity"):
		return byName[a.ShownBy()], "id", text(p.Args, "identity")
	case in["callUuid"] != nil:
		return byName["list_calls"], "callUuid", text(in, "callUuid")
	case a.erases:
		for _, k := range a.inputs {
			if k.Names == ContactSubject {
				return byName["list_contacts"], "id", text(in, k.Name)
			}
		}
	}
	return nil, "", ""
}
