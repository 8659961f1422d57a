package ledger

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Budgets of reading. How many persons an answer shows is known only after the call, and a read does
// not wait for a commit. So each process counts in memory, and the event that records the read
// stores what it took a moment later. A person counts once in the time in which the whole budget
// grows back.
//
// What a process has not stored yet is bounded, with what its reads in flight may show, by a quarter
// of the budget: a further read waits until the events are written. So much a process that is killed
// forgets, and so much another process may not know of.

// maxShares is the number of shares from which on the idle ones are forgotten.
const maxShares = 1000

// readings are the shares of budgets of reading that this process uses.
type readings struct {
	mu     sync.Mutex
	shares map[[2]string]*readingShare
	// lost are what dropped events took. The record that counts the events stores them.
	lost map[[2]string]Debit
	// changed is closed when a read ends or events are written.
	changed chan struct{}
	seed    maphash.Seed
}

// readingShare is one budget for one key.
type readingShare struct {
	// full is when it is full again, as in bucket, with what is not stored yet. It was compared with
	// the table at loaded.
	full   int64
	loaded time.Time
	// held is what the reads in flight may take, unstored what queued events have taken.
	held, unstored int64
	// seen are the persons that were counted since began, before those of the time before.
	seen, before map[uint64]bool
	began        time.Time
}

// Reading is a read in flight of which the answer is debited by the persons that it shows.
type Reading struct {
	s      *SQLite
	debits []Debit
	most   int64
	ended  bool
}

func shareKey(d *Debit) [2]string { return [2]string{clipName(d.Budget), clipName(d.Key)} }

// StartReading implements Ledger.
func (s *SQLite) StartReading(ctx context.Context, debits []Debit, most int64) (*Reading, error) {
	r := &Reading{s: s, debits: debits, most: most}
	for _, d := range debits {
		d.Cost = 1
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	for {
		if err := s.loadShares(ctx, debits); err != nil {
			return nil, err
		}
		wait, err := s.readings.hold(r, s.now())
		if wait == nil {
			return r, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.eventsDone:
			return nil, &StoreError{Kind: Closed, Path: s.path}
		}
	}
}

// loadShares compares the shares with the table, where other processes store what they have shown.
func (s *SQLite) loadShares(ctx context.Context, debits []Debit) error {
	for i := range debits {
		key, now := shareKey(&debits[i]), s.now()
		s.readings.mu.Lock()
		share := s.readings.shares[key]
		fresh := share != nil && now.Sub(share.loaded) < FreshFor && !now.Before(share.loaded)
		s.readings.mu.Unlock()
		if fresh {
			continue
		}
		var b bucket
		if _, err := s.row(ctx, bucketQuery, []any{key[0], key[1]}, b.fields()...); err != nil {
			return err
		}
		s.readings.mu.Lock()
		share = s.readings.share(key, now)
		share.full, share.loaded = max(share.full, b.full), now
		s.readings.mu.Unlock()
	}
	return nil
}

// share returns a share, a new one if it is not known. The caller holds the lock.
func (r *readings) share(key [2]string, now time.Time) *readingShare {
	share := r.shares[key]
	if share == nil {
		if r.shares == nil {
			r.shares, r.changed, r.seed = map[[2]string]*readingShare{}, make(chan struct{}), maphash.MakeSeed()
		}
		if len(r.shares) >= maxShares {
			for k, old := range r.shares {
				if old.held == 0 && old.unstored == 0 && old.full < now.UnixNano() {
					delete(r.shares, k)
				}
			}
		}
		share = &readingShare{began: now}
		r.shares[key] = share
	}
	return share
}

// hold lets a read begin: it returns a *LimitError if a budget holds nothing, and a channel if the
// read must wait.
func (r *readings) hold(read *Reading, now time.Time) (wait chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range read.debits {
		d := &read.debits[i]
		share := r.share(shareKey(d), now)
		used := max(0, share.full-now.UnixNano())
		if left := d.left(used); left < 1 {
			return nil, &LimitError{Budget: d.Budget, Key: d.Key, needed: 1, burst: d.Burst,
				RetryAfter: (time.Duration(used-(d.Burst-1)*int64(d.Interval)) + time.Microsecond - 1).Truncate(time.Microsecond)}
		} else if open := share.held + share.unstored; open > 0 && (share.held >= left || open+read.most > d.Burst/4) {
			wait = r.changed
		}
	}
	if wait != nil {
		return wait, nil
	}
	for i := range read.debits {
		r.share(shareKey(&read.debits[i]), now).held += read.most
	}
	return nil, nil
}

// Show counts the persons that the answer shows, or least units if that is more, and returns what the
// event that records the call must store. A person that was counted a while ago takes nothing. It
// ends the read; later calls return nil. A nil Reading takes nothing.
func (r *Reading) Show(persons []string, least int64) (taken []Debit) {
	if r == nil || r.ended {
		return nil
	}
	r.ended = true
	all, now := &r.s.readings, r.s.now()
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, d := range r.debits {
		share := all.share(shareKey(&d), now)
		share.held -= r.most
		share.turn(now, time.Duration(d.Burst)*d.Interval)
		for _, person := range persons {
			if id := maphash.String(all.seed, person); !share.seen[id] && !share.before[id] {
				share.seen[id] = true
				d.Cost++
			}
		}
		if d.Cost = max(d.Cost, least); d.Cost > 0 {
			used := max(0, share.full-now.UnixNano())
			share.full = now.UnixNano() + used + d.shown(used)
			taken = append(taken, d)
		}
	}
	all.wake()
	return taken
}

// turn forgets the persons that were counted before the last window began.
func (s *readingShare) turn(now time.Time, window time.Duration) {
	switch age := now.Sub(s.began); {
	case s.seen == nil, age >= 2*window, age < 0:
		s.before = nil
	case age >= window:
		s.before = s.seen
	default:
		return
	}
	s.seen, s.began = map[uint64]bool{}, now
}

// wake lets the reads that wait try again. The caller holds the lock.
func (r *readings) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// shown returns the time in which the units grow back: all of them, also if the budget holds less,
// as they were shown already. used is the time in which it would be full before.
func (d *Debit) shown(used int64) int64 {
	if d.Cost > int64(maxRefill/d.Interval) {
		return max(0, int64(maxRefill)-used)
	}
	return min(d.Cost*int64(d.Interval), max(0, int64(maxRefill)-used))
}

// queued notes that an event holds what a read took, and dropped that it never will. The record that
// counts the dropped events stores it.
func (r *readings) queued(debits []Debit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range debits {
		if share := r.shares[shareKey(&debits[i])]; share != nil {
			share.unstored += debits[i].Cost
		}
	}
}

func (r *readings) dropped(debits []Debit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range debits {
		key := shareKey(&d)
		if share := r.shares[key]; share != nil {
			share.unstored -= d.Cost
		}
		if r.lost == nil {
			r.lost = map[[2]string]Debit{}
		}
		d.Cost += r.lost[key].Cost
		r.lost[key] = d
	}
	r.wake()
}

// takeLost returns what dropped events took, and forgets it.
func (r *readings) takeLost() (debits []Debit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.lost {
		debits = append(debits, d)
	}
	r.lost = nil
	return debits
}

// stored notes that the table has what events took.
func (r *readings) stored(debits []Debit, balances []Balance, queued bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range debits {
		if share := r.shares[shareKey(&debits[i])]; share != nil && queued {
			share.unstored -= debits[i].Cost
		}
	}
	for _, b := range balances {
		if share := r.shares[[2]string{b.Budget, b.Key}]; share != nil {
			share.full = max(share.full, b.Full)
		}
	}
	r.wake()
}

// debitShown debits what an event took, also if a budget holds less.
func (t *tx) debitShown(debits []Debit) (balances []Balance, err error) {
	for i := range debits {
		d, key := &debits[i], shareKey(&debits[i])
		b := bucket{budget: key[0], key: key[1]}
		if _, err := t.row(bucketQuery, []any{key[0], key[1]}, b.fields()...); err != nil {
			return nil, err
		}
		used := b.used(t.now)
		if cost := d.shown(used); cost > 0 {
			balances = append(balances, Balance{Budget: key[0], Key: key[1], Before: d.left(used), After: d.left(used + cost), Cost: cost,
				Full: t.now.UnixNano() + used + cost})
		}
	}
	return balances, nil
}

// storeShown stores the balances after the events of record seq. They are never returned.
func (t *tx) storeShown(seq int64, balances []Balance) error {
	for _, b := range balances {
		if _, err := t.exec("UPDATE debits SET rest = max(rest, ?) + ? WHERE budget = ? AND key = ?", t.now.UnixNano(), b.Cost, b.Budget, b.Key); err != nil {
			return err
		}
		if _, err := t.exec("INSERT OR REPLACE INTO budgets (budget, key, full, refilled, seq) VALUES (?, ?, ?, 0, ?)", b.Budget, b.Key, b.Full, seq); err != nil {
			return err
		}
	}
	return nil
}
