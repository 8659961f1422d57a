package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// callBudget is a debit from a budget of five calls, with one more every three minutes.
func callBudget(cost int64) ledger.Debit {
	return ledger.Debit{Budget: "calls", Key: "caller:ada", Cost: cost, Interval: 3 * time.Minute, Burst: 5}
}

// callWithDebits is a call with debits.
func callWithDebits(d ...ledger.Debit) ledger.Txn {
	x := call(ledger.NewID())
	x.Debits = d
	return x
}

func wantLeft(t testing.TB, l ledger.Ledger, d ledger.Debit, want int64) {
	t.Helper()
	if got, _, err := l.BudgetLeft(t.Context(), d); err != nil || got != want {
		t.Errorf("%s %s: %d left, want %d (%v)", d.Budget, d.Key, got, want, err)
	}
}

func wantLimit(t testing.TB, l ledger.Ledger, x ledger.Txn, left int64, retry time.Duration) *ledger.LimitError {
	t.Helper()
	_, err := l.Commit(t.Context(), x)
	var e *ledger.LimitError
	if !errors.As(err, &e) || e.Left != left || e.RetryAfter != retry {
		t.Fatalf("got %#v (%v), want %d left and %v", e, err, left, retry)
	}
	return e
}

func TestBudget(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: 100 * time.Hour})
	wantLeft(t, l, callBudget(0), 5)
	in := commit(t, l, callWithDebits(callBudget(3)))
	wantLeft(t, l, callBudget(0), 2)
	if _, refill, _ := l.BudgetLeft(t.Context(), callBudget(0)); refill != 9*time.Minute {
		t.Errorf("it is full again in %v", refill)
	}
	e := wantLimit(t, l, callWithDebits(callBudget(5)), 2, 9*time.Minute)
	if want := "the budget calls of caller ada is too low: 2 left, 5 needed; try again in 9m"; e.Error() != want {
		t.Errorf("%v", e)
	}
	e = wantLimit(t, l, callWithDebits(callBudget(6)), 2, 0)
	if want := "the budget calls of caller ada can never cover this: 6 needed, but it holds at most 5"; e.Error() != want {
		t.Errorf("%v", e)
	}
	wantLimit(t, l, callWithDebits(callBudget(math.MaxInt64)), 2, 0)
	other := callBudget(5)
	other.Key = "caller:bob"
	commit(t, l, callWithDebits(other))
	c.advance(9*time.Minute - time.Microsecond)
	wantLimit(t, l, callWithDebits(callBudget(5)), 4, time.Microsecond)
	c.advance(time.Microsecond)
	commit(t, l, callWithDebits(callBudget(5)))
	wantLeft(t, l, callBudget(0), 0)
	c.advance(time.Hour)
	wantLeft(t, l, callBudget(0), 5)

	all := records(t, l, ledger.Filter{Intent: in.ID})
	if b := all[0].Budgets; len(b) != 1 || b[0].Budget != "calls" || b[0].Key != "caller:ada" || b[0].Before != 5 || b[0].After != 2 {
		t.Errorf("%+v", b)
	}
	verifyClean(t, l)
}

func TestLimitErrorText(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	for _, w := range []struct {
		interval time.Duration
		key, in  string
	}{{time.Millisecond, "", "the budget b is too low: 0 left, 1 needed; try again in 1s"}, {90 * time.Second, "x", "of x is too low: 0 left, 1 needed; try again in 1m30s"},
		{time.Hour, "", "try again in 1h"}, {48*time.Hour + time.Second, "", "try again in 49h"}} {
		d := ledger.Debit{Budget: "b", Key: w.key, Cost: 1, Interval: w.interval, Burst: 1}
		x := callWithDebits(d)
		in := commit(t, l, x)
		if _, err := l.Commit(t.Context(), callWithDebits(d)); err == nil || !strings.Contains(err.Error(), w.in) {
			t.Errorf("got %v, want %s", err, w.in)
		}
		settle(t, l, in, ledger.NotSent)
	}
}

// TestBudgetMisuse: debits that overflow or make no sense are rejected, and nothing is written.
func TestBudgetMisuse(t *testing.T) {
	l := open(t, ledger.Options{})
	for _, d := range []ledger.Debit{
		{}, {Budget: "b", Cost: 1, Burst: 1}, {Budget: "b", Cost: 0, Interval: 1, Burst: 1}, {Budget: "b", Cost: -1, Interval: 1, Burst: 1},
		{Budget: "b", Cost: 1, Interval: -1, Burst: 1}, {Budget: "b", Cost: 1, Interval: 1, Burst: -1}, {Cost: 1, Interval: 1, Burst: 1},
		{Budget: "b", Cost: 1, Interval: time.Hour, Burst: math.MaxInt64}, {Budget: "b", Cost: math.MaxInt64, Interval: 2, Burst: math.MaxInt64},
		{Budget: "b", Cost: 1, Interval: math.MaxInt64, Burst: 1},
	} {
		var limit *ledger.LimitError
		if _, err := l.Commit(t.Context(), callWithDebits(d)); err == nil || errors.As(err, &limit) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if n := len(records(t, l, ledger.Filter{})); n != 0 {
		t.Errorf("%d records", n)
	}
	commit(t, l, callWithDebits(ledger.Debit{Budget: "b", Cost: 1 << 40, Interval: 1, Burst: 1 << 60}))
	verifyClean(t, l)
}

func TestDebitsAreAtomic(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	day := ledger.Debit{Budget: "day", Cost: 1, Interval: 24 * time.Hour, Burst: 1}
	commit(t, l, callWithDebits(day))
	x := callWithDebits(callBudget(1), day)
	request := createApproval(t, l, x, c.now().Add(time.Hour))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	wantLimit(t, l, x, 0, 24*time.Hour)
	wantLeft(t, l, callBudget(0), 5)
	if err := l.CheckApproval(t.Context(), request); err != nil {
		t.Errorf("the approval is not usable any more: %v", err)
	}
	// A rejected call debits nothing, and two debits of one budget add up.
	wantLimit(t, l, callWithDebits(callBudget(3), callBudget(3)), 2, 3*time.Minute)
	in := commit(t, l, callWithDebits(callBudget(3), callBudget(2)))
	wantLeft(t, l, callBudget(0), 0)
	settle(t, l, in, ledger.NotSent)
	wantLeft(t, l, callBudget(0), 5)
	verifyClean(t, l)
}

func TestDebitsReturned(t *testing.T) {
	for state, left := range map[ledger.IntentState]int64{ledger.Succeeded: 2, ledger.Failed: 2, ledger.Unknown: 2, ledger.NotSent: 5} {
		c := newClock()
		l := open(t, ledger.Options{Now: c.now})
		in := commit(t, l, callWithDebits(callBudget(3)))
		settle(t, l, in, state)
		wantLeft(t, l, callBudget(0), left)
		r := records(t, l, ledger.Filter{Intent: in.ID})[1]
		if (len(r.Budgets) == 1 && r.Budgets[0].Before == 2 && r.Budgets[0].After == 5) != (state == ledger.NotSent) {
			t.Errorf("%s: %+v", state, r.Budgets)
		}
		verifyClean(t, l)
	}
	// An abandoned intent may still settle as not_sent.
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: time.Second})
	in := commit(t, l, callWithDebits(callBudget(5)))
	c.advance(2 * time.Second)
	within(t, "it is abandoned", func() bool { in, err := l.Intent(t.Context(), in.ID); return err == nil && in.State == ledger.Unknown })
	wantLeft(t, l, callBudget(0), 0)
	settle(t, l, in, ledger.NotSent)
	wantLeft(t, l, callBudget(0), 5)
	verifyClean(t, l)
}

// TestDebitsReturnedOnce: units that grew back meanwhile, or have no room, are not returned too.
func TestDebitsReturnedOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: 100 * time.Hour})
	first := commit(t, l, callWithDebits(callBudget(5)))
	c.advance(12 * time.Minute) // four have grown back
	commit(t, l, callWithDebits(callBudget(4)))
	wantLeft(t, l, callBudget(0), 0)
	settle(t, l, first, ledger.NotSent)
	wantLeft(t, l, callBudget(0), 1) // not five: four were debited at this moment
	c.advance(time.Hour)
	second := commit(t, l, callWithDebits(callBudget(2)))
	c.advance(time.Hour)
	commit(t, l, callWithDebits(callBudget(5)))
	settle(t, l, second, ledger.NotSent)
	wantLeft(t, l, callBudget(0), 0)
	verifyClean(t, l)
}

// TestBudgetModel: after random debits, returns and changes of the clock, the budget holds what it
// would hold without the calls that were returned.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		l := open(t, ledger.Options{Now: c.now, Stale: 1000 * time.Hour})
		defer l.Close()
		type debit struct {
			at   time.Time
			cost int64
			in   ledger.Intent
			open bool
		}
		var made []debit
		full := func(extra int64) time.Time {
			var at time.Time
			for _, d := range made {
				if d.at.After(at) {
					at = d.at
				}
				at = at.Add(time.Duration(d.cost) * 3 * time.Minute)
			}
			if c.now().After(at) {
				at = c.now()
			}
			return at.Add(time.Duration(extra) * 3 * time.Minute)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"pass": func(rt *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 20).Draw(rt, "minutes")) * time.Minute) },
			"back": func(rt *rapid.T) { c.advance(-time.Duration(rapid.IntRange(1, 5).Draw(rt, "minutes")) * time.Minute) },
			"take": func(rt *rapid.T) {
				cost := rapid.Int64Range(1, 5).Draw(rt, "cost")
				want := !full(cost).After(c.now().Add(15 * time.Minute))
				in, err := l.Commit(t.Context(), callWithDebits(callBudget(cost)))
				if (err == nil) != want {
					rt.Fatalf("debiting %d: %v, want %t", cost, err, want)
				}
				if err == nil {
					made = append(made, debit{c.now(), cost, in, true})
				}
			},
			"end": func(rt *rapid.T) {
				var open []int
				for i, d := range made {
					if d.open {
						open = append(open, i)
					}
				}
				if len(open) == 0 {
					rt.Skip()
				}
				i := rapid.SampledFrom(open).Draw(rt, "which")
				state := rapid.SampledFrom([]ledger.IntentState{ledger.NotSent, ledger.NotSent, ledger.Succeeded}).Draw(rt, "state")
				settle(t, l, made[i].in, state)
				// A returned debit still marks its time in the model: it matters only if the clock
				// goes back, and makes no budget fuller.
				if made[i].open = false; state == ledger.NotSent {
					made[i].cost = 0
				}
			},
			"": func(rt *rapid.T) {
				_, refill, err := l.BudgetLeft(t.Context(), callBudget(0))
				if want := full(0).Sub(c.now()); err != nil || refill != want {
					rt.Fatalf("full in %v, want %v (%v)", refill, want, err)
				}
			},
		})
		verifyClean(t, l)
	})
}

// TestBudgetClockBack: a clock that is set back makes a budget look emptier, never fuller.
func TestBudgetClockBack(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	commit(t, l, callWithDebits(callBudget(5)))
	c.advance(-time.Hour)
	wantLeft(t, l, callBudget(0), 0)
	wantLimit(t, l, callWithDebits(callBudget(1)), 0, time.Hour+3*time.Minute)
	c.advance(time.Hour)
	wantLimit(t, l, callWithDebits(callBudget(1)), 0, 3*time.Minute)
	verifyClean(t, l)
}

func TestBudgetConcurrent(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	d := ledger.Debit{Budget: "many", Cost: 1, Interval: time.Hour, Burst: 40}
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := l.Commit(t.Context(), callWithDebits(d)); err == nil {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	if got.Load() != 40 {
		t.Errorf("%d of 100 debited a budget of 40", got.Load())
	}
	verifyClean(t, l)
}

// TestBudgetOfRead: a read with a budget is counted, and conflicts with nothing.
func TestBudgetOfRead(t *testing.T) {
	l := open(t, ledger.Options{})
	x := callWithDebits(callBudget(2))
	x.Class, x.Action = schemas.Read, "list_contacts"
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	commit(t, l, x)
	wantAnyLimit(t, l, x)
	verifyClean(t, l)
}

func wantAnyLimit(t testing.TB, l ledger.Ledger, x ledger.Txn) {
	t.Helper()
	_, err := l.Commit(t.Context(), x)
	var e *ledger.LimitError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a limit", err)
	}
}

// TestBudgetNames: long names have budgets of their own, though the log clips them.
func TestBudgetNames(t *testing.T) {
	l := open(t, ledger.Options{})
	d := callBudget(5)
	for _, key := range []string{"", strings.Repeat("x", 600) + "a", strings.Repeat("x", 600) + "b", "\xff", "\xfe", "'; DROP TABLE budgets; --"} {
		d.Key = key
		commit(t, l, callWithDebits(d))
		wantLeft(t, l, d, 0)
	}
	verifyClean(t, l)
}

// TestBudgetRetention: the retention deletes full budgets and keeps the others, and the log still
// verifies.
func TestBudgetRetention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour})
	year := ledger.Debit{Budget: "year", Cost: 100, Interval: day, Burst: 365}
	settle(t, l, commit(t, l, callWithDebits(year, callBudget(5))), ledger.Succeeded)
	for range 3 {
		runDaily(t, l, c, 10)
		ledger.Prune(t, l)
		verifyClean(t, l)
	}
	wantLeft(t, l, year, 265+30)
	wantLeft(t, l, callBudget(0), 5)
	tamper(t, dir, func(db *sql.DB) {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM budgets").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d budgets are kept (%v)", n, err)
		}
	})
	settle(t, l, commit(t, l, callWithDebits(year)), ledger.NotSent)
	wantLeft(t, l, year, 265+30)
	runDaily(t, l, c, 3)
	ledger.Prune(t, l)
	if r := verifyClean(t, l); r.Pruned == 0 {
		t.Error("nothing was removed")
	}
}

func TestBudgetTampered(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, callWithDebits(callBudget(3)))
	settle(t, l, commit(t, l, callWithDebits(callBudget(1))), ledger.NotSent)
	l.Close()
	for i, change := range []string{"UPDATE budgets SET full = 0", "DELETE FROM budgets", "INSERT INTO budgets VALUES ('x', '', 1, 0, 1)", "UPDATE budgets SET refilled = 9", "UPDATE debits SET rest = 5",
		"UPDATE debits SET cost = cost * 2", "DELETE FROM debits", "INSERT INTO debits (seq, budget, key, cost, interval, burst, rest) SELECT seq, budget, key, cost, interval, burst, rest FROM debits"} {
		dir := copyDir(t, dir)
		tamper(t, dir, func(db *sql.DB) { run(t, db, change) })
		found := false
		for _, f := range verify(t, dir, ledger.VerifyOptions{}).Findings {
			found = found || f.Kind == ledger.WrongBudget
		}
		if !found {
			t.Errorf("%d: Verify did not find %s", i, change)
		}
	}
}

func BenchmarkDebit(b *testing.B) {
	l := open(b, ledger.Options{})
	for i := 0; b.Loop(); i++ {
		d := ledger.Debit{Budget: "b", Key: fmt.Sprint(i % 100), Cost: 1, Interval: time.Nanosecond, Burst: 1 << 40}
		commit(b, l, callWithDebits(d))
	}
}
