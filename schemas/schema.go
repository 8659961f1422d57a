package schemas

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// The bounds of what is sent upstream. Sippet's largest page has 250 rows. Above that Sippet
// returns a page that looks complete and is not.
const (
	MaxLimit     = 250
	MaxReason    = 500      // characters of `reason` that a person is shown
	MaxArguments = 15 << 20 // bytes of a call's arguments: an email of 10 MiB, encoded
)

const phonePattern = `^\+[1-9][0-9]{6,14}$`

// build derives the tool's schema and the compiled check from the entry. It runs once at start. A
// wrong entry panics there, and so in every test.
func (a *Action) build() {
	s := closedObject()
	add := func(name string, p *jsonschema.Schema, required bool) {
		s.Properties.Set(name, p)
		if required {
			s.Required = append(s.Required, name)
		}
	}
	if has, required := a.Key("identity"); has {
		add("identity", &jsonschema.Schema{Type: "string", Format: "uuid", Description: a.identityText()}, required)
	}
	if has, required := a.Key("input"); has {
		in := reflector.ReflectFromType(reflect.TypeOf(a.input))
		in.Version = ""
		a.inputs = readInputs(a.input, in)
		for p := in.Properties.Oldest(); p != nil; p = p.Next() {
			if max, ok := maxLengths[p.Key]; ok {
				p.Value.MaxLength = &max
			}
		}
		if in.AdditionalProperties == nil {
			in.AdditionalProperties = jsonschema.FalseSchema
		}
		in.Description = a.inputText()
		add("input", in, required)
	}
	if has, _ := a.Key("fields"); has {
		add("fields", fieldsSchema(a), false)
	}
	if has, _ := a.Key("filter"); has {
		add("filter", &jsonschema.Schema{Type: "object", Description: "e.g. " + a.filterExample}, false)
	}
	if has, _ := a.Key("sort"); has {
		add("sort", &jsonschema.Schema{Type: "string", Description: a.sortExample()}, false)
	}
	if has, _ := a.Key("page"); has {
		add("page", pageSchema(), false)
	}
	if a.Class != Read {
		add("reason", &jsonschema.Schema{Type: "string", Description: a.reasonText()}, false)
	}
	a.check = compile(s)
	shorten(s)
	raw, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("schemas: %s: %v", a.Name, err))
	}
	a.schema = raw
	a.list = byName[a.ShownBy()]
	for _, f := range a.defaultFields {
		if a.Resource.Field(f) == nil {
			panic(fmt.Sprintf("schemas: %s: default field %q is not a field of %s", a.Name, f, a.Resource.Name))
		}
	}
}

func closedObject() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
}

// identityText returns the description of identity: which list has the id.
func (a *Action) identityText() string {
	if list := a.ShownBy(); list != "" {
		return "Id from " + list
	}
	panic("schemas: " + a.Name + ": no list gives its identity")
}

// ShownBy returns the name of the list that shows the effect of the action; empty where none does.
func (a *Action) ShownBy() string {
	for _, l := range registry {
		if !l.List() {
			continue
		}
		switch {
		case a.shownIn != "" && l.Name == a.shownIn,
			a.shownIn == "" && a.Resource != nil && l.Resource == a.Resource,
			a.shownIn == "" && a.Resource == nil && strings.HasSuffix(a.Name, strings.TrimPrefix(singular(l.Name), "list")):
			return l.Name
		}
	}
	return ""
}

// singular turns list_email_mailboxes into list_email_mailbox.
func singular(name string) string {
	switch {
	case strings.HasSuffix(name, "ities"):
		return strings.TrimSuffix(name, "ies") + "y"
	case strings.HasSuffix(name, "xes"):
		return strings.TrimSuffix(name, "es")
	}
	return strings.TrimSuffix(name, "s")
}

func (a *Action) inputText() string {
	switch {
	case len(a.Targets) > 0:
		return "Give exactly one of " + strings.Join(a.Targets, ", ")
	case strings.HasPrefix(a.Name, "update_"):
		return "Only what changes"
	case strings.HasPrefix(a.Name, "create_"):
		return "The new record"
	case strings.HasPrefix(a.Name, "get_"):
		return "Which one"
	}
	if a.inputKey("callUuid") != nil {
		return "The live call"
	}
	if a.Class == Write {
		return "What to set"
	}
	return "The person"
}

// reasonText returns the description of reason.
func (a *Action) reasonText() string {
	if a.Class == Write {
		return "Your reason"
	}
	return "For the person asked"
}

// sortExample returns the sort that a first look most often needs.
func (a *Action) sortExample() string {
	switch {
	case a.Resource.oldestFirst:
		return a.Resource.TimeField
	case a.Resource.TimeField != "":
		return "-" + a.Resource.TimeField
	}
	return a.defaultFields[1]
}

func fieldsSchema(a *Action) *jsonschema.Schema {
	one, text := uint64(1), "To return"
	if a.Class == Read {
		text = "Default: main ones"
	}
	return &jsonschema.Schema{Type: "array", Items: enum(a.Resource.Names()), MinItems: &one, UniqueItems: true, Description: text}
}

func pageSchema() *jsonschema.Schema {
	p := closedObject()
	p.Description = fmt.Sprintf("{limit,offset,count}; else %d rows", defaultLimit)
	p.Properties.Set("limit", &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: json.Number(fmt.Sprint(MaxLimit))})
	p.Properties.Set("offset", &jsonschema.Schema{Type: "integer", Minimum: "0"})
	p.Properties.Set("count", &jsonschema.Schema{Type: "boolean"})
	one := uint64(1)
	p.Properties.Set("after", &jsonschema.Schema{Type: "string", MinLength: &one})
	p.Properties.Set("before", &jsonschema.Schema{Type: "string", MinLength: &one})
	return p
}

// shorten removes from the schema that models see what they can do without: obvious bounds, closed
// nested objects, and the keys of page, which the server's instructions describe once. The checker
// is compiled before and keeps everything.
func shorten(s *jsonschema.Schema) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		stripKeywords(p.Value)
		if p.Key == "page" {
			p.Value.Properties = nil
		}
	}
}

func stripKeywords(s *jsonschema.Schema) {
	s.MinLength, s.MaxLength, s.MinItems, s.UniqueItems = nil, nil, nil, false
	s.Pattern, s.AdditionalProperties = "", nil
	if s.Minimum == "0" || s.Minimum == "1" {
		s.Minimum = ""
	}
	if s.Items != nil {
		stripKeywords(s.Items)
	}
	if s.Properties != nil {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			stripKeywords(p.Value)
		}
	}
}
