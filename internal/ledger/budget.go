package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"
)

// A budget is kept by the generic cell rate algorithm: of each budget and key one time is known, when it will be full
// again (its theoretical arrival time). Taking moves that time ahead, and what is left is how far it is from too far.
// So nothing has to be refilled, a budget that nobody touches needs no row, and a clock that is set back only makes
// it look emptier than it is: what was taken is never granted again.

// maxRefill is the longest that a budget may take to fill up: beyond it nanoseconds since 1970 would overflow.
const maxRefill = 100 * 365 * 24 * time.Hour

// LimitError refuses a call because a budget does not hold what it would take.
type LimitError struct {
	Budget, Key string
	// Left is how many units the budget holds now.
	Left int64
	// RetryAfter is when it will hold enough, if nobody takes from it meanwhile; 0 where it never can.
	RetryAfter time.Duration

	need, most int64
}

// Is makes errors.Is(e, ErrRejected) true.
func (*LimitError) Is(target error) bool { return target == ErrRejected }

func (e *LimitError) Error() string {
	name := "the budget " + e.Budget
	if e.Key != "" {
		name += " of " + strings.Replace(e.Key, ":", " ", 1)
	}
	if e.RetryAfter == 0 {
		return fmt.Sprintf("%s can never allow this: %d needed, and it holds %d at most", name, e.need, e.most)
	}
	return fmt.Sprintf("%s is spent: %d left, %d needed; enough in %s", name, e.Left, e.need, wait(e.RetryAfter))
}

// wait says how long, rounded up as a person would: 9m, not 9m0s.
func wait(d time.Duration) string {
	unit := time.Second
	switch {
	case d > 24*time.Hour:
		unit = time.Hour
	case d > 5*time.Minute:
		unit = time.Minute
	}
	s := ((d + unit - 1) / unit * unit).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// check refuses what cannot be reckoned with.
func (d *Debit) check() error {
	if d.Budget == "" || d.Cost < 1 || d.Interval < 1 || d.Burst < 0 {
		return fmt.Errorf("%w: a debit needs a budget, a cost and an interval", errUsage)
	}
	if d.Burst > int64(maxRefill/d.Interval) {
		return fmt.Errorf("%w: the budget %s takes longer than a hundred years to fill up", errUsage, d.Budget)
	}
	return nil
}

// bucket is one budget's share of one key: when it is full again, in nanoseconds since 1970; 0 where it always was.
type bucket struct {
	budget, key string
	full        int64
}

// used is the time that the bucket is short of full.
func (b *bucket) used(now time.Time) int64 { return max(0, b.full-now.UnixNano()) }

// left is how many whole units it holds.
func (d *Debit) left(used int64) int64 {
	return max(0, (d.Burst*int64(d.Interval)-used)/int64(d.Interval))
}

// take takes a debit from the bucket, or says when it could. Nothing here overflows: check has bounded Burst*Interval,
// and Cost is at most Burst when they are multiplied.
func (b *bucket) take(d *Debit, now time.Time) (Balance, error) {
	used, most := b.used(now), d.Burst*int64(d.Interval)
	no := &LimitError{Budget: d.Budget, Key: d.Key, Left: d.left(used), need: d.Cost, most: d.Burst}
	if d.Cost > d.Burst {
		return Balance{}, no
	}
	cost := d.Cost * int64(d.Interval)
	if cost > most-used {
		if used > math.MaxInt64-2*int64(maxRefill) {
			used = math.MaxInt64 - 2*int64(maxRefill) // the clock was set back by centuries
		}
		// The clock of a transaction counts microseconds: a rest of one must have passed too.
		no.RetryAfter = (time.Duration(used+cost-most) + time.Microsecond - 1).Truncate(time.Microsecond)
		return Balance{}, no
	}
	b.full = now.UnixNano() + used + cost
	return Balance{Budget: b.budget, Key: b.key, Before: d.left(used), After: d.left(used + cost), Cost: cost, Full: b.full}, nil
}

// plain is a name as the table and the chain hold it: as it is, unless it is not text or too long for a record.
func plain(name string) string {
	if short := clip(name); short != name {
		sum := sha256.Sum256([]byte(name))
		return short + " " + hex.EncodeToString(sum[:])
	}
	return name
}

const bucketQuery = "SELECT budget, key, full FROM budgets WHERE budget = ? AND key = ?"

// debit takes all of the debits in this transaction or none, and gives the balances.
func (t *tx) debit(debits []Debit) ([]Balance, error) {
	taken := make([]bucket, len(debits))
	balances := make([]Balance, len(debits))
	for i := range debits {
		d, b := &debits[i], &taken[i]
		b.budget, b.key = plain(d.Budget), plain(d.Key)
		if _, err := t.row(bucketQuery, []any{b.budget, b.key}, &b.budget, &b.key, &b.full); err != nil {
			return nil, err
		}
		for _, before := range taken[:i] {
			if before.budget == b.budget && before.key == b.key {
				b.full = before.full
			}
		}
		var err error
		if balances[i], err = b.take(d, t.now); err != nil {
			return nil, err
		}
	}
	return balances, nil
}

// keepDebits writes what debit took for the intent of record seq.
//
// What is given back must be what is missing because of it, and no more. Subtracting the cost is not that: what has
// grown back since is not missing, and where the budget would have been full meanwhile, the rest has no room. So each
// debit that may still be given back knows when its budget would be full had only the later ones been taken (rest), and
// giving back goes no further down than that.
func (t *tx) keepDebits(seq int64, debits []Debit, balances []Balance) error {
	for i := range debits {
		d, b := &debits[i], &balances[i]
		if _, err := t.exec("UPDATE debits SET rest = max(rest, ?) + ? WHERE budget = ? AND key = ?", t.now.UnixNano(), b.Cost, b.Budget, b.Key); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO debits (seq, budget, key, cost, interval, burst, rest) VALUES (?, ?, ?, ?, ?, ?, 0)", seq, b.Budget, b.Key, b.Cost, int64(d.Interval), d.Burst); err != nil {
			return err
		}
		if _, err := t.exec("INSERT OR REPLACE INTO budgets (budget, key, full, seq) VALUES (?, ?, ?, ?)", b.Budget, b.Key, b.Full, seq); err != nil {
			return err
		}
	}
	return nil
}

// restore gives back what the intent took, for nothing came of it. at is the record that will tell of it.
func (t *tx) restore(in *Intent, at int64) (balances []Balance, err error) {
	type debit struct {
		Debit
		id, cost, rest int64
	}
	var debits []debit
	err = t.rows("SELECT id, budget, key, cost, interval, burst, rest FROM debits WHERE seq = ? ORDER BY id DESC", []any{in.seq}, func(scan func(...any) error) error {
		var d debit
		var interval int64
		err := scan(&d.id, &d.Budget, &d.Key, &d.cost, &interval, &d.Burst, &d.rest)
		d.Interval = time.Duration(interval)
		debits = append(debits, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, d := range debits {
		var b bucket
		if _, err := t.row(bucketQuery, []any{d.Budget, d.Key}, &b.budget, &b.key, &b.full); err != nil {
			return nil, err
		}
		// Another one of the same intent may have changed it.
		if _, err := t.row("SELECT rest FROM debits WHERE id = ?", []any{d.id}, &d.rest); err != nil {
			return nil, err
		}
		before := d.left(b.used(t.now))
		b.full = max(d.rest, b.full-d.cost)
		balances = append(balances, Balance{Budget: d.Budget, Key: d.Key, Before: before, After: d.left(b.used(t.now)), Full: b.full})
		if _, err := t.exec("UPDATE budgets SET full = ?, seq = ? WHERE budget = ? AND key = ?", b.full, at, d.Budget, d.Key); err != nil {
			return nil, err
		}
		// To those before it this one was a later one.
		if _, err := t.exec("UPDATE debits SET rest = max(?, rest - ?) WHERE budget = ? AND key = ? AND id < ?", d.rest, d.cost, d.Budget, d.Key, d.id); err != nil {
			return nil, err
		}
	}
	return balances, t.forgetDebits(in)
}

// forgetDebits ends what could be given back for an intent: it ran, or it was given back.
func (t *tx) forgetDebits(in *Intent) error {
	_, err := t.exec("DELETE FROM debits WHERE seq = ?", in.seq)
	return err
}

// BudgetLeft implements Ledger.
func (s *SQLite) BudgetLeft(ctx context.Context, d Debit) (left int64, refill time.Duration, err error) {
	if d.Cost == 0 {
		d.Cost = 1
	}
	if err := d.check(); err != nil {
		return 0, 0, err
	}
	b := bucket{budget: plain(d.Budget), key: plain(d.Key)}
	if _, err := s.row(ctx, bucketQuery, []any{b.budget, b.key}, &b.budget, &b.key, &b.full); err != nil {
		return 0, 0, err
	}
	used := b.used(s.now())
	return d.left(used), time.Duration(used), nil
}
