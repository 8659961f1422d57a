package ledger_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// paceBudget is a debit from a budget of five calls, to which an approval adds ten.
func paceBudget(cost int64) ledger.Debit {
	d := callBudget(cost)
	d.Budget, d.Refill = "pace", 10
	return d
}

// approvedCall returns a call with an approval that adds refills.
func approvedCall(t testing.TB, l ledger.Ledger, c *clock, d []ledger.Debit, refills ...ledger.Refill) ledger.Txn {
	t.Helper()
	x := callWithDebits(d...)
	r := approvalFor(x, c.now().Add(time.Hour))
	r.Refills = refills
	if err := l.CreateApproval(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	answer(t, l, r, ledger.Approved)
	x.ApprovalID = r.ID
	return x
}

func refill(units int64) ledger.Refill {
	return ledger.Refill{Budget: "pace", Key: "caller:ada", Units: units}
}

// wantOver checks that the call may run with an approval only.
func wantOver(t testing.TB, l ledger.Ledger, x ledger.Txn) {
	t.Helper()
	_, err := l.Commit(t.Context(), x)
	var e *ledger.LimitError
	if !errors.As(err, &e) || e.Refill == 0 {
		t.Fatalf("got %v, want a limit that an approval lifts", err)
	}
}

func TestRefill(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "state"), newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Stale: 100 * time.Hour})
	pace := []ledger.Debit{paceBudget(1)}
	for range 5 {
		commit(t, l, callWithDebits(pace...))
	}
	wantOver(t, l, callWithDebits(pace...))
	// An approved call runs, but only a card that names a refill adds one.
	for _, named := range [][]ledger.Refill{nil, {{Budget: "pace", Key: "caller:bob", Units: 10}}, {{Budget: "calls", Key: "caller:ada", Units: 10}}} {
		commit(t, l, approvedCall(t, l, c, pace, named...))
		wantLeft(t, l, paceBudget(0), 0)
		wantOver(t, l, callWithDebits(pace...))
	}
	first, second := approvedCall(t, l, c, pace, refill(10)), approvedCall(t, l, c, pace, refill(10))
	in := commit(t, l, first)
	wantLeft(t, l, paceBudget(0), 9)
	if b := records(t, l, ledger.Filter{Intent: in.ID})[0].Budgets[0]; b.Refill != 10 || b.Taken != 1 || b.Refilled != 9 || b.Before != 0 || b.After != 9 || b.Cost != 0 {
		t.Errorf("%+v", b)
	}
	commit(t, l, second) // the budget holds enough now, so this adds nothing
	wantLeft(t, l, paceBudget(0), 8)
	verifyClean(t, l)
	l.Close()
	l = open(t, ledger.Options{Dir: dir, Now: c.now, Stale: 100 * time.Hour})
	wantLeft(t, l, paceBudget(0), 8)
	for range 8 {
		commit(t, l, callWithDebits(pace...))
	}
	wantOver(t, l, callWithDebits(pace...))
	// The smaller of the card and the policy counts.
	small := paceBudget(1)
	small.Refill = 3
	commit(t, l, approvedCall(t, l, c, []ledger.Debit{small}, refill(10)))
	wantLeft(t, l, paceBudget(0), 2)
	commit(t, l, callWithDebits(paceBudget(2)))
	large := paceBudget(1)
	large.Refill = 50
	commit(t, l, approvedCall(t, l, c, []ledger.Debit{large}, refill(10)))
	wantLeft(t, l, paceBudget(0), 9)
	// What grew back is taken first. What was added ends when the budget is full.
	c.advance(9 * time.Minute)
	wantLeft(t, l, paceBudget(0), 3+9)
	commit(t, l, callWithDebits(paceBudget(4)))
	wantLeft(t, l, paceBudget(0), 8)
	c.advance(15*time.Minute - time.Microsecond)
	wantLeft(t, l, paceBudget(0), 4+8)
	c.advance(time.Microsecond)
	wantLeft(t, l, paceBudget(0), 5)
	commit(t, l, callWithDebits(paceBudget(5)))
	wantOver(t, l, callWithDebits(pace...))
	verifyClean(t, l)
}

// TestRefillNotSent: an approval adds its refill once, also if its call was not sent and runs again.
func TestRefillNotSent(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now, Stale: 100 * time.Hour})
	before := commit(t, l, callWithDebits(paceBudget(5)))
	x := approvedCall(t, l, c, []ledger.Debit{paceBudget(1)}, refill(10))
	settle(t, l, commit(t, l, x), ledger.NotSent)
	wantLeft(t, l, paceBudget(0), 9)
	commit(t, l, callWithDebits(paceBudget(9)))
	commit(t, l, x)
	wantOver(t, l, callWithDebits(paceBudget(1)))
	settle(t, l, before, ledger.NotSent)
	wantLeft(t, l, paceBudget(0), 5)
	verifyClean(t, l)
}

// TestRefillLimits: a call that no approval can let run is rejected, and nobody is asked about it.
func TestRefillLimits(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	day := ledger.Debit{Budget: "day", Cost: 1, Interval: 24 * time.Hour, Burst: 6}
	commit(t, l, callWithDebits(paceBudget(5), day))
	for range 5 {
		commit(t, l, approvedCall(t, l, c, []ledger.Debit{paceBudget(1), day}))
	}
	for _, x := range []ledger.Txn{callWithDebits(paceBudget(1), day), approvedCall(t, l, c, []ledger.Debit{paceBudget(1), day}, refill(10))} {
		_, err := l.Commit(t.Context(), x)
		var e *ledger.LimitError
		if !errors.As(err, &e) || e.Budget != "day" || e.Refill != 0 {
			t.Errorf("%v", err)
		}
	}
	wantLeft(t, l, paceBudget(0), 0)
	// A call that takes more than the budget ever holds takes all.
	commit(t, l, approvedCall(t, l, c, []ledger.Debit{paceBudget(100)}, refill(10)))
	wantLeft(t, l, paceBudget(0), 0)
	verifyClean(t, l)
}

// TestRefillRace: of the calls that want the last units at the same moment, none runs beyond them.
func TestRefillRace(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	approved := approvedCall(t, l, c, []ledger.Debit{paceBudget(1)}, refill(10))
	var ran, asked atomic.Int64
	var wg sync.WaitGroup
	race := func(n int) {
		for range n {
			wg.Go(func() {
				_, err := l.Commit(t.Context(), callWithDebits(paceBudget(1)))
				var e *ledger.LimitError
				switch {
				case err == nil:
					ran.Add(1)
				case errors.As(err, &e) && e.Refill == 10:
					asked.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if race(20); ran.Load() != 5 || asked.Load() != 15 {
		t.Errorf("%d ran, %d were over", ran.Load(), asked.Load())
	}
	commit(t, l, approved)
	if race(20); ran.Load() != 5+9 {
		t.Errorf("%d ran with the refill", ran.Load())
	}
	verifyClean(t, l)
}

// TestRefillModel: whatever is debited, approved and returned, a budget never holds more than its burst
// and a refill, and the calls without an approval are no more than grew back and was approved.
func TestRefillModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		began := c.now()
		l := open(t, ledger.Options{Now: c.now, Stale: 1000 * time.Hour})
		defer l.Close()
		var open []ledger.Intent
		var taken, added, returned int64
		rt.Repeat(map[string]func(*rapid.T){
			"pass": func(rt *rapid.T) { c.advance(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second) },
			"take": func(rt *rapid.T) {
				cost := rapid.Int64Range(1, 4).Draw(rt, "cost")
				left, _, _ := l.BudgetLeft(t.Context(), paceBudget(0))
				in, err := l.Commit(t.Context(), callWithDebits(paceBudget(cost)))
				if (err == nil) != (cost <= left) {
					rt.Fatalf("debiting %d of %d: %v", cost, left, err)
				}
				if err == nil {
					taken += cost
					open = append(open, in)
				}
			},
			"approved": func(rt *rapid.T) {
				var named []ledger.Refill
				if rapid.Bool().Draw(rt, "named") {
					named = append(named, refill(rapid.Int64Range(1, 12).Draw(rt, "refill")))
				}
				in := commit(t, l, approvedCall(t, l, c, []ledger.Debit{paceBudget(rapid.Int64Range(1, 20).Draw(rt, "cost"))}, named...))
				for _, b := range records(t, l, ledger.Filter{Intent: in.ID})[0].Budgets {
					if b.Refill > 0 && (named == nil || b.Refill > min(10, named[0].Units)) {
						rt.Fatalf("%+v", b)
					}
					added += b.Refill
				}
				open = append(open, in)
			},
			"end": func(rt *rapid.T) {
				if len(open) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "which")
				state := rapid.SampledFrom([]ledger.IntentState{ledger.NotSent, ledger.Succeeded}).Draw(rt, "state")
				settle(t, l, open[i], state)
				if state == ledger.NotSent {
					for _, b := range records(t, l, ledger.Filter{Intent: open[i].ID})[1].Budgets {
						returned += max(0, b.After-b.Before)
					}
				}
				open = append(open[:i], open[i+1:]...)
			},
			"": func(rt *rapid.T) {
				left, _, err := l.BudgetLeft(t.Context(), paceBudget(0))
				if err != nil || left > 5+10 {
					rt.Fatalf("%d left (%v)", left, err)
				}
				if most := 5 + int64(c.now().Sub(began)/(3*time.Minute)) + added + returned; taken > most {
					rt.Fatalf("%d were taken without an approval, %d at most", taken, most)
				}
			},
		})
		verifyClean(t, l)
	})
}

func TestRefillTampered(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Stale: 100 * time.Hour})
	commit(t, l, callWithDebits(paceBudget(5)))
	commit(t, l, approvedCall(t, l, c, []ledger.Debit{paceBudget(1)}, refill(10)))
	l.Close()
	for change, kind := range map[string]ledger.FindingKind{"UPDATE budgets SET refilled = refilled + 1": ledger.WrongBudget,
		`UPDATE approvals SET refills = replace(refills, '10', '99')`: ledger.WrongApproval} {
		dir := copyDir(t, dir)
		tamper(t, dir, func(db *sql.DB) { run(t, db, change) })
		found := false
		for _, f := range verify(t, dir, ledger.VerifyOptions{}).Findings {
			found = found || f.Kind == kind
		}
		if !found {
			t.Errorf("Verify did not find %s", change)
		}
	}
}
