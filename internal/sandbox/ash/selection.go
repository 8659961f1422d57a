package ash

import (
	"slices"
	"strings"
)

// selection is a checked field selection: the attributes and relations to return.
type selection struct {
	resource *Resource
	attrs    []*Attribute
	nested   []nestedSelection
}

type nestedSelection struct {
	rel    *Relation
	fields *selection
}

// selectFields checks the field selection of a request against the action's resource. Only the
// first error is reported. Without a selection it returns an empty one.
func (e *Engine) selectFields(a *Action, req map[string]any, validating bool) (*selection, error) {
	v, given := req["fields"]
	given = given && v != nil
	mustHave := a.Type == ListAction || a.Type == GetAction || a.Type == RecordAction
	if !given {
		if mustHave && !validating {
			return nil, fail(missingParameter("fields"))
		}
		return &selection{resource: a.Resource}, nil
	}
	list, ok := v.([]any)
	if !ok {
		if !mustHave || validating {
			return nil, ErrCrash
		}
		return nil, fail(&Error{Type: "invalid_fields_type", Message: "Fields parameter must be an array",
			ShortMessage: "Invalid fields type", Vars: map[string]any{"received": inspect(v, e.atoms)}})
	}
	if len(list) == 0 {
		if mustHave && !validating {
			return nil, fail(&Error{Type: "empty_fields_array", Message: "Fields array cannot be empty", ShortMessage: "Empty fields array"})
		}
		return &selection{resource: a.Resource}, nil
	}
	if a.Type == MapAction {
		return nil, fail(&Error{Type: "invalid_field_selection", Message: "Cannot select fields from primitive type %{return_type}",
			ShortMessage: "Invalid field selection", Vars: map[string]any{"returnType": "Ash.Type.Map"}})
	}
	return e.selectFrom(a.Resource, list, nil)
}

// fieldPath is the list of relations in which a field is nested.
type fieldPath []string

func (p fieldPath) field(name string) string { return strings.Join(append(slices.Clone(p), name), ".") }

func (p fieldPath) newError(typ, message, short, name string, vars map[string]any) error {
	if vars == nil {
		vars = map[string]any{}
	}
	field := p.field(name)
	vars["field"] = field
	path := []any{}
	for _, x := range p {
		path = append(path, x)
	}
	return fail(&Error{Type: typ, Message: message, ShortMessage: short, Vars: vars, Fields: []string{field}, Path: path})
}

func (p fieldPath) unknown(r *Resource, name string) error {
	return p.newError("unknown_field", "Unknown field %{field} for resource %{resource}", "Unknown field", name, map[string]any{"resource": r.module()})
}

func (p fieldPath) needsSelection(name string) error {
	return p.newError("requires_field_selection", "%{field_type} %{field} requires field selection", "Field selection required", name,
		map[string]any{"fieldType": "Relationship"})
}

func (p fieldPath) noNesting(name string) error {
	return p.newError("field_does_not_support_nesting", "Field %{field} does not support nested field selection", "Field does not support nesting", name, nil)
}

func (p fieldPath) badArguments(name string) error {
	return p.newError("invalid_calculation_args", "Invalid arguments for calculation %{field}", "Invalid calculation arguments", name, nil)
}

// selectFrom checks one level of a selection: a list of names, and of maps from the name of a
// relation to the selection from it.
func (e *Engine) selectFrom(r *Resource, list []any, at fieldPath) (*selection, error) {
	if err := checkDuplicates(list, at); err != nil {
		return nil, err
	}
	s := &selection{resource: r}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			name := wireName(item)
			a := r.publicAttribute(item)
			switch {
			case r.relByName[name] != nil:
				return nil, at.needsSelection(name)
			case a == nil:
				return nil, at.unknown(r, name)
			}
			s.attrs = append(s.attrs, a)
		case map[string]any:
			if len(item) == 0 {
				return nil, at.unknown(r, "")
			}
			for _, name := range sortedKeys(item) {
				if err := e.selectNested(s, r, wireName(name), item[name], at); err != nil {
					return nil, err
				}
			}
		default: // null and booleans, which are atoms
			return nil, at.unknown(r, camel(atomText(item)))
		}
	}
	return s, nil
}

// atomText returns the name of the atom for a boolean. For null it returns "".
func atomText(v any) string {
	if b, ok := v.(bool); ok {
		return toString(b)
	}
	return ""
}

// checkDuplicates reports a field that is selected twice, of several the first in alphabetical
// order.
func checkDuplicates(list []any, at fieldPath) error {
	count := map[string]int{}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			count[wireName(item)]++
		case map[string]any:
			for name := range item {
				count[wireName(name)]++
			}
		case nil, bool:
			count[camel(atomText(item))]++
		default:
			return at.newError("unknown_field", "Unknown field %{field}", "Unknown field", inspect(item, nil), nil)
		}
	}
	for _, name := range sortedKeys(count) {
		if count[name] > 1 {
			return at.newError("duplicate_field", "Field %{field} was requested multiple times", "Duplicate field", name, nil)
		}
	}
	return nil
}

// selectNested checks the selection below one field. Only relations have fields below them. A map
// with args or fields is a calculation with arguments, which this engine does not have.
func (e *Engine) selectNested(s *selection, r *Resource, name string, below any, at fieldPath) error {
	rel, a := r.relByName[name], r.publicAttribute(name)
	calculated := a != nil && !a.isStored()
	m, isMap := below.(map[string]any)
	_, hasArgs := m["args"]
	_, hasFields := m["fields"]
	switch {
	case rel == nil && a == nil:
		return at.unknown(r, name)
	case hasArgs && m["args"] != nil || hasFields:
		if !calculated {
			return at.unknown(r, name)
		}
		if m["args"] != nil || m["fields"] == nil {
			return at.badArguments(name)
		}
		return at.newError("invalid_field_selection", "Cannot select fields from %{field_type} %{field}", "Invalid field selection", name,
			map[string]any{"fieldType": ":calculation"})
	case calculated && isMap:
		return at.badArguments(name)
	case rel == nil:
		return at.noNesting(name)
	}
	list, ok := below.([]any)
	if !ok {
		return at.newError("unsupported_field_combination", "Unsupported combination of field type and specification for %{field}",
			"Unsupported field combination", name, map[string]any{"fieldType": "relationship"})
	}
	if len(list) == 0 {
		return at.needsSelection(name)
	}
	fields, err := e.selectFrom(e.resources[rel.Resource], list, append(slices.Clone(at), name))
	if err != nil {
		return err
	}
	s.nested = append(s.nested, nestedSelection{rel, fields})
	return nil
}
