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

// Note implements Ledger. What comes after Close is lost, like what comes after the end of the process.
func (s *SQLite) Note(e Event) {
	select {
	case s.notes <- e:
	default:
		s.dropped.Add(1)
	}
}

// noting writes events in batches until Close, and then those that wait.
func (s *SQLite) noting() {
	defer close(s.noted)
	for open := true; open; {
		var batch []Event
		select {
		case e := <-s.notes:
			batch = append(batch, e)
		case <-s.closing:
			open = false
		}
		batch = s.fill(batch, open)
		for ; len(batch) == noteBatch; batch = s.fill(nil, open) {
			s.writeNotes(batch)
		}
		s.writeNotes(batch)
	}
}

// fill adds what comes within a moment, or what is there where nothing more is awaited.
func (s *SQLite) fill(batch []Event, wait bool) []Event {
	moment := make(<-chan time.Time)
	if wait {
		moment = time.After(noteDelay)
	}
	for len(batch) < noteBatch {
		select {
		case e := <-s.notes:
			batch = append(batch, e)
			continue
		default:
		}
		if !wait {
			break
		}
		select {
		case e := <-s.notes:
			batch = append(batch, e)
		case <-moment:
			return batch
		case <-s.closing:
			wait = false
		}
	}
	return batch
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
