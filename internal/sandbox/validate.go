package sandbox

import "slices"

// validate is the validate endpoint past the shapes. For reads it builds the
// query, and shows faults as run does. For the rest it fills in a form, which
// sees less than run does: unknown keys, items of arrays, uniqueness and
// permissions pass it.
func (c *request) validate(t *turn) error {
	a := c.action
	switch a.Type {
	case listAction, getAction:
		if fs := present(c.castInput(t.e.atoms).lastFirst(), (*fault).asQuery); len(fs) > 0 {
			return fs
		}
		return nil
	}
	var old record
	if a.Type == updateAction || a.Type == destroyAction {
		var err error
		if old, err = c.lookUp(t); err != nil {
			return err
		}
	}
	in := c.castInput(t.e.atoms)
	faults := in.inOrder()
	if a.Check != nil {
		next := in.values
		if old != nil {
			next = merged(old, in.values)
		} else if a.Type == createAction {
			next = c.newRecord(in)
		}
		faults = append(faults, a.Check(old, next)...)
	}
	slices.Reverse(faults)
	if fs := present(faults, (*fault).asForm); len(fs) > 0 {
		return fs
	}
	return nil
}

// lookUp finds the record of the identity as the validate endpoint does: it
// takes {"id": …} too, and has its own words for what it cannot find.
func (c *request) lookUp(t *turn) (record, error) {
	v := c.identity
	if m, ok := v.(map[string]any); ok && len(m) == 1 && m["id"] != nil {
		v = m["id"]
	}
	if v == nil || v == "" {
		return nil, fail(notFound("record with id: nil not found"))
	}
	id, ok := castID(v)
	if !ok {
		return nil, fail(&failure{Type: "invalid_primary_key", Message: "invalid primary key " + inspect(v, nil) + " provided",
			ShortMessage: "Invalid primary key"})
	}
	rec, err := t.get(c.action.Resource, id)
	if err == nil && rec == nil {
		err = fail(notFound("record with id: " + inspectString(id) + " not found"))
	}
	return rec, err
}
