package schemas

import (
	"encoding/json"
	"strings"
)

// Shown returns the persons that an answer shows in its first rows, without repeats; a negative
// number means all rows. data is Sippet's answer, as Returned takes it. hidden are the fields that
// the caller is not shown.
//
// A row shows one person if it has a contact's id or a value of a personal field. The person is
// named by the contact's id, else by their number or address. A row without these says something
// about somebody: they are named by the call or conversation that it belongs to, else by the record.
func (p *Payload) Shown(data json.RawMessage, rows int, hidden map[string]bool) (persons []string) {
	r := shownReader{resource: p.Action.Resource, hidden: hidden}
	seen := map[string]bool{}
	add := func(row []byte) {
		if rows == 0 {
			return
		}
		rows--
		if person := r.person(row); person != "" && !seen[person] {
			seen[person] = true
			persons = append(persons, person)
		}
	}
	if !p.Action.List() {
		add(data)
	} else {
		eachRow(data, add) // what cannot be read is not shown either
	}
	return persons
}

// shownReader finds the person of a row.
type shownReader struct {
	resource *Resource // nil where the answer is a map
	hidden   map[string]bool
}

// belongsTo are the fields that name what a row without a person belongs to, the best first.
var belongsTo = []string{"callId", "conversationId", "id"}

func (r *shownReader) person(row []byte) string {
	var contact string
	var names []string
	var groups [3]string
	personal := false
	EachJSON(row, func(key, value []byte) {
		if key == nil || empty(value) {
			return
		}
		if r.resource == nil {
			for name := range contactKeys {
				if id, ok := uuidOf(value); ok && isKey(key, name) {
					contact = string(ContactSubject) + ":" + string(id[:])
				}
			}
			return
		}
		f := r.resource.FieldOf(key)
		if f == nil || r.hidden[f.Name] {
			return
		}
		if id, ok := uuidOf(value); ok {
			if f.Names == ContactSubject {
				contact = string(ContactSubject) + ":" + string(id[:])
			}
			for i, name := range belongsTo {
				if f.Name == name {
					groups[i] = name + ":" + string(id[:])
				}
			}
		}
		personal = personal || f.Personal
		if f.Names != "" && f.Names != ContactSubject {
			name, ok := subjectOf(f.Names, DecodeString(value))
			if !ok {
				name = string(f.Names) + ":" + string(value)
			}
			names = append(names, name)
		}
	})
	switch {
	case contact != "":
		return contact
	case names != nil:
		return strings.Join(names, " ")
	case !personal:
		return ""
	}
	for _, group := range groups {
		if group != "" {
			return group
		}
	}
	return "row:" + string(row)
}

// empty reports whether a value says nothing.
func empty(value []byte) bool {
	switch string(value) {
	case "null", `""`, "[]", "{}":
		return true
	}
	return false
}
