package ash

import "slices"

// validate is the validate endpoint past the shapes. For reads it builds the
// query, and shows faults as run does. For the rest it fills in a form, which
// sees less than run does: unknown keys, items of arrays, uniqueness and
// permissions pass it.
func (c *request) validate(t *Tx) error {
	a := c.action
	switch a.Type {
	case ListAction, GetAction:
		if fs := renderErrors(c.castInput(t.e.atoms).lastFirst(), (*Violation).asQuery); len(fs) > 0 {
			return fs
		}
		return nil
	}
	var old Record
	if a.Type == UpdateAction || a.Type == DestroyAction {
		var err error
		if old, err = c.findIdentified(t); err != nil {
			return err
		}
	}
	in := c.castInput(t.e.atoms)
	faults := in.inOrder()
	if a.Check != nil {
		next := in.values
		if old != nil {
			next = merged(old, in.values)
		} else if a.Type == CreateAction {
			next = c.newRecord(in)
		}
		faults = append(faults, a.Check(old, next)...)
	}
	slices.Reverse(faults)
	if fs := renderErrors(faults, (*Violation).asForm); len(fs) > 0 {
		return fs
	}
	return nil
}

// findIdentified finds the record of the identity as the validate endpoint does: it
// takes {"id": …} too, and has its own words for what it cannot find.
func (c *request) findIdentified(t *Tx) (Record, error) {
	v := c.identity
	if m, ok := v.(map[string]any); ok && len(m) == 1 && m["id"] != nil {
		v = m["id"]
	}
	if v == nil || v == "" {
		return nil, fail(notFound("record with id: nil not found"))
	}
	id, ok := castID(v)
	if !ok {
		return nil, fail(&Error{Type: "invalid_primary_key", Message: "invalid primary key " + inspect(v, nil) + " provided",
			ShortMessage: "Invalid primary key"})
	}
	rec, err := t.Get(c.action.Resource, id)
	if err == nil && rec == nil {
		err = fail(notFound("record with id: " + inspectString(id) + " not found"))
	}
	return rec, err
}
