package schemas

import (
	"encoding/json"
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
var belongsTo = [...]string{"callId", "conversationId", "id"}

func (r *shownReader) person(row []byte) string {
	var names [4]named // no resource has more
	n, personal := 0, false
	var contact [36]byte
	var groups [len(belongsTo)][36]byte
	EachJSON(row, func(key, value []byte) {
		if key == nil || empty(value) {
			return
		}
		id, isID := uuidOf(value)
		if r.resource == nil {
			for name := range contactKeys {
				if isID && isKey(key, name) {
					contact = id
				}
			}
			return
		}
		f := r.resource.FieldOf(key)
		if f == nil || r.hidden[f.Name] {
			return
		}
		if isID && f.Names == ContactSubject {
			contact = id
		}
		for i, name := range belongsTo {
			if isID && f.Name == name {
				groups[i] = id
			}
		}
		personal = personal || f.Personal
		if f.Names != "" && f.Names != ContactSubject && n < len(names) {
			names[n] = named{f.Names, value}
			n++
		}
	})
	var none [36]byte
	switch {
	case contact != none:
		return string(ContactSubject) + ":" + string(contact[:])
	case n > 0:
		out := names[0].String()
		for _, other := range names[1:n] {
			out += " " + other.String()
		}
		return out
	case !personal:
		return ""
	}
	for i, group := range groups {
		if group != none {
			return belongsTo[i] + ":" + string(group[:])
		}
	}
	return "row:" + string(row)
}

// named is a value that names a person.
type named struct {
	kind  SubjectKind
	value []byte
}

func (n named) String() string {
	if name, ok := subjectOf(n.kind, DecodeString(n.value)); ok {
		return name
	}
	return string(n.kind) + ":" + string(n.value)
}

// empty reports whether a value says nothing.
func empty(value []byte) bool {
	switch string(value) {
	case "null", `""`, "[]", "{}":
		return true
	}
	return false
}
