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

// rings is five calls, one more every three minutes.
func rings(cost int64) ledger.Debit {
	return ledger.Debit{Budget: "rings", Key: "caller:ada", Cost: cost, Interval: 3 * time.Minute, Burst: 5}
}

// debiting is a call that takes from budgets.
func debiting(d ...ledger.Debit) ledger.Txn {
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
	wantLeft(t, l, rings(0), 5)
	in := commit(t, l, debiting(rings(3)))
	wantLeft(t, l, rings(0), 2)
	if _, refill, _ := l.BudgetLeft(t.Context(), rings(0)); refill != 9*time.Minute {
		t.Errorf("it is full again in %v", refill)
	}
	e := wantLimit(t, l, debiting(rings(5)), 2, 9*time.Minute)
	if want := "the budget rings of caller ada is spent: 2 left, 5 needed; enough in 9m"; e.Error() != want {
		t.Errorf("%v", e)
	}
	e = wantLimit(t, l, debiting(rings(6)), 2, 0)
	if want := "the budget rings of caller ada can never allow this: 6 needed, and it holds 5 at most"; e.Error() != want {
		t.Errorf("%v", e)
	}
	wantLimit(t, l, debiting(rings(math.MaxInt64)), 2, 0)
	other := rings(5)
	other.Key = "caller:bob"
	commit(t, l, debiting(other))
	c.pass(9*time.Minute - time.Microsecond)
	wantLimit(t, l, debiting(rings(5)), 4, time.Microsecond)
	c.pass(time.Microsecond)
	commit(t, l, debiting(rings(5)))
	wantLeft(t, l, rings(0), 0)
	c.pass(time.Hour)
	wantLeft(t, l, rings(0), 5)

	all := records(t, l, ledger.Filter{Intent: in.ID})
	if b := all[0].Budgets; len(b) != 1 || b[0].Budget != "rings" || b[0].Key != "caller:ada" || b[0].Before != 5 || b[0].After != 2 {
		t.Errorf("%+v", b)
	}
	clean(t, l)
}

func TestLimitErrorSays(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	for _, w := range []struct {
		interval time.Duration
		key, in  string
	}{{time.Millisecond, "", "the budget b is spent: 0 left, 1 needed; enough in 1s"}, {90 * time.Second, "x", "of x is spent: 0 left, 1 needed; enough in 1m30s"},
		{time.Hour, "", "enough in 1h"}, {48*time.Hour + time.Second, "", "enough in 49h"}} {
		d := ledger.Debit{Budget: "b", Key: w.key, Cost: 1, Interval: w.interval, Burst: 1}
		x := debiting(d)
		in := commit(t, l, x)
		if _, err := l.Commit(t.Context(), debiting(d)); err == nil || !strings.Contains(err.Error(), w.in) {
			t.Errorf("got %v, want %s", err, w.in)
		}
		settle(t, l, in, ledger.NotSent)
	}
}

// What would overflow, and what makes no sense, is refused before anything is written.
func TestBudgetMisuse(t *testing.T) {
	l := open(t, ledger.Options{})
	for _, d := range []ledger.Debit{
		{}, {Budget: "b", Cost: 1, Burst: 1}, {Budget: "b", Cost: 0, Interval: 1, Burst: 1}, {Budget: "b", Cost: -1, Interval: 1, Burst: 1},
		{Budget: "b", Cost: 1, Interval: -1, Burst: 1}, {Budget: "b", Cost: 1, Interval: 1, Burst: -1}, {Cost: 1, Interval: 1, Burst: 1},
		{Budget: "b", Cost: 1, Interval: time.Hour, Burst: math.MaxInt64}, {Budget: "b", Cost: math.MaxInt64, Interval: 2, Burst: math.MaxInt64},
		{Budget: "b", Cost: 1, Interval: math.MaxInt64, Burst: 1},
	} {
		var limit *ledger.LimitError
		if _, err := l.Commit(t.Context(), debiting(d)); err == nil || errors.As(err, &limit) {
			t.Errorf("%+v: %v", d, err)
		}
	}
	if n := len(records(t, l, ledger.Filter{})); n != 0 {
		t.Errorf("%d records", n)
	}
	commit(t, l, debiting(ledger.Debit{Budget: "b", Cost: 1 << 40, Interval: 1, Burst: 1 << 60}))
	clean(t, l)
}

func TestAllDebitsOrNone(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	day := ledger.Debit{Budget: "day", Cost: 1, Interval: 24 * time.Hour, Burst: 1}
	commit(t, l, debiting(day))
	x := debiting(rings(1), day)
	g := ask(t, l, x, c.now().Add(time.Hour))
	answer(t, l, g, ledger.Approved)
	x.ApprovalID = g.ID
	wantLimit(t, l, x, 0, 24*time.Hour)
	wantLeft(t, l, rings(0), 5)
	if err := l.CheckApproval(t.Context(), g); err != nil {
		t.Errorf("the yes is gone: %v", err)
	}
	// A refused one takes nothing, and twice the same budget counts twice.
	wantLimit(t, l, debiting(rings(3), rings(3)), 2, 3*time.Minute)
	in := commit(t, l, debiting(rings(3), rings(2)))
	wantLeft(t, l, rings(0), 0)
	settle(t, l, in, ledger.NotSent)
	wantLeft(t, l, rings(0), 5)
	clean(t, l)
}

func TestGivenBack(t *testing.T) {
	for state, left := range map[ledger.IntentState]int64{ledger.Succeeded: 2, ledger.Failed: 2, ledger.Unknown: 2, ledger.NotSent: 5} {
		c := newClock()
		l := open(t, ledger.Options{Now: c.now})
		in := commit(t, l, debiting(rings(3)))
		settle(t, l, in, state)
		wantLeft(t, l, rings(0), left)
		r := records(t, l, ledger.Filter{Intent: in.ID})[1]
		if (len(r.Budgets) == 1 && r.Budgets[0].Before == 2 && r.Budgets[0].After == 5) != (state == ledger.NotSent) {
			t.Errorf("%s: %+v", state, r.Budgets)
		}
		clean(t, l)
	}
	// What the sweeper called unknown may turn out not to have been sent.
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: time.Second})
	in := commit(t, l, debiting(rings(5)))
	c.pass(2 * time.Second)
	within(t, "it is swept", func() bool { in, err := l.Intent(t.Context(), in.ID); return err == nil && in.State == ledger.Unknown })
	wantLeft(t, l, rings(0), 0)
	settle(t, l, in, ledger.NotSent)
	wantLeft(t, l, rings(0), 5)
	clean(t, l)
}

// What grew back meanwhile, or would have had no room, is not given back once more.
func TestGivenBackOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: 100 * time.Hour})
	first := commit(t, l, debiting(rings(5)))
	c.pass(12 * time.Minute) // four have grown back
	commit(t, l, debiting(rings(4)))
	wantLeft(t, l, rings(0), 0)
	settle(t, l, first, ledger.NotSent)
	wantLeft(t, l, rings(0), 1) // not five: four were taken this moment
	c.pass(time.Hour)
	second := commit(t, l, debiting(rings(2)))
	c.pass(time.Hour)
	commit(t, l, debiting(rings(5)))
	settle(t, l, second, ledger.NotSent)
	wantLeft(t, l, rings(0), 0)
	clean(t, l)
}

// Whatever is taken and given back in whatever order, and however the clock goes, the budget holds what it would hold
// had only those calls been made that were not given back.
func TestBudgetHolds(t *testing.T) {
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
			"pass": func(rt *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 20).Draw(rt, "minutes")) * time.Minute) },
			"back": func(rt *rapid.T) { c.pass(-time.Duration(rapid.IntRange(1, 5).Draw(rt, "minutes")) * time.Minute) },
			"take": func(rt *rapid.T) {
				cost := rapid.Int64Range(1, 5).Draw(rt, "cost")
				want := !full(cost).After(c.now().Add(15 * time.Minute))
				in, err := l.Commit(t.Context(), debiting(rings(cost)))
				if (err == nil) != want {
					rt.Fatalf("taking %d: %v, want %t", cost, err, want)
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
				// That somebody was there is not undone: it counts where the clock goes back only, and makes nothing fuller.
				if made[i].open = false; state == ledger.NotSent {
					made[i].cost = 0
				}
			},
			"": func(rt *rapid.T) {
				_, refill, err := l.BudgetLeft(t.Context(), rings(0))
				if want := full(0).Sub(c.now()); err != nil || refill != want {
					rt.Fatalf("full in %v, want %v (%v)", refill, want, err)
				}
			},
		})
		clean(t, l)
	})
}

// A clock that is set back makes a budget look emptier, never fuller.
func TestBudgetClockBack(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	commit(t, l, debiting(rings(5)))
	c.pass(-time.Hour)
	wantLeft(t, l, rings(0), 0)
	wantLimit(t, l, debiting(rings(1)), 0, time.Hour+3*time.Minute)
	c.pass(time.Hour)
	wantLimit(t, l, debiting(rings(1)), 0, 3*time.Minute)
	clean(t, l)
}

func TestBudgetTogether(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	d := ledger.Debit{Budget: "many", Cost: 1, Interval: time.Hour, Burst: 40}
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := l.Commit(t.Context(), debiting(d)); err == nil {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	if got.Load() != 40 {
		t.Errorf("%d of 100 took from a budget of 40", got.Load())
	}
	clean(t, l)
}

// A read is counted where it has a budget, and stands in nothing's way.
func TestBudgetOfReads(t *testing.T) {
	l := open(t, ledger.Options{})
	x := debiting(rings(2))
	x.Class, x.Action = schemas.Read, "list_contacts"
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	commit(t, l, x)
	wantLimit2(t, l, x)
	clean(t, l)
}

func wantLimit2(t testing.TB, l ledger.Ledger, x ledger.Txn) {
	t.Helper()
	_, err := l.Commit(t.Context(), x)
	var e *ledger.LimitError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a limit", err)
	}
}

// Long names keep their own budgets, though the chain holds their beginning only.
func TestBudgetNames(t *testing.T) {
	l := open(t, ledger.Options{})
	d := rings(5)
	for _, key := range []string{"", strings.Repeat("x", 600) + "a", strings.Repeat("x", 600) + "b", "\xff", "\xfe", "'; DROP TABLE budgets; --"} {
		d.Key = key
		commit(t, l, debiting(d))
		wantLeft(t, l, d, 0)
	}
	clean(t, l)
}

// Retention removes what is long full again and keeps what is not, and the chain still says the same.
func TestBudgetRetention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour})
	year := ledger.Debit{Budget: "year", Cost: 100, Interval: day, Burst: 365}
	settle(t, l, commit(t, l, debiting(year, rings(5))), ledger.Succeeded)
	for range 3 {
		days(t, l, c, 10)
		ledger.Prune(t, l)
		clean(t, l)
	}
	wantLeft(t, l, year, 265+30)
	wantLeft(t, l, rings(0), 5)
	tamper(t, dir, func(db *sql.DB) {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM budgets").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d budgets are kept (%v)", n, err)
		}
	})
	settle(t, l, commit(t, l, debiting(year)), ledger.NotSent)
	wantLeft(t, l, year, 265+30)
	days(t, l, c, 3)
	ledger.Prune(t, l)
	if r := clean(t, l); r.Pruned == 0 {
		t.Error("nothing was removed")
	}
}

func TestBudgetTampered(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, debiting(rings(3)))
	settle(t, l, commit(t, l, debiting(rings(1))), ledger.NotSent)
	l.Close()
	for i, change := range []string{"UPDATE budgets SET full = 0", "DELETE FROM budgets", "INSERT INTO budgets VALUES ('x', '', 1, 1)", "UPDATE debits SET rest = 5",
		"UPDATE debits SET cost = cost * 2", "DELETE FROM debits", "INSERT INTO debits (seq, budget, key, cost, interval, burst, rest) SELECT seq, budget, key, cost, interval, burst, rest FROM debits"} {
		dir := copyDir(t, dir)
		tamper(t, dir, func(db *sql.DB) { run(t, db, change) })
		found := false
		for _, f := range verify(t, dir, ledger.VerifyOptions{}).Findings {
			found = found || f.Kind == ledger.WrongBudget
		}
		if !found {
			t.Errorf("%d: nobody saw %s", i, change)
		}
	}
}

func BenchmarkDebit(b *testing.B) {
	l := open(b, ledger.Options{})
	for i := 0; b.Loop(); i++ {
		d := ledger.Debit{Budget: "b", Key: fmt.Sprint(i % 100), Cost: 1, Interval: time.Nanosecond, Burst: 1 << 40}
		commit(b, l, debiting(d))
	}
}
