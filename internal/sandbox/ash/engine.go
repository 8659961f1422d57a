package ash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Engine answers payloads as AshTypescript on Ash does, for any definitions.
type Engine struct {
	domain    *Domain
	actions   map[string]*Action
	resources map[string]*Resource
	atoms     atoms
	store     *store
	now       func() time.Time

	mu        sync.Mutex // one turn at a time: the store has one connection
	savedTime time.Time  // the latest time that the store was told of
}

func Open(ctx context.Context, defs *Domain, path string, now func() time.Time) (*Engine, error) {
	e := &Engine{domain: defs, actions: map[string]*Action{}, resources: map[string]*Resource{}, atoms: newAtoms(), now: now}
	for _, r := range defs.Resources {
		r.index(defs.Namespace)
		e.resources[r.Name] = r
		for _, a := range r.Attributes {
			e.atoms.add(a.Name)
			e.atoms.add(a.Values...)
		}
		for _, rel := range r.Relations {
			e.atoms.add(rel.Name)
		}
	}
	for _, a := range defs.Actions {
		a.index()
		e.actions[a.Name] = a
		e.atoms.add(a.Name, a.AshName)
		for _, x := range a.Arguments {
			e.atoms.add(x.Name)
		}
	}
	var err error
	if e.store, err = openStore(ctx, path, defs.Table, defs.Resources); err != nil {
		return nil, err
	}
	if err := e.initialise(ctx); err != nil {
		e.store.db.Close()
		return nil, err
	}
	return e, nil
}

// Close closes the store. One in memory is gone with it.
func (e *Engine) Close() error { return e.store.db.Close() }

// Changes counts the rows that were inserted, updated or deleted since the engine was
// opened, also those that were rolled back.
func (e *Engine) Changes(ctx context.Context) (n int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err = e.store.db.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n)
	return n, err
}

// initialise seeds an empty store.
func (e *Engine) initialise(ctx context.Context) error {
	return e.transact(ctx, func(t *Tx) error {
		shape, used, err := e.store.number(ctx, t.tx, "shape")
		if err != nil {
			return fmt.Errorf("read database %q: %w", e.store.path, err)
		}
		if used {
			if shape != e.store.shape {
				return fmt.Errorf("database %q was written by another version of this program; use another file or delete it", e.store.path)
			}
			return e.continueClock(t)
		}
		facts := map[string]int64{"ids": 0, "shape": e.store.shape, "time": t.Now.UnixMicro()}
		maps.Copy(facts, e.domain.Facts)
		for _, key := range sortedKeys(facts) {
			if err := t.Exec(`INSERT INTO `+e.store.table+` ("key", "value") VALUES (?, ?)`, key, facts[key]); err != nil {
				return err
			}
		}
		if e.domain.Seed == nil {
			return nil
		}
		if err := e.domain.Seed(ctx, t); err != nil {
			return fmt.Errorf("seed database: %w", err)
		}
		return nil
	})
}

// continueClock lets the clock go on from the latest time that the store has seen,
// where it is behind that: a clock may have run fast, and been stopped since.
func (e *Engine) continueClock(t *Tx) error {
	latest, _, err := e.store.number(t.ctx, t.tx, "time")
	if err != nil {
		return err
	}
	e.savedTime = time.UnixMicro(latest).UTC()
	if behind := e.savedTime.Sub(t.Now); behind > 0 {
		clock := e.now
		e.now = func() time.Time { return clock().Add(behind) }
	}
	return nil
}

// saveTime keeps the turn's time for continueClock. To the second will do.
func (e *Engine) saveTime(t *Tx) error {
	if e.store.path == "" || t.Now.Sub(e.savedTime) < time.Second {
		return nil
	}
	e.savedTime = t.Now
	return t.Exec(`UPDATE `+e.store.table+` SET "value" = ? WHERE "key" = 'time' AND "value" < ?1`, t.Now.UnixMicro())
}

// errRollback rolls a turn back that went well.
var errRollback = errors.New("dry run")

// transact runs fn in a transaction, which it keeps unless fn fails.
func (e *Engine) transact(ctx context.Context, fn func(t *Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A client that goes away must not cut the one connection of a database in memory.
	ctx = context.WithoutCancel(ctx)
	tx, err := e.store.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	t := &Tx{ctx: ctx, e: e, tx: tx, Now: e.now().UTC()}
	if err := fn(t); err != nil {
		return err
	}
	return tx.Commit()
}

// Run performs the action that a request names, and returns the body of the response.
// The error is ErrCrash where the backend raises, or one of the store.
func (e *Engine) Run(ctx context.Context, req map[string]any) ([]byte, error) {
	data, err := e.perform(ctx, req)
	return encodeResponse(map[string]any{"data": data}, err)
}

// Validate checks a request without performing it, and returns the body of the response.
// Its errors are those of Run.
func (e *Engine) Validate(ctx context.Context, req map[string]any) ([]byte, error) {
	return encodeResponse(map[string]any{}, e.check(ctx, req))
}

// encodeResponse encodes the members of a successful response, or the errors.
func encodeResponse(body map[string]any, err error) ([]byte, error) {
	var fs Errors
	switch {
	case errors.As(err, &fs):
		if fs == nil {
			fs = Errors{} // an empty list, not null
		}
		body = map[string]any{"errors": []*Error(fs)}
	case err != nil:
		return nil, err
	}
	body["success"] = err == nil
	return appendAnswer(nil, body)
}

// perform gives the data of a run, or failures, or ErrCrash.
func (e *Engine) perform(ctx context.Context, req map[string]any) (any, error) {
	c, err := e.parse(req, false)
	if err != nil {
		return nil, err
	}
	var data any
	err = e.transact(ctx, func(t *Tx) error {
		if e.domain.BeforeRun != nil {
			if err := e.domain.BeforeRun(t); err != nil {
				return err
			}
		}
		if data, err = c.run(t); err != nil {
			return err
		}
		return e.saveTime(t)
	})
	return data, err
}

// check gives what is wrong with a request, nil or failures. It changes nothing.
func (e *Engine) check(ctx context.Context, req map[string]any) error {
	c, err := e.parse(req, true)
	if err != nil {
		return err
	}
	err = e.transact(ctx, func(t *Tx) error {
		if err := c.validate(t); err != nil {
			return err
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}

// request is a payload whose shape is right: what AshTypescript checks before
// it hands over to Ash.
type request struct {
	action   *Action
	fields   *selection
	input    map[string]any
	identity any
	filter   any
	sort     any
	page     any
}

// parse checks in the backend's order: the action, the fields, the shapes of
// input and page.
func (e *Engine) parse(req map[string]any, validating bool) (*request, error) {
	name := req["action"]
	if name == nil || name == "" || name == false {
		return nil, fail(missingParameter("action"))
	}
	called, isText := name.(string)
	if !isText && name != true { // true is an atom, and could be a name
		return nil, ErrCrash
	}
	a := e.actions[called]
	if a == nil {
		return nil, fail(&Error{Type: "action_not_found", Message: "RPC action %{action_name} not found",
			ShortMessage: "Action not found", Vars: map[string]any{"actionName": name}})
	}
	c := &request{action: a, input: map[string]any{}, identity: req["identity"], filter: req["filter"], sort: req["sort"], page: req["page"]}
	var err error
	if c.fields, err = e.selectFields(a, req, validating); err != nil {
		return nil, err
	}
	if v, given := req["input"]; given {
		var ok bool
		if c.input, ok = v.(map[string]any); !ok {
			return nil, fail(&Error{Type: "invalid_input_format", Message: "Input parameter must be a map",
				ShortMessage: "Invalid input format", Vars: map[string]any{"received": inspect(v, e.atoms)}})
		}
	}
	if _, ok := c.page.(map[string]any); c.page != nil && !ok {
		return nil, fail(&Error{Type: "invalid_pagination", Message: "Invalid pagination parameter format",
			ShortMessage: "Invalid pagination", Vars: map[string]any{"received": inspect(c.page, e.atoms)}})
	}
	return c, nil
}

func (c *request) run(t *Tx) (any, error) {
	switch c.action.Type {
	case ListAction:
		return c.list(t)
	case GetAction:
		return c.get(t)
	case CreateAction:
		return c.create(t)
	case UpdateAction:
		return c.update(t)
	case DestroyAction:
		return c.destroy(t)
	}
	return c.generic(t)
}

// castResult is the input, cast: the stored values, and the faults in the
// order in which the backend comes upon them.
type castResult struct {
	values  Record
	given   []*Violation // of keys that are there
	missing []*Violation // of keys that are not, or are null
}

// castValue casts every key. The backend goes through them in the order of
// Erlang's terms: known words alphabetically, then all others. Where both
// spellings of a key are given the snake_case one wins, since it sorts last.
func (c *request) castInput(known atoms) *castResult {
	a := c.action
	out := &castResult{values: Record{}}
	given := map[string]any{} // by snake_case, or as it came where no such word is known
	for _, key := range sortedKeys(c.input) {
		if word := snake(key); known[word] {
			given[word] = c.input[key]
		} else {
			given[key] = c.input[key]
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
	bad, null := map[string]bool{}, map[string]bool{}
	for _, key := range keys {
		x := a.inputAttribute(wireName(key))
		if x == nil {
			out.given = append(out.given, &Violation{kind: unknownKind, field: camel(key), index: -1})
			continue
		}
		v, f := x.cast(given[key], known)
		switch {
		case f == nil:
			out.values[x.Name] = v
		case f.kind == requiredKind:
			null[x.Name] = true
		default:
			bad[x.Name] = true
			out.given = append(out.given, f)
		}
	}
	need := func(x *Attribute, due bool) {
		_, have := out.values[x.Name]
		if null[x.Name] || due && !have && !bad[x.Name] {
			out.missing = append(out.missing, &Violation{kind: requiredKind, field: x.Name, index: -1})
		}
	}
	if a.Resource != nil {
		for _, x := range a.Resource.Attributes {
			if a.accepts[x.Name] {
				need(x, a.Type == CreateAction && x.Required && x.Default == nil)
			}
		}
	}
	for _, x := range a.Arguments {
		need(x, x.Required)
	}
	return out
}

// inOrder is how a create reports its faults.
func (r *castResult) inOrder() []*Violation { return slices.Concat(r.given, r.missing) }

// lastFirst is how reads and generic actions do.
func (r *castResult) lastFirst() []*Violation {
	all := r.inOrder()
	slices.Reverse(all)
	return all
}

// firstOnly is how an update does: it stops at the first.
func (r *castResult) firstOnly() []*Violation {
	all := r.inOrder()
	return all[:min(1, len(all))]
}

// renderErrors turns faults into failures.
func renderErrors(faults []*Violation, as func(*Violation) *Error) Errors {
	var out Errors
	for _, f := range faults {
		if shown := as(f); shown != nil {
			out = append(out, shown)
		}
	}
	return out
}
