package sandbox

import "encoding/json"

// selection is a checked `fields`: what of a record is answered.
type selection struct {
	attrs   []*attribute
	nested  []nestedSelection
	resRef  *resource
	keyName map[string]bool
}

type nestedSelection struct {
	rel    *relation
	fields *selection
}

// selectFields checks `fields` against what the action answers. Only the first
// fault is reported. Where there is nothing to check it gives nil.
func (e *engine) selectFields(a *action, req map[string]any, validating bool) (*selection, error) {
	v, given := req["fields"]
	given = given && v != nil
	mustHave := a.Type == listAction || a.Type == getAction || a.Type == recordAction
	if !given {
		if mustHave && !validating {
			return nil, fail(missingParameter("fields"))
		}
		return &selection{resRef: a.Resource}, nil
	}
	list, ok := v.([]any)
	if !ok {
		if !mustHave {
			return nil, errCrash
		}
		return nil, fail(&failure{Type: "invalid_fields_type", Message: "Fields parameter must be an array",
			ShortMessage: "Invalid fields type", Vars: map[string]any{"received": inspect(v, e.atoms)}})
	}
	if len(list) == 0 {
		if mustHave && !validating {
			return nil, fail(&failure{Type: "empty_fields_array", Message: "Fields array cannot be empty", ShortMessage: "Empty fields array"})
		}
		return &selection{resRef: a.Resource}, nil
	}
	if a.Type == mapAction {
		return nil, fail(&failure{Type: "invalid_field_selection", Message: "Cannot select fields from primitive type %{return_type}",
			ShortMessage: "Invalid field selection", Vars: map[string]any{"returnType": "Ash.Type.Map"}})
	}
	return e.selectFrom(a.Resource, list, "")
}

func fieldFailure(typ, message, short, path string, vars map[string]any) error {
	if vars == nil {
		vars = map[string]any{}
	}
	vars["field"] = path
	return fail(&failure{Type: typ, Message: message, ShortMessage: short, Vars: vars, Fields: []string{path}})
}

func (e *engine) selectFrom(r *resource, list []any, prefix string) (*selection, error) {
	s := &selection{resRef: r, keyName: map[string]bool{}}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			if err := s.addPlain(r, item, prefix); err != nil {
				return nil, err
			}
		case map[string]any:
			if len(item) == 0 {
				return nil, unknownField(r, prefix)
			}
			for _, name := range sortedKeys(item) {
				if err := e.addNested(s, r, name, item[name], prefix); err != nil {
					return nil, err
				}
			}
		default:
			return nil, unknownField(r, prefix+inspect(item, nil))
		}
	}
	return s, nil
}

func unknownField(r *resource, path string) error {
	return fieldFailure("unknown_field", "Unknown field %{field} for resource %{resource}", "Unknown field", path,
		map[string]any{"resource": r.module()})
}

func (s *selection) once(name, path string) error {
	if s.keyName[name] {
		return fieldFailure("duplicate_field", "Field %{field} was requested multiple times", "Duplicate field", path, nil)
	}
	s.keyName[name] = true
	return nil
}

func (s *selection) addPlain(r *resource, item, prefix string) error {
	name := wireName(item)
	path := prefix + name
	if r.relByName[name] != nil {
		return fieldFailure("requires_field_selection", "%{field_type} %{field} requires field selection", "Field selection required",
			path, map[string]any{"fieldType": "Relationship"})
	}
	a := r.public(item)
	if a == nil {
		return unknownField(r, path)
	}
	if err := s.once(name, path); err != nil {
		return err
	}
	s.attrs = append(s.attrs, a)
	return nil
}

func (e *engine) addNested(s *selection, r *resource, item string, below any, prefix string) error {
	name := wireName(item)
	path := prefix + name
	rel := r.relByName[name]
	if rel == nil {
		if r.public(item) != nil {
			return fieldFailure("field_does_not_support_nesting", "Field %{field} does not support nested field selection",
				"Field does not support nesting", path, nil)
		}
		return unknownField(r, path)
	}
	if err := s.once(name, path); err != nil {
		return err
	}
	list, ok := below.([]any)
	if !ok || len(list) == 0 {
		return fieldFailure("requires_field_selection", "%{field_type} %{field} requires field selection", "Field selection required",
			path, map[string]any{"fieldType": "Relationship"})
	}
	fields, err := e.selectFrom(e.resources[rel.Resource], list, path+".")
	if err != nil {
		return err
	}
	s.nested = append(s.nested, nestedSelection{rel, fields})
	return nil
}

// columns are the attributes that must be read to answer the selection.
func (s *selection) columns() []*attribute {
	var out []*attribute
	seen := map[string]bool{}
	add := func(a *attribute) {
		if a != nil && !seen[a.Name] {
			seen[a.Name] = true
			out = append(out, a)
		}
	}
	for _, a := range s.attrs {
		if a.Compute == nil {
			add(a)
		}
		for _, n := range a.Needs {
			add(s.resRef.byName[n])
		}
	}
	for _, n := range s.nested {
		add(s.resRef.byName[n.rel.Key])
	}
	return out
}

// render gives the record as it is answered: exactly the keys asked for.
func (s *selection) render(t *turn, rec record) (map[string]any, error) {
	out := map[string]any{}
	for _, a := range s.attrs {
		v := rec[a.Name]
		if a.Compute != nil {
			v = a.Compute(rec)
		}
		out[a.Name] = wireValue(v)
	}
	for _, n := range s.nested {
		out[n.rel.Name] = nil
		id := rec.text(n.rel.Key)
		if id == "" {
			continue
		}
		other, err := t.get(t.e.resources[n.rel.Resource], id)
		if err != nil {
			return nil, err
		}
		if other == nil {
			continue
		}
		if out[n.rel.Name], err = n.fields.render(t, other); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func wireValue(v any) any {
	switch v := v.(type) {
	case document:
		return json.RawMessage(v)
	case float64:
		return json.Number(formatFloat(v))
	}
	return v
}
