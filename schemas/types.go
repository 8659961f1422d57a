package schemas

import (
	"reflect"

	"github.com/invopop/jsonschema"
)

// The types of input keys. The JSONSchema method of each returns its JSON Schema. Patterns and
// bounds exclude only what no server could accept.

type (
	// uuidText is a uuid.
	uuidText string
	// instant is the reference's UtcDateTimeUsec: RFC 3339 with a zone.
	instant string
	// day is the reference's AshDate: YYYY-MM-DD.
	day string
	// nonEmpty is a string that is not empty: Sippet stores "" as null, and then reports it as
	// missing.
	nonEmpty string
	// e164 is a number in E.164.
	e164 string
	// positiveInt is an integer of at least 1.
	positiveInt int64
	// nonNegativeInt is an integer of at least 0.
	nonNegativeInt int64

	callDirection  string
	callStatus     string
	trunkSource    string
	operatorState  string
	operatorSource string
	listenerStatus string
	tlsMode        string
	ownerType      string
)

// nullable is a T or null.
type nullable[T any] struct{ _ T }

func (uuidText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Format: "uuid"}
}
func (instant) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Format: "date-time"}
}
func (day) JSONSchema() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: "date"} }
func (nonEmpty) JSONSchema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "string", MinLength: &one}
}
func (e164) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: phonePattern}
}
func (positiveInt) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1"}
}
func (nonNegativeInt) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "0"}
}

func (callDirection) JSONSchema() *jsonschema.Schema  { return enum(callDirections) }
func (callStatus) JSONSchema() *jsonschema.Schema     { return enum(callStatuses) }
func (trunkSource) JSONSchema() *jsonschema.Schema    { return enum(trunkSources) }
func (operatorState) JSONSchema() *jsonschema.Schema  { return enum(operatorStates) }
func (operatorSource) JSONSchema() *jsonschema.Schema { return enum(operatorSources) }
func (listenerStatus) JSONSchema() *jsonschema.Schema { return enum(listenerStatuses) }
func (tlsMode) JSONSchema() *jsonschema.Schema        { return enum(tlsModes) }
func (ownerType) JSONSchema() *jsonschema.Schema      { return enum(ownerTypes) }

// JSONSchema returns T's schema with null allowed, as a list of types: that is shorter than anyOf,
// and every client that was tried supports it.
func (nullable[T]) JSONSchema() *jsonschema.Schema {
	s := reflector.ReflectFromType(reflect.TypeFor[T]())
	s.Version = ""
	s.Extras = map[string]any{"type": []any{s.Type, "null"}}
	s.Type = ""
	if s.Enum != nil {
		s.Enum = append(s.Enum, nil)
	}
	return s
}

func enum(values []string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}

// reflector turns an input type into a schema, with everything inline, because many clients do not
// follow $ref.
var reflector = &jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
