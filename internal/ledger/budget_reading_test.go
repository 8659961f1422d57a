package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// people is a share of a budget of reading that holds burst units and grows back in an hour.
func people(burst int64) ledger.Debit {
	return ledger.Debit{Budget: "team/people", Key: "caller:ada", Interval: time.Hour / time.Duration(burst), Burst: burst}
}

func persons(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("contact:%d", i))
	}
	return out
}

// show makes a read that shows people, and returns the units that it took.
func show(t testing.TB, l ledger.Ledger, d ledger.Debit, most int64, people ...string) int64 {
	t.Helper()
	r, err := l.StartReading(t.Context(), []ledger.Debit{d}, most)
	if err != nil {
		t.Fatal(err)
	}
	e := event()
	if e.Debits = r.Show(people, 0); r.Show(people, 0) != nil {
		t.Error("it was counted twice")
	}
	l.RecordEvent(e)
	if e.Debits == nil {
		return 0
	}
	return e.Debits[0].Cost
}

func wantReadLimit(t testing.TB, l ledger.Ledger, d ledger.Debit, retry time.Duration) {
	t.Helper()
	_, err := l.StartReading(t.Context(), []ledger.Debit{d}, 1)
	var limit *ledger.LimitError
	if !errors.As(err, &limit) || limit.RetryAfter != retry {
		t.Errorf("%v, want a limit for %s", err, retry)
	}
}

// TestReading checks that a person counts once in a while, that the read after the limit is told
// when it ends, and that another start knows what was shown.
func TestReading(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	l, d := open(t, ledger.Options{Dir: dir, Now: c.now}), people(60)
	if n := show(t, l, d, 10, persons(0, 10)...); n != 10 {
		t.Errorf("ten people take %d", n)
	}
	if n := show(t, l, d, 10, persons(0, 12)...); n != 2 {
		t.Errorf("two more take %d", n)
	}
	if n := show(t, l, d, 10); n != 0 {
		t.Errorf("nobody takes %d", n)
	}
	// An answer is shown whole, so the last one may exceed the budget.
	if n := show(t, l, d, 100, persons(100, 150)...); n != 50 {
		t.Errorf("fifty more take %d", n)
	}
	wantReadLimit(t, l, d, 3*time.Minute) // two units are missing, and one is needed
	within(t, "what was shown is stored", func() bool {
		left, full, err := l.BudgetLeft(t.Context(), d)
		return err == nil && left == 0 && full == 62*time.Minute
	})
	verifyClean(t, l)
	if b := records(t, l, ledger.Filter{})[0].Budgets; len(b) != 1 || b[0].Before != 60 || b[0].After != 50 || b[0].Key != d.Key {
		t.Errorf("the record of the first read has %+v", b)
	}
	l.Close()
	l = open(t, ledger.Options{Dir: dir, Now: c.now})
	wantReadLimit(t, l, d, 3*time.Minute)
	other := d
	other.Key = "caller:bob"
	if n := show(t, l, other, 10, persons(0, 10)...); n != 10 {
		t.Errorf("another caller takes %d", n)
	}
	c.advance(3 * time.Minute)
	if n := show(t, l, d, 10, persons(0, 1)...); n != 1 {
		t.Errorf("a new process takes %d for somebody", n)
	}
	c.advance(2 * time.Hour)
	if n := show(t, l, d, 10, persons(0, 1)...); n != 1 {
		t.Errorf("after two hours somebody takes %d", n)
	}
	l.Close()
	tamper(t, dir, func(db *sql.DB) { run(t, db, "UPDATE budgets SET full = full - 1 WHERE key = ?", d.Key) })
	l = open(t, ledger.Options{Dir: dir, Now: c.now})
	r, err := l.Verify(t.Context(), ledger.VerifyOptions{})
	if err != nil || !slices.ContainsFunc(r.Findings, func(f ledger.Finding) bool { return f.Kind == ledger.WrongBudget }) {
		t.Errorf("a share that was filled up is not found: %+v, %v", r.Findings, err)
	}
}

// TestReadingFlood checks how much several processes show together: no more than the budget, a
// quarter of it for each, and one answer.
func TestReadingFlood(t *testing.T) {
	const burst, processes, page = 400, 2, 10
	dir, d := t.TempDir(), people(burst)
	var next, shown atomic.Int64
	var wg sync.WaitGroup
	var all []*ledger.SQLite
	for range processes {
		all = append(all, open(t, ledger.Options{Dir: dir}))
	}
	for i := range processes * 16 {
		l := all[i%processes]
		wg.Go(func() {
			for {
				r, err := l.StartReading(context.Background(), []ledger.Debit{d}, page)
				if err != nil {
					if limit := (*ledger.LimitError)(nil); !errors.As(err, &limit) || limit.RetryAfter <= 0 {
						t.Error(err)
					}
					return
				}
				from := int(next.Add(page))
				shown.Add(page)
				e := event()
				e.Debits = r.Show(persons(from, from+page), 0)
				l.RecordEvent(e)
			}
		})
	}
	began := time.Now()
	wg.Wait()
	t.Logf("%d persons shown by %d processes in %s, of a budget of %d", shown.Load(), processes, time.Since(began), burst)
	if n := shown.Load(); n < burst || n > burst+processes*(burst/4)+page+10 { // a few grow back
		t.Errorf("%d persons were shown", n)
	}
	for _, l := range all {
		l.Close()
	}
	verifyClean(t, open(t, ledger.Options{Dir: dir}))
}

// TestReadingDropped checks that what was shown counts also if its events are too many to be
// recorded.
func TestReadingDropped(t *testing.T) {
	const many = 6000
	dir, d, began := t.TempDir(), people(100*many), time.Now()
	l := open(t, ledger.Options{Dir: dir})
	release := ledger.HoldWriter(l)
	for i := range many {
		show(t, l, d, 1, fmt.Sprint(i))
	}
	release()
	l.Close()
	l = open(t, ledger.Options{Dir: dir})
	if n := len(records(t, l, ledger.Filter{Phase: ledger.PhaseDropped})); n == 0 {
		t.Error("no event was dropped")
	}
	left, _, err := l.BudgetLeft(t.Context(), d)
	if grown := int64(time.Since(began)/d.Interval) + 1; err != nil || left > 99*many+grown {
		t.Errorf("%d of %d are left, %v", left, d.Burst, err)
	}
	verifyClean(t, l)
}

// TestReadingEnds checks that reads in flight hold what they may show, and that what waits for them
// ends with its caller.
func TestReadingEnds(t *testing.T) {
	l, d := open(t, ledger.Options{}), people(40)
	first, err := l.StartReading(t.Context(), []ledger.Debit{d}, 10)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = l.StartReading(ctx, []ledger.Debit{d}, 10) // a quarter is in flight
	wantErr(t, "beside another", err, context.DeadlineExceeded)
	time.AfterFunc(20*time.Millisecond, func() { first.Show(nil, 0) })
	second, err := l.StartReading(t.Context(), []ledger.Debit{d}, 10)
	if err != nil {
		t.Fatal(err)
	}
	second.Show(nil, 7)
	if n := show(t, l, d, 10); n != 0 {
		t.Errorf("it took %d", n)
	}
}
