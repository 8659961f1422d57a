package schemas

import (
	"encoding/json"
	"slices"
	"strings"
)

// shownOnCard sets the fields by which a person recognises a record.
func (r *Resource) shownOnCard(names ...string) *Resource { r.cardFields = names; return r }

// changing sets which card fields change by themselves.
func (r *Resource) changing(names ...string) *Resource { r.passing = names; return r }

// AboutRead returns the read of the record that the call is about, for the approval card: the
// fields by which a person recognises the record, whether it is erased, and those that the call sets or
// erases. It returns nil if no list shows the record: for reads, for calls that create one, and for calls that
// ring people, because the card shows the recipients.
func (p *Payload) AboutRead() *Payload {
	list, field, value := p.recordRef()
	if value == "" {
		return nil
	}
	fields := []string{"id"}
	for _, f := range slices.Concat([]string{field, list.Resource.erasedField}, list.Resource.cardFields, p.changedFields()) {
		if f != "" && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	return list.read(fields, map[string]any{field: map[string]any{"eq": value}}, 1)
}

// changedFields returns the fields that the call sets or erases.
func (p *Payload) changedFields() []string {
	switch {
	case p.Action.erases:
		return p.Action.Resource.labelled()
	case p.Action.updatesRecord():
		return p.setFields()
	}
	return nil
}

// read returns a read of the program's own: fields of the rows that the filter finds, at most a page
// of them. Sippet returns all rows if the list has no pages.
func (a *Action) read(fields []string, filter map[string]any, rows int) *Payload {
	args := map[string]any{"fields": fields}
	if filter != nil {
		args["filter"] = filter
	}
	if a.Paged() {
		args["page"] = map[string]any{"limit": rows}
	}
	p, err := a.Check(encode(args), Limits{})
	if err != nil { // its names are the registry's, its values have passed the same check
		panic("schemas: a read of " + a.Name + ": " + err.Error())
	}
	return p
}

// Named returns the fields by which a person recognises the record, from the answer to the read
// that AboutRead returns: one object, in the order of the resource's card fields. It returns nil if
// the record was not found or the answer cannot be read.
func (p *Payload) Named(data json.RawMessage) json.RawMessage {
	list, field, value := p.recordRef()
	if value == "" {
		return nil
	}
	found, _ := findRow(data, field, value)
	return copyMembers(found, list.Resource.cardFields)
}

// IsErased reports whether the data of the record was erased, from the answer to the read that AboutRead
// returns.
func (p *Payload) IsErased(data json.RawMessage) bool {
	list, field, value := p.recordRef()
	if value == "" || list.Resource.erasedField == "" {
		return false
	}
	found, _ := findRow(data, field, value)
	erased := false
	EachJSON(copyMembers(found, []string{list.Resource.erasedField}), func(key, value []byte) {
		erased = erased || key != nil && string(value) != "null"
	})
	return erased
}

// CardFields are the fields by which a person recognises a record, the name first. The slice must not
// be changed.
func (r *Resource) CardFields() []string { return r.cardFields }

// Changes reports whether a field by which a person recognises the record changes by itself.
func (r *Resource) Changes(field string) bool { return slices.Contains(r.passing, field) }

// AboutPerson returns the subject of the record that the call is about, such as `contact:` and an id; empty
// if it is the record of no person.
func (p *Payload) AboutPerson() string {
	list, field, value := p.recordRef()
	if value == "" || field != "id" {
		return ""
	}
	if subject, ok := subjectOf(list.Resource.Field("id").Names, value); ok {
		return subject
	}
	return ""
}

// Changers returns the names of the actions that create or change records like the one that the call
// is about; nil if it is about none.
func (p *Payload) Changers() (names []string) {
	list, _, value := p.recordRef()
	for _, a := range registry {
		if value != "" && (a.Class == Write || a.Class == Destructive) && a.ShownBy() == list.Name {
			names = append(names, a.Name)
		}
	}
	return names
}

// IsAbout reports whether the call is about the record that an earlier call changed, or created with
// this result. Without the result of a call that created one it reports false.
func (p *Payload) IsAbout(earlier *Payload, result json.RawMessage) bool {
	list, field, value := p.recordRef()
	if value == "" {
		return false
	}
	if earlier.Action.creates {
		in, _ := earlier.Args["input"].(map[string]any)
		given, _ := in[field].(string) // the result may leave it out
		return earlier.Action.ShownBy() == list.Name && (matchesRecord(result, field, value) || strings.EqualFold(strings.TrimSpace(given), value))
	}
	other, otherField, otherValue := earlier.recordRef()
	return other == list && otherField == field && strings.EqualFold(otherValue, value)
}

// recordRef returns how the call names its record: the list that shows it, a field and its value.
// The value is empty if the call names none.
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
