package ash

import (
	"maps"
	"strings"
)

// create performs a create action, which may be an upsert.
func (rq *request) create(t *Tx) (any, error) {
	a, r := rq.action, rq.action.Resource
	in := rq.castInput(t.engine.atoms)
	rec := rq.newRecord(in)
	violations := in.inOrder()
	if a.Check != nil {
		violations = append(violations, a.Check(nil, rec)...)
	}
	if errs := renderErrors(violations, rq.asChange); len(errs) > 0 {
		return nil, errs
	}
	if a.Forbidden {
		return nil, fail(forbidden())
	}
	if a.UpsertOn != "" {
		old, err := t.First(r, "t."+quoteName(a.UpsertOn)+" = ?", rec[a.UpsertOn])
		if err != nil {
			return nil, err
		}
		if old != nil {
			changes := Record{}
			for _, name := range a.UpsertSet {
				changes[name] = rec[name]
			}
			return rq.applyChanges(t, old, changes)
		}
	}
	if a.Change != nil {
		if err := a.Change(t, nil, rec); err != nil {
			return nil, err
		}
	}
	if err := rq.checkUnique(t, rec, ""); err != nil {
		return nil, err
	}
	if err := t.Insert(r, rec); err != nil {
		return nil, err
	}
	if a.After != nil {
		if err := a.After(t, nil, rec); err != nil {
			return nil, err
		}
	}
	return rq.renderRecord(t, rec.Text("id"))
}

// newRecord returns the record that a create stores: the defaults, then the input.
func (rq *request) newRecord(in *castResult) Record {
	rec := Record{}
	for _, x := range rq.action.Resource.Attributes {
		if x.Default != nil {
			rec[x.Name] = x.Default
		}
	}
	maps.Copy(rec, in.values)
	return rec
}

func (rq *request) asChange(v *Violation) *Error { return v.asChange(rq.action) }

// update performs an update action.
func (rq *request) update(t *Tx) (any, error) {
	a := rq.action
	if err := rq.checkIdentityShape(); err != nil {
		return nil, err
	}
	in := rq.castInput(t.engine.atoms)
	if errs := renderErrors(in.firstOnly(), rq.asChange); len(errs) > 0 {
		return nil, errs
	}
	if a.Forbidden {
		return nil, fail(forbidden())
	}
	id, ok := castID(rq.identity)
	if !ok {
		if a.Atomic {
			return nil, fail(unknownError())
		}
		return nil, fail(internalError())
	}
	old, err := t.Get(a.Resource, id)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, fail(notFound("record not found"))
	}
	if a.Check != nil {
		if errs := renderErrors(a.Check(old, merged(old, in.values)), rq.asChange); len(errs) > 0 {
			return nil, errs
		}
	}
	return rq.applyChanges(t, old, in.values)
}

func merged(old, changes Record) Record {
	next := maps.Clone(old)
	maps.Copy(next, changes)
	return next
}

// applyChanges stores the changes to a record and returns the selected fields.
func (rq *request) applyChanges(t *Tx, old, changes Record) (any, error) {
	a, r := rq.action, rq.action.Resource
	next := merged(old, changes)
	if a.Change != nil {
		if err := a.Change(t, old, next); err != nil {
			return nil, err
		}
	}
	id := old.Text("id")
	if err := rq.checkUnique(t, next, id); err != nil {
		return nil, err
	}
	changed := Record{}
	for name, v := range next {
		if x := r.byName[name]; x != nil && x.isStored() && v != old[name] {
			changed[name] = v
		}
	}
	if err := t.Update(r, id, changed); err != nil {
		return nil, err
	}
	if a.After != nil {
		if err := a.After(t, old, next); err != nil {
			return nil, err
		}
	}
	return rq.renderRecord(t, id)
}

// checkUnique returns an error if a record other than the one with this id has the same value of a
// unique attribute.
func (rq *request) checkUnique(t *Tx, rec Record, id string) error {
	r := rq.action.Resource
	for _, name := range r.Unique {
		if rec[name] == nil {
			continue
		}
		n, err := t.Count(r, "t."+quoteName(name)+` = ? AND t."id" != ?`, encodeColumn(rec[name]), id)
		if err != nil {
			return err
		}
		if n > 0 {
			return fail(&Error{Type: "invalid_changes", Message: "has already been taken", ShortMessage: "Invalid changes", Fields: []string{name}})
		}
	}
	return nil
}

// destroy performs a destroy action. It succeeds if the record does not exist.
func (rq *request) destroy(t *Tx) (any, error) {
	a := rq.action
	if err := rq.checkIdentityShape(); err != nil {
		return nil, err
	}
	in := rq.castInput(t.engine.atoms)
	if errs := renderErrors(in.firstOnly(), rq.asChange); len(errs) > 0 {
		return nil, errs
	}
	id, ok := castID(rq.identity)
	if !ok {
		return nil, fail(unknownError())
	}
	old, err := t.Get(a.Resource, id)
	if err != nil || old == nil {
		return map[string]any{}, err
	}
	data, err := rq.renderRecord(t, id)
	if err != nil {
		return nil, err
	}
	if err := t.Delete(a.Resource, id); err != nil {
		return nil, err
	}
	if a.After != nil {
		err = a.After(t, old, nil)
	}
	return data, err
}

// renderRecord returns the selected fields of the stored record.
func (rq *request) renderRecord(t *Tx, id string) (any, error) {
	rec, err := t.Get(rq.action.Resource, id)
	if err != nil {
		return nil, err
	}
	return rq.fields.renderer(t.engine).record(nil, t, rec)
}

// checkIdentityShape performs the check of the identity with which run begins.
func (rq *request) checkIdentityShape() error {
	switch v := rq.identity.(type) {
	case nil:
		return fail(&Error{Type: "missing_identity", Message: "Identity is required. Provide the id value directly.",
			ShortMessage: "Missing identity", Vars: map[string]any{"expectedKeys": "id"}, Path: []any{"identity"}})
	case map[string]any:
		return fail(&Error{Type: "invalid_identity", ShortMessage: "Invalid identity", Path: []any{"identity"},
			Message: "Identity fields do not match any configured identity. Provided: [%{provided_keys}], expected: [%{expected_keys}]",
			Vars:    map[string]any{"expectedKeys": "id", "providedKeys": strings.Join(sortedKeys(v), ", ")}})
	}
	return nil
}

func castID(v any) (string, bool) {
	s, ok := v.(string)
	if !ok {
		return "", false
	}
	id, ok := castUUID(s)
	if !ok {
		return "", false
	}
	return id.(string), true
}

// generic performs a generic action.
func (rq *request) generic(t *Tx) (any, error) {
	a := rq.action
	in := rq.castInput(t.engine.atoms)
	if errs := renderErrors(in.lastFirst(), (*Violation).asGeneric); len(errs) > 0 {
		return nil, errs
	}
	out, err := a.Run(t, in.values)
	if err != nil {
		return nil, err
	}
	if rec, ok := out.(Record); ok && a.Type == RecordAction {
		return rq.fields.renderer(t.engine).record(nil, t, rec)
	}
	return out, nil
}
