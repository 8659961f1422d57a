package schemas

import (
	"encoding/json"
	"slices"
	"strings"
)

// Shown returns the persons that an answer shows in its first rows, without repeats; a negative
// number means all rows. data is Sippet's answer, as Returned takes it. hidden are the fields that
// the caller is not shown.
//
// A row shows one person if it has a contact's id or a value of a personal field. The person is
// named by the contact's id, else by their number or address. A row without these says something
// about somebody: they are named by the call or conversation that it belongs to, else by the record.
//
// A cursor holds the values by which the list is sorted, and the id, of the row at its end. So it shows
// a person where one of these names somebody and that row shows nobody.
func (p *Payload) Shown(data json.RawMessage, rows int, hidden map[string]bool) (persons []string) {
	r := shownReader{resource: p.Action.Resource, hidden: hidden}
	seen, nobody := map[string]bool{}, false // nobody is true if a row shows no person
	count := func(person string) {
		if person != "" && !seen[person] {
			seen[person] = true
			persons = append(persons, person)
		}
	}
	add := func(row []byte) {
		if rows == 0 {
			return
		}
		rows--
		person := r.person(row)
		nobody = nobody || person == ""
		count(person)
	}
	if !p.Action.List() {
		add(data)
		return persons
	}
	eachRow(data, add) // what cannot be read is not shown either
	if nobody && p.cursorNames() {
		EachJSON(data, func(key, value []byte) {
			if !empty(value) && (isKey(key, "nextPage") || isKey(key, "previousPage")) {
				count("cursor:" + string(value))
			}
		})
	}
	return persons
}

// cursorNames reports whether a cursor of the list holds a value that says something about a person.
func (p *Payload) cursorNames() bool {
	r := p.Action.Resource
	if r == nil {
		return false
	}
	if id := r.Field("id"); id != nil && id.Names != "" {
		return true
	}
	sort, _ := p.Args["sort"].(string)
	for name := range strings.SplitSeq(sort, ",") {
		if f := r.Field(strings.TrimLeft(name, "+-")); f != nil && (f.Personal || f.Names != "") {
			return true
		}
	}
	return false
}

// Guesses reports whether the filter selects by a personal field, so that also an answer without rows,
// or their number, says something about a person.
func (p *Payload) Guesses() bool {
	return p.Action.Resource != nil && selectsPersonal(p.Action.Resource, p.Args["filter"])
}

func selectsPersonal(r *Resource, filter any) bool {
	group, _ := filter.(map[string]any)
	for key, v := range group {
		branch, _ := v.([]any) // of and, or, not
		if slices.ContainsFunc(branch, func(f any) bool { return selectsPersonal(r, f) }) {
			return true
		}
		if f := r.Field(key); f != nil && f.Personal {
			return true
		}
	}
	return false
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
