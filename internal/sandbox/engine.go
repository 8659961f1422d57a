package sandbox

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

// engine answers payloads as AshTypescript on Ash does, for any definitions.
type engine struct {
	defs      *definitions
	actions   map[string]*action
	resources map[string]*resource
	atoms     atoms
	store     *store
	now       func() time.Time

	mu   sync.Mutex // one turn at a time: the store has one connection
	seen time.Time  // the latest time that the store was told of
}

func newEngine(ctx context.Context, defs *definitions, path string, now func() time.Time) (*engine, error) {
	e := &engine{defs: defs, actions: map[string]*action{}, resources: map[string]*resource{}, atoms: newAtoms(), now: now}
	for _, r := range defs.Resources {
		r.init(defs.Namespace)
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
		a.init()
		e.actions[a.Name] = a
		e.atoms.add(a.Name, a.Ash)
		for _, x := range a.Arguments {
			e.atoms.add(x.Name)
		}
	}
	var err error
	if e.store, err = openStore(ctx, path, defs.Table, defs.Resources); err != nil {
		return nil, err
	}
	if err := e.start(ctx); err != nil {
		e.store.db.Close()
		return nil, err
	}
	return e, nil
}

// Close closes the store. One in memory is gone with it.
func (e *engine) Close() error { return e.store.db.Close() }

// Changes counts the rows that were inserted, updated or deleted since the engine was
// opened, also those that were rolled back.
func (e *engine) Changes(ctx context.Context) (n int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err = e.store.db.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n)
	return n, err
}

// start seeds an empty store.
func (e *engine) start(ctx context.Context) error {
	return e.inTurn(ctx, func(t *turn) error {
		shape, used, err := e.store.number(ctx, t.tx, "shape")
		if err != nil {
			return fmt.Errorf("read database %q: %w", e.store.path, err)
		}
		if used {
			if shape != e.store.shape {
				return fmt.Errorf("database %q was written by another version of this program; use another file or delete it", e.store.path)
			}
			return e.goOn(t)
		}
		facts := map[string]int64{"ids": 0, "shape": e.store.shape, "time": t.now.UnixMicro()}
		maps.Copy(facts, e.defs.Facts)
		for _, key := range sortedKeys(facts) {
			if err := t.exec(`INSERT INTO `+e.store.table+` ("key", "value") VALUES (?, ?)`, key, facts[key]); err != nil {
				return err
			}
		}
		if e.defs.Seed == nil {
			return nil
		}
		if err := e.defs.Seed(ctx, t); err != nil {
			return fmt.Errorf("seed database: %w", err)
		}
		return nil
	})
}

// goOn lets the clock go on from the latest time that the store has seen,
// where it is behind that: a clock may have run fast, and been stopped since.
func (e *engine) goOn(t *turn) error {
	latest, _, err := e.store.number(t.ctx, t.tx, "time")
	if err != nil {
		return err
	}
	e.seen = time.UnixMicro(latest).UTC()
	if behind := e.seen.Sub(t.now); behind > 0 {
		clock := e.now
		e.now = func() time.Time { return clock().Add(behind) }
	}
	return nil
}

// see keeps the turn's time for goOn. To the second will do.
func (e *engine) see(t *turn) error {
	if e.store.path == "" || t.now.Sub(e.seen) < time.Second {
		return nil
	}
	e.seen = t.now
	return t.exec(`UPDATE `+e.store.table+` SET "value" = ? WHERE "key" = 'time' AND "value" < ?1`, t.now.UnixMicro())
}

// errDryRun rolls a turn back that went well.
var errDryRun = errors.New("dry run")

// inTurn runs fn in a transaction, which it keeps unless fn fails.
func (e *engine) inTurn(ctx context.Context, fn func(t *turn) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A client that goes away must not cut the one connection of a database in memory.
	ctx = context.WithoutCancel(ctx)
	tx, err := e.store.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	t := &turn{ctx: ctx, e: e, tx: tx, now: e.now().UTC()}
	if err := fn(t); err != nil {
		return err
	}
	return tx.Commit()
}

// Run performs the action that a request names, and returns the body of the response.
// The error is errCrash where the backend raises, or one of the store.
func (e *engine) Run(ctx context.Context, req map[string]any) ([]byte, error) {
	data, err := e.perform(ctx, req)
	return encodeResponse(map[string]any{"data": data}, err)
}

// Validate checks a request without performing it, and returns the body of the response.
// Its errors are those of Run.
func (e *engine) Validate(ctx context.Context, req map[string]any) ([]byte, error) {
	return encodeResponse(map[string]any{}, e.check(ctx, req))
}

// encodeResponse encodes the members of a successful response, or the errors.
func encodeResponse(body map[string]any, err error) ([]byte, error) {
	var fs failures
	switch {
	case errors.As(err, &fs):
		if fs == nil {
			fs = failures{} // an empty list, not null
		}
		body = map[string]any{"errors": []*failure(fs)}
	case err != nil:
		return nil, err
	}
	body["success"] = err == nil
	return appendAnswer(nil, body)
}

// perform gives the data of a run, or failures, or errCrash.
func (e *engine) perform(ctx context.Context, req map[string]any) (any, error) {
	c, err := e.parse(req, false)
	if err != nil {
		return nil, err
	}
	var data any
	err = e.inTurn(ctx, func(t *turn) error {
		if e.defs.Tick != nil {
			if err := e.defs.Tick(t); err != nil {
				return err
			}
		}
		if data, err = c.run(t); err != nil {
			return err
		}
		return e.see(t)
	})
	return data, err
}

// check gives what is wrong with a request, nil or failures. It changes nothing.
func (e *engine) check(ctx context.Context, req map[string]any) error {
	c, err := e.parse(req, true)
	if err != nil {
		return err
	}
	err = e.inTurn(ctx, func(t *turn) error {
		if err := c.validate(t); err != nil {
			return err
		}
		return errDryRun
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

// request is a payload whose shape is right: what AshTypescript checks before
// it hands over to Ash.
type request struct {
	action   *action
	fields   *selection
	input    map[string]any
	identity any
	filter   any
	sort     any
	page     any
}

// parse checks in the backend's order: the action, the fields, the shapes of
// input and page.
func (e *engine) parse(req map[string]any, validating bool) (*request, error) {
	name := req["action"]
	if name == nil || name == "" || name == false {
		return nil, fail(missingParameter("action"))
	}
	called, isText := name.(string)
	if !isText && name != true { // true is an atom, and could be a name
		return nil, errCrash
	}
	a := e.actions[called]
	if a == nil {
		return nil, fail(&failure{Type: "action_not_found", Message: "RPC action %{action_name} not found",
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
			return nil, fail(&failure{Type: "invalid_input_format", Message: "Input parameter must be a map",
				ShortMessage: "Invalid input format", Vars: map[string]any{"received": inspect(v, e.atoms)}})
		}
	}
	if _, ok := c.page.(map[string]any); c.page != nil && !ok {
		return nil, fail(&failure{Type: "invalid_pagination", Message: "Invalid pagination parameter format",
			ShortMessage: "Invalid pagination", Vars: map[string]any{"received": inspect(c.page, e.atoms)}})
	}
	return c, nil
}

func (c *request) run(t *turn) (any, error) {
	switch c.action.Type {
	case listAction:
		return c.list(t)
	case getAction:
		return c.get(t)
	case createAction:
		return c.create(t)
	case updateAction:
		return c.update(t)
	case destroyAction:
		return c.destroy(t)
	}
	return c.generic(t)
}

// castResult is the input, cast: the stored values, and the faults in the
// order in which the backend comes upon them.
type castResult struct {
	values  record
	given   []*fault // of keys that are there
	missing []*fault // of keys that are not, or are null
}

// castInput casts every key. The backend goes through them in the order of
// Erlang's terms: known words alphabetically, then all others. Where both
// spellings of a key are given the snake_case one wins, since it sorts last.
func (c *request) castInput(known atoms) *castResult {
	a := c.action
	out := &castResult{values: record{}}
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
		x := a.input(wireName(key))
		if x == nil {
			out.given = append(out.given, &fault{sort: unknownInput, field: camel(key), index: -1})
			continue
		}
		v, f := x.cast(given[key], known)
		switch {
		case f == nil:
			out.values[x.Name] = v
		case f.sort == required:
			null[x.Name] = true
		default:
			bad[x.Name] = true
			out.given = append(out.given, f)
		}
	}
	need := func(x *attribute, due bool) {
		_, have := out.values[x.Name]
		if null[x.Name] || due && !have && !bad[x.Name] {
			out.missing = append(out.missing, &fault{sort: required, field: x.Name, index: -1})
		}
	}
	if a.Resource != nil {
		for _, x := range a.Resource.Attributes {
			if a.accepts[x.Name] {
				need(x, a.Type == createAction && x.Required && x.Default == nil)
			}
		}
	}
	for _, x := range a.Arguments {
		need(x, x.Required)
	}
	return out
}

// inOrder is how a create reports its faults.
func (r *castResult) inOrder() []*fault { return slices.Concat(r.given, r.missing) }

// lastFirst is how reads and generic actions do.
func (r *castResult) lastFirst() []*fault {
	all := r.inOrder()
	slices.Reverse(all)
	return all
}

// firstOnly is how an update does: it stops at the first.
func (r *castResult) firstOnly() []*fault {
	all := r.inOrder()
	return all[:min(1, len(all))]
}

// present turns faults into failures.
func present(faults []*fault, as func(*fault) *failure) failures {
	var out failures
	for _, f := range faults {
		if shown := as(f); shown != nil {
			out = append(out, shown)
		}
	}
	return out
}
