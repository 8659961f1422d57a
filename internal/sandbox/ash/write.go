package ash

import (
	"maps"
	"strings"
)

// create answers a create, or an upsert.
func (c *request) create(t *Tx) (any, error) {
	a, r := c.action, c.action.Resource
	in := c.castInput(t.e.atoms)
	rec := c.newRecord(in)
	faults := in.inOrder()
	if a.Check != nil {
		faults = append(faults, a.Check(nil, rec)...)
	}
	if fs := renderErrors(faults, c.asChange); len(fs) > 0 {
		return nil, fs
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
			return c.store(t, old, changes)
		}
	}
	if a.Change != nil {
		if err := a.Change(t, nil, rec); err != nil {
			return nil, err
		}
	}
	if err := c.checkUnique(t, rec, ""); err != nil {
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
	return c.renderRecord(t, rec.Text("id"))
}

// newRecord is what a create would store: the input over the defaults.
func (c *request) newRecord(in *castResult) Record {
	rec := Record{}
	for _, x := range c.action.Resource.Attributes {
		if x.Default != nil {
			rec[x.Name] = x.Default
		}
	}
	maps.Copy(rec, in.values)
	return rec
}

func (c *request) asChange(f *Violation) *Error { return f.asChange(c.action) }

// update answers an update of the record that identity names.
func (c *request) update(t *Tx) (any, error) {
	a := c.action
	if err := c.checkIdentityShape(); err != nil {
		return nil, err
	}
	in := c.castInput(t.e.atoms)
	if fs := renderErrors(in.firstOnly(), c.asChange); len(fs) > 0 {
		return nil, fs
	}
	if a.Forbidden {
		return nil, fail(forbidden())
	}
	id, ok := castID(c.identity)
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
		if fs := renderErrors(a.Check(old, merged(old, in.values)), c.asChange); len(fs) > 0 {
			return nil, fs
		}
	}
	return c.store(t, old, in.values)
}

func merged(old, changes Record) Record {
	next := maps.Clone(old)
	maps.Copy(next, changes)
	return next
}

// store writes the changes to a record and answers it.
func (c *request) store(t *Tx, old, changes Record) (any, error) {
	a, r := c.action, c.action.Resource
	next := merged(old, changes)
	if a.Change != nil {
		if err := a.Change(t, old, next); err != nil {
			return nil, err
		}
	}
	id := old.Text("id")
	if err := c.checkUnique(t, next, id); err != nil {
		return nil, err
	}
	differ := Record{}
	for name, v := range next {
		if x := r.byName[name]; x != nil && x.isStored() && v != old[name] {
			differ[name] = v
		}
	}
	if err := t.Update(r, id, differ); err != nil {
		return nil, err
	}
	if a.After != nil {
		if err := a.After(t, old, next); err != nil {
			return nil, err
		}
	}
	return c.renderRecord(t, id)
}

// checkUnique refuses a record whose unique attributes another has.
func (c *request) checkUnique(t *Tx, rec Record, id string) error {
	r := c.action.Resource
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

// destroy answers a destroy. One of a record that is gone succeeds.
func (c *request) destroy(t *Tx) (any, error) {
	a := c.action
	if err := c.checkIdentityShape(); err != nil {
		return nil, err
	}
	in := c.castInput(t.e.atoms)
	if fs := renderErrors(in.firstOnly(), c.asChange); len(fs) > 0 {
		return nil, fs
	}
	id, ok := castID(c.identity)
	if !ok {
		return nil, fail(unknownError())
	}
	old, err := t.Get(a.Resource, id)
	if err != nil || old == nil {
		return map[string]any{}, err
	}
	data, err := c.renderRecord(t, id)
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

// renderRecord gives the fields of the record as it is stored now.
func (c *request) renderRecord(t *Tx, id string) (any, error) {
	rec, err := t.Get(c.action.Resource, id)
	if err != nil {
		return nil, err
	}
	return c.fields.renderer(t.e).record(nil, t, rec)
}

// checkIdentityShape is what run checks of the identity before anything else.
func (c *request) checkIdentityShape() error {
	switch v := c.identity.(type) {
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

// generic answers a generic action.
func (c *request) generic(t *Tx) (any, error) {
	a := c.action
	in := c.castInput(t.e.atoms)
	if fs := renderErrors(in.lastFirst(), (*Violation).asGeneric); len(fs) > 0 {
		return nil, fs
	}
	out, err := a.Run(t, in.values)
	if err != nil {
		return nil, err
	}
	if rec, ok := out.(Record); ok && a.Type == RecordAction {
		return c.fields.renderer(t.e).record(nil, t, rec)
	}
	return out, nil
}
