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

// Budgets use the generic cell rate algorithm. For each budget and key one time is stored: when it
// is full again (its theoretical arrival time). A debit moves that time ahead; the units left
// follow from its distance. So nothing is ever written when units grow back, and an unused budget has
// no row. A clock that is set back makes a budget look emptier, never fuller.
//
// What an approval added (see [Refill]) is stored beside that time, in units. A debit takes it last. It
// ends when the budget is full.

// maxRefill is the longest time in which a budget may fill up. Beyond it nanoseconds since 1970
// overflow.
const maxRefill = 100 * 365 * 24 * time.Hour

// LimitError rejects a call because a budget holds too little.
type LimitError struct {
	Budget, Key string
	// Left is the number of units that the budget holds now.
	Left int64
	// RetryAfter is when it holds enough, if nobody else debits it; 0 if it never does.
	RetryAfter time.Duration
	// Refill is not 0 if the call may run with an approval, which then adds these units.
	Refill int64

	needed, burst int64
}

// Is makes errors.Is(e, ErrRejected) true.
func (*LimitError) Is(target error) bool { return target == ErrRejected }

func (e *LimitError) Error() string {
	name := "the budget " + e.Budget
	if e.Key != "" {
		name += " of " + strings.Replace(e.Key, ":", " ", 1)
	}
	if e.RetryAfter == 0 {
		return fmt.Sprintf("%s can never cover this: %d needed, but it holds at most %d", name, e.needed, e.burst)
	}
	return fmt.Sprintf("%s is too low: %d left, %d needed; try again in %s", name, e.Left, e.needed, formatWait(e.RetryAfter))
}

// formatWait formats a duration, rounded up: 9m, not 9m0s.
func formatWait(d time.Duration) string {
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

// check rejects an invalid debit.
func (d *Debit) check() error {
	if d.Budget == "" || d.Cost < 1 || d.Interval < 1 || d.Burst < 0 || d.Refill < 0 {
		return fmt.Errorf("%w: a debit needs a budget, a cost and an interval", errUsage)
	}
	if d.Burst > int64(maxRefill/d.Interval) {
		return fmt.Errorf("%w: the budget %s needs more than a hundred years to fill up", errUsage, d.Budget)
	}
	return nil
}

// bucket is one budget for one key: when it is full again, in nanoseconds since 1970; 0 if it
// always was. refilled is what is left of the units that an approval added.
type bucket struct {
	budget, key    string
	full, refilled int64
}

// used returns the time until the bucket is full, in nanoseconds.
func (b *bucket) used(now time.Time) int64 { return max(0, b.full-now.UnixNano()) }

// refill returns what is left of the units that an approval added. They end when the bucket is full.
func (b *bucket) refill(now time.Time) int64 {
	if b.used(now) == 0 {
		return 0
	}
	return b.refilled
}

// left returns the whole units that remain, without those that an approval added.
func (d *Debit) left(used int64) int64 {
	return max(0, (d.Burst*int64(d.Interval)-used)/int64(d.Interval))
}

// holds returns the units that the bucket holds.
func (d *Debit) holds(b *bucket, now time.Time) int64 { return d.left(b.used(now)) + b.refill(now) }

// debit debits the bucket, or returns a *LimitError. An approved call takes what is left of a budget with
// a Refill, after adding to it what its card said, if it is over the budget. Nothing here overflows: check
// bounds Burst*Interval, and Cost is at most Burst when it is multiplied.
func (b *bucket) debit(d *Debit, now time.Time, approved bool, added int64) (Balance, error) {
	out := Balance{Budget: b.budget, Key: b.key, Before: d.holds(b, now)}
	used, capacity, refilled := b.used(now), d.Burst*int64(d.Interval), b.refill(now)
	if d.Cost > out.Before {
		if d.Refill == 0 || !approved {
			return Balance{}, d.limit(out.Before, used, capacity)
		}
		out.Refill = min(added, d.Refill)
		refilled = max(refilled, out.Refill)
	}
	units := min(d.Cost, d.left(used))
	out.Taken, out.Cost = min(d.Cost-units, refilled), units*int64(d.Interval)
	b.refilled = refilled - out.Taken
	if units > 0 {
		b.full = now.UnixNano() + used + out.Cost
	}
	out.After, out.Full, out.Refilled = d.holds(b, now), b.full, b.refilled
	return out, nil
}

// limit returns the error for a debit of a budget that holds too little.
func (d *Debit) limit(left, used, capacity int64) *LimitError {
	e := &LimitError{Budget: d.Budget, Key: d.Key, Left: left, Refill: d.Refill, needed: d.Cost, burst: d.Burst}
	if d.Cost <= d.Burst {
		if used > math.MaxInt64-2*int64(maxRefill) {
			used = math.MaxInt64 - 2*int64(maxRefill) // the clock was set back by centuries
		}
		// A transaction's clock counts microseconds, so a fraction of one is rounded up.
		e.RetryAfter = (time.Duration(used+d.Cost*int64(d.Interval)-capacity) + time.Microsecond - 1).Truncate(time.Microsecond)
	}
	return e
}

// clipName returns a name as the table and the audit log hold it. A name that is not text, or too
// long for a record, is clipped and ends with its hash.
func clipName(name string) string {
	if short := clip(name); short != name {
		sum := sha256.Sum256([]byte(name))
		return short + " " + hex.EncodeToString(sum[:])
	}
	return name
}

const bucketQuery = "SELECT budget, key, full, refilled FROM budgets WHERE budget = ? AND key = ?"

func (b *bucket) fields() []any { return []any{&b.budget, &b.key, &b.full, &b.refilled} }

// debit applies all debits in this transaction or none, and returns those that took something with
// their balances. approval is the one that the call uses; nil without one. A limit that an approval does
// not lift comes before one that it does.
func (t *tx) debit(all []Debit, approval *approvalRow) (debits []Debit, balances []Balance, err error) {
	var refillable error
	buckets := make([]bucket, len(all))
	for i := range all {
		d, b := &all[i], &buckets[i]
		b.budget, b.key = clipName(d.Budget), clipName(d.Key)
		if _, err := t.row(bucketQuery, []any{b.budget, b.key}, b.fields()...); err != nil {
			return nil, nil, err
		}
		for _, before := range buckets[:i] {
			if before.budget == b.budget && before.key == b.key {
				b.full, b.refilled = before.full, before.refilled
			}
		}
		added := int64(0)
		if d.Refill > 0 && approval != nil {
			added = approval.refill(b.budget, b.key)
		}
		balance, err := b.debit(d, t.now, approval != nil, added)
		switch {
		case err == nil && balance.Cost+balance.Taken > 0:
			debits, balances = append(debits, *d), append(balances, balance)
		case err != nil && d.Refill == 0:
			return nil, nil, err
		case err != nil:
			refillable = err
		}
	}
	return debits, balances, refillable
}

// storeDebits stores what debit took for the intent of record seq.
//
// A return must give back what is missing because of this intent, and no more. That is not the
// cost: units that have grown back are not missing, and a budget that would be full by now has no
// room for the rest. So each debit that may be returned stores when its budget would be full with
// the later debits alone (rest). A return never lowers the time below that.
func (t *tx) storeDebits(seq int64, debits []Debit, balances []Balance) error {
	for i := range debits {
		d, b := &debits[i], &balances[i]
		if b.Cost > 0 {
			if _, err := t.exec("UPDATE debits SET rest = max(rest, ?) + ? WHERE budget = ? AND key = ?", t.now.UnixNano(), b.Cost, b.Budget, b.Key); err != nil {
				return err
			}
			if _, err := t.exec("INSERT INTO debits (seq, budget, key, cost, interval, burst, rest) VALUES (?, ?, ?, ?, ?, ?, 0)",
				seq, b.Budget, b.Key, b.Cost, int64(d.Interval), d.Burst); err != nil {
				return err
			}
		}
		if _, err := t.exec("INSERT OR REPLACE INTO budgets (budget, key, full, refilled, seq) VALUES (?, ?, ?, ?, ?)", b.Budget, b.Key, b.Full, b.Refilled, seq); err != nil {
			return err
		}
	}
	return nil
}

// returnDebits returns the debits of an intent, because nothing was sent. at is the record about
// it. Units that an approval added are not returned: another approval may have added more since. What the
// intent's own approval added stays, because other calls may have taken it.
func (t *tx) returnDebits(in *Intent, at int64) (balances []Balance, err error) {
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
		if _, err := t.row(bucketQuery, []any{d.Budget, d.Key}, b.fields()...); err != nil {
			return nil, err
		}
		// Another debit of the same intent may have changed it.
		if _, err := t.row("SELECT rest FROM debits WHERE id = ?", []any{d.id}, &d.rest); err != nil {
			return nil, err
		}
		before := d.holds(&b, t.now)
		b.full = max(d.rest, b.full-d.cost)
		balances = append(balances, Balance{Budget: d.Budget, Key: d.Key, Before: before, After: d.holds(&b, t.now), Full: b.full, Refilled: b.refilled})
		if _, err := t.exec("UPDATE budgets SET full = ?, seq = ? WHERE budget = ? AND key = ?", b.full, at, d.Budget, d.Key); err != nil {
			return nil, err
		}
		// For the earlier debits this one was a later one.
		if _, err := t.exec("UPDATE debits SET rest = max(?, rest - ?) WHERE budget = ? AND key = ? AND id < ?", d.rest, d.cost, d.Budget, d.Key, d.id); err != nil {
			return nil, err
		}
	}
	return balances, t.deleteDebits(in)
}

// deleteDebits deletes the stored debits of an intent that ran, or that were returned.
func (t *tx) deleteDebits(in *Intent) error {
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
	b := bucket{budget: clipName(d.Budget), key: clipName(d.Key)}
	if _, err := s.row(ctx, bucketQuery, []any{b.budget, b.key}, b.fields()...); err != nil {
		return 0, 0, err
	}
	now := s.now()
	return d.holds(&b, now), time.Duration(b.used(now)), nil
}
