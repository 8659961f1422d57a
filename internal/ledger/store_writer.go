package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"

	"modernc.org/sqlite"
)

// op is a queued change. needs is the size that the reserve must have for it, and below which it
// does not fall because of it.
type op struct {
	ctx   context.Context
	run   func(*tx) error
	needs int64
	done  chan error
	err   error
}

// maxBatch bounds a transaction, so that a flood of changes does not delay its first one.
const maxBatch = 256

// write runs a change in a transaction, and returns when it is durable or rejected. Queued changes
// share a transaction and its fsync. A context that ends while the change is queued cancels it.
// After that the caller receives the outcome, however late, because the change counts.
func (s *SQLite) write(ctx context.Context, run func(*tx) error) error {
	return s.writeWith(ctx, wholeReserve, run)
}

// writeWith is write for a change that may use the reserve, as far as it then is not smaller than
// needs. It may run several times, each time from the beginning; the last one counts.
func (s *SQLite) writeWith(ctx context.Context, needs int64, run func(*tx) error) error {
	if s.o.ReadOnly {
		return &StoreError{ReadOnly, s.path, errReadOnly}
	}
	o := &op{ctx: ctx, run: run, needs: needs, done: make(chan error, 1)}
	select {
	case <-s.closed:
		return &StoreError{Kind: Closed, Path: s.path}
	case <-ctx.Done():
		return ctx.Err()
	case s.ops <- o:
	}
	select {
	case err := <-o.done:
		return err
	case <-s.writerDone:
		select {
		case err := <-o.done:
			return err
		default:
			return &StoreError{Kind: Closed, Path: s.path}
		}
	}
}

// runWriter drains the queue until the ledger closes. It is the only goroutine that writes.
func (s *SQLite) runWriter() {
	defer close(s.writerDone)
	for {
		select {
		case o := <-s.ops:
			s.batch(o)
			continue
		default:
		}
		select {
		case o := <-s.ops:
			s.batch(o)
		case <-s.closed:
			// Changes that were queued before still count.
			for {
				select {
				case o := <-s.ops:
					s.batch(o)
				default:
					return
				}
			}
		}
	}
}

// batch makes the changes that are queued. Those that may use the reserve are tried again with room
// of it while there is none without.
func (s *SQLite) batch(first *op) {
	all := []*op{first}
	ops, err := all, error(nil)
	short := false
	for release := false; len(ops) > 0; release = true {
		ops, short, err = s.transact(ops, release)
		if !release {
			all = ops
		}
		s.keepStoreError(err, ops, short)
		ops = s.answer(ops, err)
	}
	if short {
		s.refill()
	}
	if len(all) > 1 {
		// The callers will queue their next changes at once: let those share the next transaction.
		runtime.Gosched()
	}
}

// transact makes changes, and those that are queued meanwhile, in one transaction. With release it
// frees a step of the reserve first. It returns all of the changes and whether the reserve was short.
func (s *SQLite) transact(ops []*op, release bool) (all []*op, short bool, err error) {
	collect := func() {
		for len(ops) < maxBatch {
			select {
			case o := <-s.ops:
				ops = append(ops, o)
			default:
				return
			}
		}
	}
	collect()
	t, err := s.begin()
	if err == nil && release {
		if err = s.release(); err != nil {
			t.rollback()
		}
		t.reserve = s.reserve()
	}
	if err != nil {
		return ops, release, asStoreError(s.path, err)
	}
	for i := 0; i < len(ops); i++ {
		if ops[i].err = t.runOp(ops[i]); t.failure != nil {
			break
		}
		if i == len(ops)-1 {
			collect()
		}
	}
	if t.failure == nil && t.head.seq-s.signed.Load() >= int64(s.o.Records) {
		t.failure = t.checkpoint()
	}
	if err = t.commit(); err != nil {
		err = asStoreError(s.path, err)
	}
	return ops, t.reserve < wholeReserve, err
}

// answer tells the callers the result of their changes: err, or their own one where it is nil. It
// returns those that may be tried again with more room of the reserve.
func (s *SQLite) answer(ops []*op, err error) (again []*op) {
	size := int64(-1)
	for _, o := range ops {
		result := err
		if result == nil {
			result = o.err
		}
		if o.needs < wholeReserve && noRoom(result) {
			if size < 0 {
				size = s.reserve()
			}
			if size > o.needs {
				again = append(again, o)
				continue
			}
		}
		o.done <- result
	}
	return again
}

// tx is an open write transaction.
type tx struct {
	s   *SQLite
	now time.Time
	// reserve is the size of the reserve.
	reserve int64
	// head is the head of the log now, initial the head at the begin.
	head, initial head
	// keys are the subjects' keys that this transaction has read.
	keys map[string]subjectKey
	// stops is what currentStops read, if stopsRead.
	stopsRead bool
	stops     []EmergencyStop
	// approvalsChanged is true if a request, or its outcome, has changed.
	approvalsChanged bool
	// failure is why the transaction itself failed, which fails every change in it.
	failure error
	// used are the bytes that the records take, newKeys the subjects' keys that are not in it yet.
	used       []used
	newKeys    int64
	wholeAgain []wholeAgain // what it stored of shares
	room       struct {     // for both, without an allocation
		used       [2]used
		wholeAgain [2]wholeAgain
	}
	// afterCommit runs when the transaction is durable.
	afterCommit []func()
}

// head is the last record of the log: its number and hash.
type head struct {
	seq  int64
	hash [sha256.Size]byte
}

func (s *SQLite) begin() (*tx, error) {
	if err := s.checkFile(); err != nil {
		return nil, err
	}
	t := &tx{s: s, keys: map[string]subjectKey{}}
	t.used, t.wholeAgain = t.room.used[:0], t.room.wholeAgain[:0]
	err := t.lock()
	if err != nil {
		return nil, err
	}
	t.reserve = s.reserve()
	// The time after the wait: an approval may have expired meanwhile.
	t.now = s.now().UTC().Truncate(time.Microsecond)
	if t.head, err = t.loadHead(); err != nil {
		t.rollback()
		return nil, err
	}
	if err := t.checkHead(); err != nil {
		t.rollback()
		return nil, err
	}
	s.conflicts.purge()
	if _, err := s.conflicts.update(t.head.seq, t.rows); err != nil {
		t.rollback()
		return nil, err
	}
	t.initial = t.head
	return t, nil
}

// lock acquires the write lock. SQLite's own wait sleeps ever longer, and a process that writes
// without a pause would acquire the lock again meanwhile: an emergency stop would wait for seconds.
// So lock retries at short and uneven intervals.
func (t *tx) lock() error {
	if t.s.contended {
		// Another process waits for it: leave it free for a moment.
		time.Sleep(time.Millisecond)
	}
	t.s.contended = false
	for end := time.Now().Add(busyTimeout); ; {
		_, err := t.exec("BEGIN IMMEDIATE")
		var q *sqlite.Error
		if err == nil || !errors.As(err, &q) || codes[q.Code()&0xff] != Locked || time.Now().After(end) {
			return err
		}
		t.s.contended = true
		time.Sleep(100*time.Microsecond + rand.N(400*time.Microsecond))
	}
}

// checkFile checks that the file is still the one that was opened. SQLite would continue to write a
// deleted file, and this process would miss an emergency stop by another.
func (s *SQLite) checkFile() error {
	now, err := os.Stat(s.path)
	if err != nil || !os.SameFile(s.file, now) {
		return &StoreError{Replaced, s.path, err}
	}
	return nil
}

// runOp runs a change between savepoints, so that a rejected one undoes itself only.
func (t *tx) runOp(o *op) (err error) {
	if o.ctx.Err() != nil {
		return o.ctx.Err()
	}
	if t.reserve < o.needs {
		return &StoreError{DiskFull, t.s.path, errReserve}
	}
	if _, err := t.exec("SAVEPOINT op"); err != nil {
		t.failure = err
		return err
	}
	before, after, used := t.head, len(t.afterCommit), len(t.used)
	if err = o.run(t); err == nil {
		_, err = t.exec("RELEASE op")
		t.failure = err
		return err
	}
	if !errors.Is(err, ErrRejected) {
		err = asStoreError(t.s.path, err)
	}
	t.head, t.afterCommit, t.keys = before, t.afterCommit[:after], map[string]subjectKey{}
	t.used, t.newKeys = t.used[:used], 0
	t.stopsRead = false
	if _, e := t.exec("ROLLBACK TO op"); e != nil {
		t.failure = err // report the first error: a full disk has already ended the transaction
		return err
	}
	if _, e := t.exec("RELEASE op"); e != nil {
		t.failure = e
	}
	return err
}

func (t *tx) commit() error {
	if t.failure == nil && t.head != t.initial {
		t.failure = t.storeHead()
	}
	if t.failure == nil && t.approvalsChanged {
		_, t.failure = t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('approvals', ?)", strconv.FormatInt(t.head.seq, 10))
	}
	if t.failure == nil {
		_, t.failure = t.exec("COMMIT")
	}
	if t.failure != nil {
		t.rollback()
		return t.failure
	}
	t.s.lastHead = t.head
	for _, w := range t.wholeAgain {
		t.s.shares[w.caller] = w.at
	}
	t.s.conflicts.advance(t.head.seq)
	for _, f := range t.afterCommit {
		f()
	}
	return nil
}

// rollback ends the transaction. It ignores the error: after some errors SQLite has done so
// already.
func (t *tx) rollback() { _, _ = t.exec("ROLLBACK") }

// exec runs a statement and returns the number of changed rows.
func (t *tx) exec(query string, args ...any) (int64, error) { return t.s.conn.exec(query, args...) }

// rows reads all rows of a query.
func (t *tx) rows(query string, args []any, each func(scan func(...any) error) error) error {
	return t.s.conn.rows(query, args, each)
}

// row reads one row; it reports whether there is one.
func (t *tx) row(query string, args []any, into ...any) (found bool, err error) {
	err = t.s.conn.rows(query, args, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	})
	return found && err == nil, err
}

// probeEvery is the interval of attempts after a failed write.
const probeEvery = time.Second

// StoreError implements Ledger.
func (s *SQLite) StoreError() error {
	if s.o.ReadOnly {
		return &StoreError{ReadOnly, s.path, errReadOnly}
	}
	if storeErr := s.storeError.Load(); storeErr != nil {
		return storeErr
	}
	return nil
}

// keepStoreError stores the result of an attempt to write: the error of the transaction, or of a
// change that the store could not accept, or that the reserve is short.
func (s *SQLite) keepStoreError(err error, ops []*op, short bool) {
	var storeErr *StoreError
	if !errors.As(err, &storeErr) {
		for _, o := range ops {
			if errors.As(o.err, &storeErr) {
				break
			}
		}
	}
	if storeErr == nil && short {
		storeErr = &StoreError{DiskFull, s.path, errReserve}
	}
	switch {
	case storeErr != nil:
		s.failingSince.CompareAndSwap(0, micros(s.now()))
	case s.dropped.Load() == 0: // else a probe succeeded, but nothing was recorded yet
		s.failingSince.Store(0)
	}
	s.storeError.Store(storeErr)
}

// FailingSince implements Ledger.
func (s *SQLite) FailingSince() time.Time { return fromMicros(s.failingSince.Load()) }

// probe writes a small value if the last attempt failed. Otherwise only the next call would show
// that the store works again, and calls may be rejected until it does.
func (s *SQLite) probe() {
	if s.storeError.Load() == nil {
		return
	}
	// keepStoreError stores the outcome. The writer fills the reserve if it is short.
	_ = s.write(context.Background(), func(t *tx) error {
		_, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', ?)", t.now.Format(time.RFC3339Nano))
		return err
	})
}
