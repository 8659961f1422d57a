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

// op is one change to the ledger, waiting for its transaction.
type op struct {
	ctx  context.Context
	run  func(*tx) error
	done chan error
	err  error
}

// maxBatch bounds a transaction, so that the last of a flood does not delay the first.
const maxBatch = 256

// write runs a change in a transaction and returns when it is durable, or
// refused. Changes that wait together share one transaction and its one fsync.
// A context that ends while the change waits its turn takes it back; after
// that the caller gets the outcome, however late, because it counts.
func (s *SQLite) write(ctx context.Context, run func(*tx) error) error {
	if s.o.ReadOnly {
		return &StoreError{ReadOnly, s.path, errForReading}
	}
	o := &op{ctx: ctx, run: run, done: make(chan error, 1)}
	select {
	case <-s.stop:
		return &StoreError{Kind: Closed, Path: s.path}
	case <-ctx.Done():
		return ctx.Err()
	case s.ops <- o:
	}
	select {
	case err := <-o.done:
		return err
	case <-s.stopped:
		select {
		case err := <-o.done:
			return err
		default:
			return &StoreError{Kind: Closed, Path: s.path}
		}
	}
}

// writer drains the queue until the ledger closes; it is the only goroutine that writes.
func (s *SQLite) writer() {
	defer close(s.stopped)
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
		case <-s.stop:
			// What was queued before the end still counts.
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

func (s *SQLite) batch(first *op) {
	ops := []*op{first}
	take := func() {
		for len(ops) < maxBatch {
			select {
			case o := <-s.ops:
				ops = append(ops, o)
			default:
				return
			}
		}
	}
	take()
	t, err := s.begin()
	if err == nil {
		for i := 0; i < len(ops); i++ {
			if ops[i].err = t.runOne(ops[i]); t.broken != nil {
				break
			}
			if i == len(ops)-1 {
				take()
			}
		}
		if t.broken == nil && t.head.seq-s.signed.Load() >= int64(s.o.Records) {
			t.broken = t.checkpoint()
		}
		err = t.commit()
	}
	if err != nil {
		err = asStoreError(s.path, err)
	}
	s.classify(err, ops)
	for _, o := range ops {
		if err != nil {
			o.done <- err
		} else {
			o.done <- o.err
		}
	}
	if len(ops) > 1 {
		// Those who were answered come back at once; they should share the next transaction, not trickle into several.
		runtime.Gosched()
	}
}

// tx is an open write transaction.
type tx struct {
	s   *SQLite
	now time.Time
	// head is the end of the chain now; began what it was at the beginning.
	head, began head
	// keys are the subjects' keys that this transaction has met.
	keys map[string]subjectKey
	// stop is what frozen found, where stopRead.
	stopRead bool
	stop     *EmergencyStop
	// approvalsChanged is set where a question, or what became of one, has changed.
	approvalsChanged bool
	// broken is set where the transaction itself failed, which fails everything in it.
	broken error
	// after run once the transaction is durable.
	after []func()
}

// head is the end of the chain.
type head struct {
	seq  int64
	hash [sha256.Size]byte
}

func (s *SQLite) begin() (*tx, error) {
	if err := s.checkFile(); err != nil {
		return nil, err
	}
	t := &tx{s: s, keys: map[string]subjectKey{}}
	err := t.lock()
	if err != nil {
		return nil, err
	}
	// What was true before the wait may not be any more: a yes can have expired.
	t.now = s.now().UTC().Truncate(time.Microsecond)
	if t.head, err = t.loadHead(); err != nil {
		t.rollback()
		return nil, err
	}
	if err := t.checkEnd(); err != nil {
		t.rollback()
		return nil, err
	}
	s.conflicts.purge()
	if _, err := s.conflicts.catchUp(t.head.seq, t.rows); err != nil {
		t.rollback()
		return nil, err
	}
	t.began = t.head
	return t, nil
}

// lock takes the write lock. SQLite's own waiting sleeps ever longer, and a process that writes without a pause takes
// the lock again meanwhile: a stop would wait for seconds. So it is asked for again and again, at short and uneven times.
func (t *tx) lock() error {
	if t.s.shared {
		// Others want it too: they get a moment in which it is free.
		time.Sleep(time.Millisecond)
	}
	t.s.shared = false
	for end := time.Now().Add(busyTimeout); ; {
		_, err := t.exec("BEGIN IMMEDIATE")
		var q *sqlite.Error
		if err == nil || !errors.As(err, &q) || codes[q.Code()&0xff] != Locked || time.Now().After(end) {
			return err
		}
		t.s.shared = true
		time.Sleep(100*time.Microsecond + rand.N(400*time.Microsecond))
	}
}

// checkFile says whether the file is still the one that was opened: SQLite would
// write on to a file that was deleted, and a freeze by others would go unseen.
func (s *SQLite) checkFile() error {
	now, err := os.Stat(s.path)
	if err != nil || !os.SameFile(s.file, now) {
		return &StoreError{Replaced, s.path, err}
	}
	return nil
}

// runOne runs an op between savepoints, so that a refusal undoes its own changes only.
func (t *tx) runOne(o *op) (err error) {
	if o.ctx.Err() != nil {
		return o.ctx.Err()
	}
	if _, err := t.exec("SAVEPOINT op"); err != nil {
		t.broken = err
		return err
	}
	before, after := t.head, len(t.after)
	if err = o.run(t); err == nil {
		_, err = t.exec("RELEASE op")
		t.broken = err
		return err
	}
	if !errors.Is(err, ErrRejected) {
		err = asStoreError(t.s.path, err)
	}
	t.head, t.after, t.keys = before, t.after[:after], map[string]subjectKey{}
	t.stopRead = false
	if _, e := t.exec("ROLLBACK TO op"); e != nil {
		t.broken = err // a full disk has ended the transaction already: report that, not this
		return err
	}
	if _, e := t.exec("RELEASE op"); e != nil {
		t.broken = e
	}
	return err
}

func (t *tx) commit() error {
	if t.broken == nil && t.head != t.began {
		t.broken = t.sealHead()
	}
	if t.broken == nil && t.approvalsChanged {
		_, t.broken = t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('approvals', ?)", strconv.FormatInt(t.head.seq, 10))
	}
	if t.broken == nil {
		_, t.broken = t.exec("COMMIT")
	}
	if t.broken != nil {
		t.rollback()
		return t.broken
	}
	t.s.last = t.head
	t.s.conflicts.advance(t.head.seq)
	for _, f := range t.after {
		f()
	}
	return nil
}

// rollback ends the transaction. SQLite has done so itself after some errors, so its error says nothing.
func (t *tx) rollback() { _, _ = t.exec("ROLLBACK") }

// exec runs a statement and gives the number of rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) { return t.s.conn.exec(query, args...) }

// rows reads all rows of a query.
func (t *tx) rows(query string, args []any, each func(scan func(...any) error) error) error {
	return t.s.conn.rows(query, args, each)
}

// row reads one row; it reports whether there was one.
func (t *tx) row(query string, args []any, into ...any) (found bool, err error) {
	err = t.s.conn.rows(query, args, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	})
	return found && err == nil, err
}
