package schemas

import (
	"reflect"

	"github.com/invopop/jsonschema"
)

// The types that inputs are made of. Each says by its JSONSchema method how a
// JSON Schema shows it; patterns and bounds are those that no server could
// accept otherwise.

type (
	// ID is a uuid.
	ID string
	// Instant is the reference's UtcDateTimeUsec: RFC 3339 with a zone.
	Instant string
	// Day is the reference's AshDate: YYYY-MM-DD.
	Day string
	// Key is a string that must say something: Sippet stores "" as null and then misses it.
	Key string
	// Phone is a number in E.164.
	Phone string
	// Count is an integer of at least 1.
	Count int64
	// Index is an integer of at least 0.
	Index int64

	CallDirection  string
	CallStatus     string
	TrunkSource    string
	OperatorState  string
	OperatorSource string
	ListenerStatus string
	TLSMode        string
	OwnerType      string
)

// Null is a T or null.
type Null[T any] struct{ _ T }

func (ID) JSONSchema() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: "uuid"} }
func (Instant) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Format: "date-time"}
}
func (Day) JSONSchema() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: "date"} }
func (Key) JSONSchema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "string", MinLength: &one}
}
func (Phone) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: phonePattern}
}
func (Count) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1"}
}
func (Index) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "0"}
}

func (CallDirection) JSONSchema() *jsonschema.Schema  { return enum(callDirections) }
func (CallStatus) JSONSchema() *jsonschema.Schema     { return enum(callStatuses) }
func (TrunkSource) JSONSchema() *jsonschema.Schema    { return enum(trunkSources) }
func (OperatorState) JSONSchema() *jsonschema.Schema  { return enum(operatorStates) }
func (OperatorSource) JSONSchema() *jsonschema.Schema { return enum(operatorSources) }
func (ListenerStatus) JSONSchema() *jsonschema.Schema { return enum(listenerStatuses) }
func (TLSMode) JSONSchema() *jsonschema.Schema        { return enum(tlsModes) }
func (OwnerType) JSONSchema() *jsonschema.Schema      { return enum(ownerTypes) }

// JSONSchema gives T's schema with null allowed, as a list of types: shorter
// than anyOf, and understood by every client that was tried.
func (Null[T]) JSONSchema() *jsonschema.Schema {
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

// reflector turns an input type into a schema: everything inline, since many
// clients do not follow $ref.
var reflector = &jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
