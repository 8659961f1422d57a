package ash

import (
	"slices"
	"strings"
)

// request is a request that has passed AshTypescript's checks of its shape.
type request struct {
	action   *Action
	fields   *selection
	input    map[string]any
	identity any
	filter   any
	sort     any
	page     any
}

// parse checks the action, the field selection, and the shapes of input and page, in the
// backend's order.
func (e *Engine) parse(req map[string]any, validating bool) (*request, error) {
	name := req["action"]
	if name == nil || name == "" || name == false {
		return nil, fail(missingParameter("action"))
	}
	text, isText := name.(string)
	if !isText && name != true { // true is an atom, and so can be a name
		return nil, ErrCrash
	}
	a := e.actions[text]
	if a == nil {
		return nil, fail(&Error{Type: "action_not_found", Message: "RPC action %{action_name} not found",
			ShortMessage: "Action not found", Vars: map[string]any{"actionName": name}})
	}
	rq := &request{action: a, input: map[string]any{}, identity: req["identity"], filter: req["filter"], sort: req["sort"], page: req["page"]}
	var err error
	if rq.fields, err = e.selectFields(a, req, validating); err != nil {
		return nil, err
	}
	if v, given := req["input"]; given {
		var ok bool
		if rq.input, ok = v.(map[string]any); !ok {
			return nil, fail(&Error{Type: "invalid_input_format", Message: "Input parameter must be a map",
				ShortMessage: "Invalid input format", Vars: map[string]any{"received": inspect(v, e.atoms)}})
		}
	}
	if _, ok := rq.page.(map[string]any); rq.page != nil && !ok {
		return nil, fail(&Error{Type: "invalid_pagination", Message: "Invalid pagination parameter format",
			ShortMessage: "Invalid pagination", Vars: map[string]any{"received": inspect(rq.page, e.atoms)}})
	}
	return rq, nil
}

func (rq *request) run(t *Tx) (any, error) {
	switch rq.action.Type {
	case ListAction:
		return rq.list(t)
	case GetAction:
		return rq.get(t)
	case CreateAction:
		return rq.create(t)
	case UpdateAction:
		return rq.update(t)
	case DestroyAction:
		return rq.destroy(t)
	}
	return rq.generic(t)
}

// castResult is the cast input: the values to store, and the violations in the order in which the
// backend finds them.
type castResult struct {
	values  Record
	wrong   []*Violation // of keys that have a value
	missing []*Violation // of keys that are left out or null
}

// castInput casts every key of the input.
//
// The backend sorts the keys as Erlang sorts terms: atoms alphabetically, then strings. If both
// spellings of a key are given, snake_case wins, because it sorts last.
func (rq *request) castInput(known atoms) *castResult {
	a := rq.action
	out := &castResult{values: Record{}}
	given := map[string]any{} // by the atom, or by the key where there is no such atom
	for _, key := range sortedKeys(rq.input) {
		if word := snake(key); known[word] {
			given[word] = rq.input[key]
		} else {
			given[key] = rq.input[key]
		}
	}
	keys := sortedKeys(given)
	slices.SortStableFunc(keys, func(x, y string) int {
		switch {
		case known[x] == known[y]:
			return strings.Compare(x, y)
		case known[x]:
			return -1
		}
		return 1
	})
	invalid, null := map[string]bool{}, map[string]bool{}
	for _, key := range keys {
		x := a.inputAttribute(wireName(key))
		if x == nil {
			out.wrong = append(out.wrong, &Violation{kind: unknownKind, field: camel(key), index: -1})
			continue
		}
		v, violation := x.cast(given[key], known)
		switch {
		case violation == nil:
			out.values[x.Name] = v
		case violation.kind == requiredKind:
			null[x.Name] = true
		default:
			invalid[x.Name] = true
			out.wrong = append(out.wrong, violation)
		}
	}
	checkPresent := func(x *Attribute, required bool) {
		_, ok := out.values[x.Name]
		if null[x.Name] || required && !ok && !invalid[x.Name] {
			out.missing = append(out.missing, &Violation{kind: requiredKind, field: x.Name, index: -1})
		}
	}
	if a.Resource != nil {
		for _, x := range a.Resource.Attributes {
			if a.accepts[x.Name] {
				checkPresent(x, a.Type == CreateAction && x.Required && x.Default == nil)
			}
		}
	}
	for _, x := range a.Arguments {
		checkPresent(x, x.Required)
	}
	return out
}

// inOrder returns the violations as a create reports them.
func (r *castResult) inOrder() []*Violation { return slices.Concat(r.wrong, r.missing) }

// lastFirst returns the violations as reads and generic actions report them.
func (r *castResult) lastFirst() []*Violation {
	all := r.inOrder()
	slices.Reverse(all)
	return all
}

// firstOnly returns the violations as an update reports them: it stops at the first.
func (r *castResult) firstOnly() []*Violation {
	all := r.inOrder()
	return all[:min(1, len(all))]
}

// validate performs the validation of a request.
//
// For a read it builds the query, and reports what run reports. For all other actions the backend
// fills in a form, which does not check unknown keys, items of arrays, uniqueness and permissions.
func (rq *request) validate(t *Tx) error {
	a := rq.action
	switch a.Type {
	case ListAction, GetAction:
		if errs := renderErrors(rq.castInput(t.engine.atoms).lastFirst(), (*Violation).asQuery); len(errs) > 0 {
			return errs
		}
		return nil
	}
	var old Record
	if a.Type == UpdateAction || a.Type == DestroyAction {
		var err error
		if old, err = rq.findIdentified(t); err != nil {
			return err
		}
	}
	in := rq.castInput(t.engine.atoms)
	violations := in.inOrder()
	if a.Check != nil {
		next := in.values
		if old != nil {
			next = merged(old, in.values)
		} else if a.Type == CreateAction {
			next = rq.newRecord(in)
		}
		violations = append(violations, a.Check(old, next)...)
	}
	slices.Reverse(violations)
	if errs := renderErrors(violations, (*Violation).asForm); len(errs) > 0 {
		return errs
	}
	return nil
}

// findIdentified returns the record that the identity names. Unlike run, validation also accepts
// {"id": …}, and reports a missing record in other words.
func (rq *request) findIdentified(t *Tx) (Record, error) {
	v := rq.identity
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
	rec, err := t.Get(rq.action.Resource, id)
	if err == nil && rec == nil {
		err = fail(notFound("record with id: " + inspectString(id) + " not found"))
	}
	return rec, err
}
