package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
	_ "modernc.org/sqlite" // bare commits
)

// commits measures how many calls a second become durable, over bare commits of one row each, which
// one writer makes.
func (w *world) commits(r *report) error {
	dir, err := os.MkdirTemp(w.dir, "commits")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)"); err != nil {
		return err
	}
	insert, err := db.Prepare("INSERT INTO t (body) VALUES (?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	l, err := ledger.Open(context.Background(), ledger.Options{Dir: filepath.Join(dir, "ledger")})
	if err != nil {
		return err
	}
	defer l.Close()
	payload := aWrite.body()
	bare := work{name: "one row", do: func() error { _, err := insert.Exec(payload); return err }}
	ours := work{name: "an intent", do: func() error {
		// Of one caller the ledger keeps less than this.
		caller := ledger.Actor{Name: "bench " + ledger.NewID()[:2]}
		_, err := l.Commit(context.Background(), ledger.Txn{Call: ledger.Call{Request: ledger.NewID(), Caller: caller, Organisation: "bench",
			Action: aWrite.action, Class: schemas.Write, Hash: ledger.NewID(), EffectKey: ledger.NewID(), Payload: []byte(payload)}})
		return err
	}}
	for _, n := range []int{1, 16, 64} {
		var ratios, alone, together []float64
		var all []round
		for range w.rounds {
			one, err := spell(bare, 1, w.round)
			if err != nil {
				return err
			}
			many, err := spell(ours, n, w.round)
			if err != nil {
				return err
			}
			all = append(all, many)
			a, b := float64(len(one.times))/one.took.Seconds(), float64(len(many.times))/many.took.Seconds()
			alone, together, ratios = append(alone, a), append(together, b), append(ratios, b/a)
		}
		f := sum(ours.name, all)
		r.Commits = append(r.Commits, commits{Callers: n, PerSecond: median(together), Bare: median(alone), VsBare: median(ratios), P50: f.P50})
	}
	return nil
}

// records measures what the ledger adds to a call through the gate.
func (w *world) records(r *report) error {
	dir, err := os.MkdirTemp(w.dir, "records")
	if err != nil {
		return err
	}
	l, err := ledger.Open(context.Background(), ledger.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer l.Close()
	for _, t := range []struct {
		task
		title string
	}{{aRead, "read"}, {aWrite, "validated write"}} {
		var all []work
		for _, kept := range []struct {
			name string
			ledger.Ledger
		}{{"direct", forgetful{l}}, {"recorded", l}} {
			one, closing, err := w.gated(t.task, kept.Ledger)
			if err != nil {
				return err
			}
			defer closing()
			one.name = kept.name
			all = append(all, one)
		}
		for _, n := range []int{1, 8} {
			if err := w.add(r, fmt.Sprintf("gate, %s, %d at a time", t.title, n), all, n); err != nil {
				return err
			}
			// What is compared is the gate without a record, not a POST.
			last := &r.Parts[len(r.Parts)-1]
			last.Figures[0].Name = "unrecorded"
		}
	}
	return nil
}

// gated is a task through a gate in this process.
func (w *world) gated(t task, l ledger.Ledger) (work, func(), error) {
	gate, closing, err := newGate(w.upstream, l)
	if err != nil {
		return work{}, nil, err
	}
	action, fault := schemas.Find(t.action)
	if fault != nil {
		return work{}, nil, fault
	}
	return work{do: func() error {
		p, fault := action.Check([]byte(numbered(t.args)), schemas.Limits{Now: time.Now()})
		if fault != nil {
			return fault
		}
		if a := gate.Do(context.Background(), policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "bench"}}, Payload: p}); a.Outcome() != schemas.Done {
			return fmt.Errorf("%s ended with %s", t.action, a.Outcome())
		}
		return nil
	}}, closing, nil
}

func newGate(base string, l ledger.Ledger) (*policy.Gate, func(), error) {
	log := slog.New(slog.DiscardHandler)
	c, err := rpc.New(rpc.Config{BaseURL: base, Key: key, Log: log})
	if err != nil {
		return nil, nil, err
	}
	text, err := largeBudgets()
	if err != nil {
		return nil, nil, err
	}
	p, err := rules.Parse("large.yaml", text)
	if err != nil {
		return nil, nil, err
	}
	return &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: c, Ledger: l, Organisation: c.KeyName(), Lifetime: 15 * time.Minute, Now: time.Now, Log: log}, c.Close, nil
}

// forgetful is a ledger that keeps nothing of a call.
type forgetful struct{ ledger.Ledger }

func (forgetful) Note(ledger.Event) {}
func (forgetful) FindConflicting(context.Context, ledger.Txn) (*ledger.Intent, error) {
	return nil, nil
}
func (forgetful) FindUnknown(context.Context, ledger.Txn) (*ledger.Intent, error) { return nil, nil }
func (forgetful) Commit(context.Context, ledger.Txn) (ledger.Intent, error) {
	return ledger.Intent{}, nil
}
func (forgetful) Settle(context.Context, ledger.Settlement) error { return nil }
