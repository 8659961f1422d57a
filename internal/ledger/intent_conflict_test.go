package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestConflictsAcrossProcesses: an intent of one process conflicts in every other, also in one that
// opens later.
func TestConflictsAcrossProcesses(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	o := ledger.Options{Dir: dir, Now: c.now}
	l, m := open(t, o), open(t, o)
	wantConflict := func(l ledger.Ledger, x ledger.Txn, want string) {
		t.Helper()
		p, err := l.FindConflicting(t.Context(), x)
		if err != nil || (p == nil) != (want == "") || p != nil && p.ID != want {
			t.Errorf("conflict: %+v, %v, want %q", p, err, want)
		}
		if want == "" {
			return
		}
		var conflict *ledger.ConflictError
		if _, err := l.Commit(t.Context(), x); !errors.As(err, &conflict) || conflict.Intent.ID != want {
			t.Errorf("commit: %v, want %q", err, want)
		}
	}
	for i := range 5 {
		first, second := l, m
		if i%2 == 1 {
			first, second = m, l
		}
		x := call(fmt.Sprint(i))
		wantConflict(second, x, "")
		in := commit(t, first, x)
		wantConflict(second, x, in.ID)
		wantConflict(first, x, in.ID)
		settle(t, second, in, ledger.Failed)
		wantConflict(first, x, "")
		in = commit(t, second, x)
		wantConflict(first, x, in.ID)
		settle(t, first, in, ledger.Succeeded)
		wantConflict(second, x, in.ID)
		c.advance(11 * time.Minute)
		wantConflict(first, x, "")
		in = commit(t, first, x)
		wantConflict(second, x, in.ID)
		settle(t, second, in, ledger.Unknown)
		wantConflict(open(t, o), x, in.ID)
	}
	verifyClean(t, l)
}

// TestConflictIndexPurge: old successes are removed from memory, unknown intents are not.
func TestConflictIndexPurge(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	unknown := commit(t, l, call("unknown"))
	settle(t, l, unknown, ledger.Unknown)
	for i := range 300 {
		settle(t, l, commit(t, l, call(fmt.Sprint(i))), ledger.Succeeded)
	}
	if n := ledger.ConflictCount(l); n != 301 {
		t.Errorf("%d", n)
	}
	c.advance(time.Hour)
	ledger.Sweep(t, l)
	commit(t, l, call("0"))
	if n := ledger.ConflictCount(l); n > 2 {
		t.Errorf("%d are kept", n)
	}
	if p, err := l.FindConflicting(t.Context(), call("unknown")); err != nil || p == nil || p.ID != unknown.ID {
		t.Errorf("%+v, %v", p, err)
	}
	r := openReadOnly(t, ledger.Options{Dir: dir, Now: c.now})
	if p, err := r.FindConflicting(t.Context(), call("0")); err != nil || p == nil {
		t.Errorf("%+v, %v", p, err)
	}
	verifyClean(t, l)
}

// TestFindConflictingConcurrently: many clients make the same call at once, and each search ends.
func TestFindConflictingConcurrently(t *testing.T) {
	l := open(t, ledger.Options{Dir: t.TempDir()})
	x := call("the same")
	x.Repeats = true
	x.Payload = []byte(`{"a":1}`)
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 { // each takes milliseconds with the race detector
				if conflict, err := l.FindConflicting(ctx, x); err != nil || conflict == nil {
					t.Errorf("%v %v", conflict, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
