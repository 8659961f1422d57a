package ash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Engine serves one domain from one SQLite database. Several goroutines may use it.
type Engine struct {
	domain    *Domain
	actions   map[string]*Action
	resources map[string]*Resource
	atoms     atoms
	store     *store
	now       func() time.Time

	mu        sync.Mutex // held by a transaction: the store has one connection
	savedTime time.Time  // the latest time in the store, as far as this engine knows
}

// Open opens the database in the file at path, and creates and seeds it first if it does not exist.
// An empty path is a database in memory. The domain must not change afterwards.
//
// If the file was last used at a later time than now returns, the engine's clock continues from
// that time.
func Open(ctx context.Context, d *Domain, path string, now func() time.Time) (*Engine, error) {
	e := &Engine{domain: d, actions: map[string]*Action{}, resources: map[string]*Resource{}, atoms: newAtoms(), now: now}
	for _, r := range d.Resources {
		r.index(d.Namespace)
		e.resources[r.Name] = r
		for _, a := range r.Attributes {
			e.atoms.add(a.Name)
			e.atoms.add(a.Values...)
		}
		for _, rel := range r.Relations {
			e.atoms.add(rel.Name)
		}
	}
	for _, a := range d.Actions {
		a.index()
		e.actions[a.Name] = a
		e.atoms.add(a.Name, a.AshName)
		for _, x := range a.Arguments {
			e.atoms.add(x.Name)
		}
	}
	var err error
	if e.store, err = openStore(ctx, path, d.Table, d.Resources); err != nil {
		return nil, err
	}
	if err := e.initialise(ctx); err != nil {
		e.store.db.Close()
		return nil, err
	}
	return e, nil
}

// Close closes the database. A database in memory is lost.
func (e *Engine) Close() error { return e.store.db.Close() }

// Changes returns how many rows were inserted, updated or deleted since Open, including changes
// that were rolled back.
func (e *Engine) Changes(ctx context.Context) (n int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	err = e.store.db.QueryRowContext(ctx, "SELECT total_changes()").Scan(&n)
	return n, err
}

// initialise seeds a new database, and checks and continues an existing one.
func (e *Engine) initialise(ctx context.Context) error {
	return e.transact(ctx, func(t *Tx) error {
		shape, exists, err := e.store.number(ctx, t.sql, "shape")
		if err != nil {
			return fmt.Errorf("read database %q: %w", e.store.path, err)
		}
		if exists {
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

// continueClock moves the clock forward to the latest time in the store, if it is behind. This
// happens if the database was used before with a clock that ran fast.
func (e *Engine) continueClock(t *Tx) error {
	latest, _, err := e.store.number(t.ctx, t.sql, "time")
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

// saveTime stores the transaction's time for continueClock, at most once a second.
func (e *Engine) saveTime(t *Tx) error {
	if e.store.path == "" || t.Now.Sub(e.savedTime) < time.Second {
		return nil
	}
	e.savedTime = t.Now
	return t.Exec(`UPDATE `+e.store.table+` SET "value" = ? WHERE "key" = 'time' AND "value" < ?1`, t.Now.UnixMicro())
}

// errRollback makes transact roll back although nothing failed.
var errRollback = errors.New("roll back")

// transact runs fn in a transaction, and commits it if fn returns nil.
func (e *Engine) transact(ctx context.Context, fn func(t *Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A cancelled context would close the only connection, and a database in memory with it.
	ctx = context.WithoutCancel(ctx)
	tx, err := e.store.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback()
	t := &Tx{ctx: ctx, engine: e, sql: tx, Now: e.now().UTC()}
	if err := fn(t); err != nil {
		return err
	}
	return tx.Commit()
}

// Run performs the action that the request names, and returns the body of the response, which may
// report errors of the request. Numbers in the request must be json.Number.
//
// Run returns ErrCrash if the backend would crash, or an error of the store.
func (e *Engine) Run(ctx context.Context, req map[string]any) ([]byte, error) {
	data, err := e.perform(ctx, req)
	return encodeResponse(map[string]any{"data": data}, err)
}

// Validate checks the request without performing it, and returns the body of the response. It
// changes nothing. Its errors are those of Run.
func (e *Engine) Validate(ctx context.Context, req map[string]any) ([]byte, error) {
	return encodeResponse(map[string]any{}, e.check(ctx, req))
}

// encodeResponse encodes the body of a successful response, or the errors that err contains.
func encodeResponse(body map[string]any, err error) ([]byte, error) {
	var errs Errors
	switch {
	case errors.As(err, &errs):
		if errs == nil {
			errs = Errors{} // encoded as [], not null
		}
		body = map[string]any{"errors": []*Error(errs)}
	case err != nil:
		return nil, err
	}
	body["success"] = err == nil
	return appendResponse(nil, body)
}

// perform returns the data of a response. Its error is Errors, ErrCrash or an error of the store.
func (e *Engine) perform(ctx context.Context, req map[string]any) (any, error) {
	rq, err := e.parse(req, false)
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
		if data, err = rq.run(t); err != nil {
			return err
		}
		return e.saveTime(t)
	})
	return data, err
}

// check validates a request. Its error is one of perform's.
func (e *Engine) check(ctx context.Context, req map[string]any) error {
	rq, err := e.parse(req, true)
	if err != nil {
		return err
	}
	err = e.transact(ctx, func(t *Tx) error {
		if err := rq.validate(t); err != nil {
			return err
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}
