package ledger

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ways are the intents that may stand in the way of their payload, by what the payload is found by. They are in memory,
// because an index of it in the file would be written in random places, and cost a commit a third of its time. There may
// be too many, of which the table then says that they are over, never too few: an intent gets into the way when its row
// is written and never later, so what other processes added is in the rows after the last one that was read.
type ways struct {
	mu    sync.Mutex
	known int64 // all up to this record are there
	// emptied counts how often it was.
	emptied int
	seqs    map[int64]int64
	more    map[int64][]int64 // of a payload that has several, all but the one in seqs

	retired atomic.Int64 // up to which record the sweeper has seen them retired
	over    atomic.Bool  // some of them may go
}

// wayQuery reads those that were added since, from an index that grows at its end only.
const wayQuery = "SELECT seq, same FROM intents WHERE same IS NOT NULL AND seq > ? ORDER BY seq"

type reader func(query string, args []any, each func(scan func(...any) error) error) error

// catchUp reads those after known, and reports whether they are all there now. upto is a record up to which they are all
// there then, 0 where the caller knows none. The writer must never wait for a reader, so nothing is held while it reads.
func (w *ways) catchUp(upto int64, rows reader) (all bool, err error) {
	w.mu.Lock()
	known, emptied := w.known, w.emptied
	w.mu.Unlock()
	if upto > 0 && upto <= known {
		return true, nil
	}
	var found [][2]int64
	err = rows(wayQuery, []any{known}, func(scan func(...any) error) error {
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
	if w.emptied != emptied {
		return false, nil // those before known are not there any more
	}
	for _, one := range found {
		w.put(one[0], one[1])
		w.known = max(w.known, one[0])
	}
	w.known = max(w.known, upto)
	return true, nil
}

func (w *ways) put(seq, same int64) {
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
func (w *ways) add(seq, same int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(seq, same)
}

// of gives those of the payload, the latest first, and how often it was emptied so far.
func (w *ways) of(same int64) (found []int64, emptied int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one, ok := w.seqs[same]
	if !ok {
		return nil, w.emptied
	}
	found = append([]int64{one}, w.more[same]...)
	slices.Sort(found)
	slices.Reverse(found)
	return found, w.emptied
}

// reached is called once all up to the record are durable.
func (w *ways) reached(seq int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = max(w.known, seq)
}

// forget empties it where some are over, so that they go; the others are read again. Only the writer calls it, before
// it catches up: within a transaction they must all be there.
func (w *ways) forget() {
	if !w.over.Swap(false) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known, w.seqs, w.more = 0, nil, nil
	w.emptied++
}

// Prior implements Ledger.
func (s *SQLite) Prior(ctx context.Context, x Txn) (*Intent, error) {
	if x.Class == schemas.Read {
		return nil, nil
	}
	print := s.seal.fingerprint(x.Upstream, x.Hash)
	var seqs []int64
	_, before := s.ways.of(same(print))
	for {
		all, err := s.ways.catchUp(0, func(query string, args []any, each func(func(...any) error) error) error {
			return s.rows(ctx, query, args, each)
		})
		if err != nil {
			return nil, err
		}
		var emptied int
		if seqs, emptied = s.ways.of(same(print)); all && emptied == before {
			break
		}
		before = emptied
	}
	for _, seq := range seqs {
		if in, err := s.oneIntent(ctx, priorQuery, s.priorArgs(seq, x.Principal, print, x.Repeatable, s.now())...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}

// prior finds the latest run of the same payload that stands in its way.
func (t *tx) prior(x *Txn, print string) (*Intent, error) {
	seqs, _ := t.s.ways.of(same(print))
	for _, seq := range seqs {
		if in, err := t.intent(priorQuery, t.s.priorArgs(seq, x.Principal, print, x.Repeatable, t.now)...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}
