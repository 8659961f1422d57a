package ledger

import (
	"context"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// What Note holds back before it writes: room for a burst, and how long an event may wait.
const (
	maxNotes  = 4096
	noteBatch = 256
	noteDelay = 200 * time.Millisecond
)

// Note implements Ledger. It must not be called after Close.
func (s *SQLite) Note(e Event) {
	select {
	case s.notes <- e:
	default:
		s.dropped.Add(1)
	}
}

// noting writes events in batches until Close.
func (s *SQLite) noting() {
	defer close(s.noted)
	batch := make([]Event, 0, noteBatch)
	for e := range s.notes {
		batch = append(batch[:0], e)
		timer := time.NewTimer(noteDelay)
	fill:
		for len(batch) < noteBatch {
			select {
			case e, ok := <-s.notes:
				if !ok {
					break fill
				}
				batch = append(batch, e)
			case <-timer.C:
				break fill
			}
		}
		timer.Stop()
		s.writeNotes(batch)
	}
	s.writeNotes(nil)
}

// writeNotes makes events durable. Events that the store cannot take now are counted as dropped, and so is
// the count itself until it can be written.
func (s *SQLite) writeNotes(batch []Event) {
	dropped := s.dropped.Swap(0)
	if len(batch) == 0 && dropped == 0 {
		return
	}
	err := s.write(context.Background(), func(t *tx) error {
		for i := range batch {
			if err := t.note(&batch[i]); err != nil {
				return err
			}
		}
		if dropped == 0 {
			return nil
		}
		return t.append(&Record{Phase: PhaseDropped, Count: dropped})
	})
	if err != nil {
		s.dropped.Add(dropped + int64(len(batch)))
		s.log.Warn("reads could not be written to the audit; they are counted", "cause", err, "count", len(batch))
	}
}

func (t *tx) note(e *Event) error {
	phase := PhaseRefused
	if e.Class == schemas.Read {
		phase = PhaseRead
	}
	print := ""
	if e.Hash != "" {
		print = t.s.seal.fingerprint(e.Hash)
	}
	r := e.record(phase, print)
	r.Outcome, r.Status, r.Latency = e.Outcome, e.Status, e.Latency.Microseconds()
	keys, err := t.subjectKeys(e.Subjects)
	if err != nil {
		return err
	}
	if len(e.Subjects) > 0 {
		r.Subjects = keyIDs(keys)
	}
	if r.Sealed, err = sealUnder(keys, Private{Payload: e.Payload, Card: e.Card, Replaced: e.Replaced}, r.place()); err != nil {
		return err
	}
	return t.append(r)
}
