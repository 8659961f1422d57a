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
	seqs  map[int64]int64
	more  map[int64][]int64 // of a payload that has several, all but the one in seqs

	retired atomic.Int64 // up to which record the sweeper has seen them retired
	over    atomic.Bool  // some of them may go
}

// wayQuery reads those that were added since, from an index that grows at its end only.
const wayQuery = "SELECT seq, same FROM intents WHERE same IS NOT NULL AND seq > ? ORDER BY seq"

type reader func(query string, args []any, each func(scan func(...any) error) error) error

// catchUp reads those after known. upto is a record up to which they are all there then, 0 where the caller knows none.
func (w *ways) catchUp(upto int64, rows reader) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read(upto, rows)
}

func (w *ways) read(upto int64, rows reader) error {
	if upto > 0 && upto <= w.known {
		return nil
	}
	last := w.known
	err := rows(wayQuery, []any{w.known}, func(scan func(...any) error) error {
		var seq, same int64
		err := scan(&seq, &same)
		if err == nil {
			w.put(seq, same)
			last = seq
		}
		return err
	})
	if err == nil {
		w.known = max(last, upto)
	}
	return err
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

// of gives those of the payload, the latest first. With rows it looks for new ones before.
func (w *ways) of(same int64, rows reader) (found []int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rows != nil {
		if err := w.read(0, rows); err != nil {
			return nil, err
		}
	}
	one, ok := w.seqs[same]
	if !ok {
		return nil, nil
	}
	found = append([]int64{one}, w.more[same]...)
	slices.Sort(found)
	slices.Reverse(found)
	return found, nil
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
}

// Prior implements Ledger.
func (s *SQLite) Prior(ctx context.Context, x Txn) (*Intent, error) {
	if x.Class == schemas.Read {
		return nil, nil
	}
	print := s.seal.fingerprint(x.Upstream, x.Hash)
	seqs, err := s.ways.of(same(print), func(query string, args []any, each func(func(...any) error) error) error {
		return s.rows(ctx, query, args, each)
	})
	if err != nil {
		return nil, err
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
	seqs, err := t.s.ways.of(same(print), nil)
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if in, err := t.intent(priorQuery, t.s.priorArgs(seq, x.Principal, print, x.Repeatable, t.now)...); err != nil || in != nil {
			return in, err
		}
	}
	return nil, nil
}
