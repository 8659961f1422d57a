package schemas

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
)

// Input is one key of an action's input.
type Input struct {
	// Name is the key on the wire, such as `contactId`.
	Name string
	// Type is the JSON type: string, integer, number, boolean, array or object.
	Type string
	// Items is the JSON type of the elements of an array; empty for all else.
	Items string
	// Format is uuid, date-time or date, of the value or of an array's elements; empty where there
	// is none.
	Format string
	// Values are those of an enum.
	Values []string
	// Nullable is true if null is allowed, which clears the field.
	Nullable bool
	// Required is true if the key must be given.
	Required bool
	// Names is the kind of person that the value, or each element, names; empty where it names
	// nobody.
	Names SubjectKind

	refers      string // the list that has the record of which the value is the id; empty for all else
	where, when string // the key of the same input, and its value, if refers depends on them
}

// readInputs lists what a typed input declares: types from its schema, persons from its `names` tags,
// records from its `refers` tags.
func readInputs(input any, s *jsonschema.Schema) []Input {
	names, tags := map[string]SubjectKind{}, map[string]reflect.StructTag{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(input)) {
		kind := SubjectKind(f.Tag.Get("names"))
		switch kind {
		case "", ContactSubject, PhoneSubject, EmailSubject, SenderSubject:
		default:
			panic("schemas: " + f.Name + ": unknown kind of subject " + string(kind))
		}
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[key], tags[key] = kind, f.Tag
	}
	var out []Input
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		in := Input{Name: p.Key, Type: p.Value.Type, Format: p.Value.Format, Required: slices.Contains(s.Required, p.Key), Names: names[p.Key],
			refers: tags[p.Key].Get("refers")}
		in.where, in.when, _ = strings.Cut(tags[p.Key].Get("where"), "=")
		if types, ok := p.Value.Extras["type"].([]any); ok { // the form of nullable
			in.Type, in.Nullable = fmt.Sprint(types[0]), true
		}
		if items := p.Value.Items; items != nil {
			in.Items, in.Format = items.Type, items.Format
		}
		for _, v := range p.Value.Enum {
			if v, ok := v.(string); ok {
				in.Values = append(in.Values, v)
			}
		}
		out = append(out, in)
	}
	return out
}
