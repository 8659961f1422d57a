package ledger

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// conflictIndex are the intents that may stand in the way of their payload, by what the payload is found by. They are in memory,
// because an index of it in the file would be written in random places, and cost a commit a third of its time. There may
// be too many, of which the table then says that they are over, never too few: an intent gets into the way when its row
// is written and never later, so what other processes added is in the rows after the last one that was read.
type conflictIndex struct {
	mu   sync.Mutex
	upto int64 // all up to this record are there
	// purges counts how often it was.
	purges int
	seqs   map[int64]int64
	more   map[int64][]int64 // of a payload that has several, all but the one in seqs

	retired atomic.Int64 // up to which record the sweeper has seen them retired
	stale   atomic.Bool  // some of them may go
}

// conflictIndexQuery reads those that were added since, from an index that grows at its end only.
const conflictIndexQuery = "SELECT seq, conflict_key FROM intents WHERE conflict_key IS NOT NULL AND seq > ? ORDER BY seq"

type reader func(query string, args []any, each func(scan func(...any) error) error) error

// catchUp reads those after known, and reports whether they are all there now. upto is a record up to which they are all
// there then, 0 where the caller knows none. The writer must never wait for a reader, so nothing is held while it reads.
func (w *conflictIndex) catchUp(upto int64, rows reader) (all bool, err error) {
	w.mu.Lock()
	known, emptied := w.upto, w.purges
	w.mu.Unlock()
	if upto > 0 && upto <= known {
		return true, nil
	}
	var found [][2]int64
	err = rows(conflictIndexQuery, []any{known}, func(scan func(...any) error) error {
		var one [2]int64
		err := scan(&one[0], &one[1])
		found = append(found, one)
		return err
	})
	if err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.purges != emptied {
		return false, nil // those before known are not there any more
	}
	for _, one := range found {
		w.put(one[0], one[1])
		w.upto = max(w.upto, one[0])
	}
	w.upto = max(w.upto, upto)
	return true, nil
}

func (w *conflictIndex) put(seq, same int64) {
	if w.seqs == nil {
		w.seqs, w.more = map[int64]int64{}, map[int64][]int64{}
	}
	switch one, ok := w.seqs[same]; {
	case !ok:
		w.seqs[same] = seq
	case one != seq && !slices.Contains(w.more[same], seq):
		w.more[same] = append(w.more[same], seq)
	}
}

// add adds one that this process is writing. Should that fail, it is one too many.
func (w *conflictIndex) add(seq, same int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(seq, same)
}

// find gives those of the payload, the latest first, and how often it was emptied so far.
func (w *conflictIndex) find(same int64) (found []int64, emptied int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one, ok := w.seqs[same]
	if !ok {
		return nil, w.purges
	}
	found = append([]int64{one}, w.more[same]...)
	slices.Sort(found)
	slices.Reverse(found)
	return found, w.purges
}

// advance is called once all up to the record are durable.
func (w *conflictIndex) advance(seq int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upto = max(w.upto, seq)
}

// purge empties it where some are over, so that they go; the others are read again. Only the writer calls it, before
// it catches up: within a transaction they must all be there.
func (w *conflictIndex) purge() {
	if !w.stale.Swap(false) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upto, w.seqs, w.more = 0, nil, nil
	w.purges++
}

// FindConflicting implements Ledger.
func (s *SQLite) FindConflicting(ctx context.Context, x Txn) (*Intent, error) {
	if x.Class == schemas.Read {
		return nil, nil
	}
	fingerprint := s.seal.fingerprint(x.Organisation, x.Hash)
	var seqs []int64
	_, before := s.conflicts.find(fingerprintPrefix(fingerprint))
	for {
		all, err := s.conflicts.catchUp(0, func(query string, args []any, each func(func(...any) error) error) error {
			return s.rows(ctx, query, args, each)
		})
		if err != nil {
			return nil, err
		}
		var emptied int
		if seqs, emptied = s.conflicts.find(fingerprintPrefix(fingerprint)); all && emptied == before {
			break
		}
		before = emptied
	}
	for _, seq := range seqs {
		if in, err := s.oneIntent(ctx, conflictQuery, s.conflictArgs(seq, x.Caller, fingerprint, x.Idempotent, s.now())...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}

// findConflicting finds the latest run of the same payload that stands in its way.
func (t *tx) findConflicting(x *Txn, fingerprint string) (*Intent, error) {
	seqs, _ := t.s.conflicts.find(fingerprintPrefix(fingerprint))
	for _, seq := range seqs {
		if in, err := t.intent(conflictQuery, t.s.conflictArgs(seq, x.Caller, fingerprint, x.Idempotent, t.now)...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}
