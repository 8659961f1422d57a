package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// What Note holds back before it writes: room for a burst, and how long an event may wait.
const (
	maxNotes  = 4096
	noteBatch = 256
	noteDelay = 200 * time.Millisecond
	// maxErase is how many subjects that are to be erased wait for a store that takes no writes.
	maxErase = 10_000
)

// discovered is an event, and what its Find found.
type discovered struct {
	*Event
	subjects, erased []string
	// more is how many subjects are left out.
	more int64
}

// RecordEvent implements Ledger. What comes after Close is lost, like what comes after the end of the process.
func (s *SQLite) RecordEvent(e Event) {
	if s.o.ReadOnly {
		return
	}
	select {
	case s.notes <- e:
	default:
		s.dropped.Add(1)
	}
}

// runNotes writes events in batches until Close, and then those that wait.
func (s *SQLite) runNotes() {
	defer close(s.noted)
	again := time.NewTicker(probeEvery)
	defer again.Stop()
	for open := true; open; {
		var batch []Event
		select {
		case e := <-s.notes:
			batch = append(batch, e)
		case <-again.C:
			// A count that could not be written need not wait for the next read.
			if s.StoreError() == nil {
				s.writeNotes(nil)
			}
			continue
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
	if len(batch) == 0 && dropped == 0 && len(s.lateNotes) == 0 {
		return
	}
	all := make([]discovered, len(batch))
	for i := range batch {
		all[i] = s.find(&batch[i])
	}
	late := s.lateNotes
	err := s.write(context.Background(), func(t *tx) error {
		for i := range all {
			if err := t.note(&all[i]); err != nil {
				return err
			}
		}
		if err := t.foundErased(&Record{}, late); err != nil {
			return err
		}
		if dropped == 0 {
			return nil
		}
		return t.append(&Record{Phase: PhaseDropped, Count: dropped})
	})
	s.lateNotes = nil
	if err != nil {
		// The reads are only counted, but what Sippet erased is not forgotten here.
		for _, f := range all {
			late = append(late, f.erased...)
		}
		s.lateNotes = late[:min(len(late), maxErase)]
		s.dropped.Add(dropped + int64(len(batch)))
		s.log.Warn("reads could not be written to the audit; they are counted", "cause", err, "count", len(batch))
	}
}

// find asks the event's Find. One that panics found nothing.
func (s *SQLite) find(e *Event) (f discovered) {
	f = discovered{Event: e, subjects: e.Subjects}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("the subjects of a read could not be found; it is recorded without them", "action", e.Action, "cause", p)
		}
		if n := len(f.subjects) - MaxSubjects; n > 0 {
			f.subjects, f.more = f.subjects[:MaxSubjects], int64(n)
		}
	}()
	if e.FindSubjects == nil {
		return f
	}
	subjects, erased := e.FindSubjects()
	gone := map[string]bool{allRows: true} // what names nobody is left out, too
	for _, name := range erased {
		if !gone[name] {
			gone[name] = true
			f.erased = append(f.erased, name)
		}
	}
	// An erased subject gets no new key to be named by.
	var names []string
	for _, name := range append(slices.Clone(e.Subjects), subjects...) {
		if !gone[name] {
			gone[name] = true
			names = append(names, name)
		}
	}
	f.subjects = names
	return f
}

// foundErased destroys the keys of subjects that Sippet erased, and completes and appends the record of it; about is the
// call that showed it.
func (t *tx) foundErased(about *Record, subjects []string) error {
	ids, err := t.destroy(subjects)
	if err != nil || len(ids) == 0 {
		return err
	}
	t.scrubSoon()
	about.Phase, about.Subjects, about.By, about.Note = PhaseErased, ids, Actor{Name: "Sippet"}, "found erased"
	return t.append(about)
}

func (t *tx) note(e *discovered) error {
	phase := PhaseRejected
	if e.Class == schemas.Read {
		phase = PhaseRead
	}
	fingerprint := ""
	if e.Hash != "" {
		fingerprint = t.s.seal.fingerprint(e.Organisation, e.Hash)
	}
	r := e.record(phase, fingerprint)
	r.Outcome, r.Status, r.Latency = e.Outcome, e.Status, e.Latency.Microseconds()
	r.Count = e.more
	keys, err := t.subjectKeys(e.subjects)
	if err != nil {
		return err
	}
	if len(e.subjects) > 0 {
		r.Subjects = keyIDs(keys)
	}
	if r.Sealed, err = sealUnder(keys, Private{Payload: e.Payload, Card: e.Card, Replaced: e.Replaced}, r.binding()); err != nil {
		return err
	}
	if err := t.append(r); err != nil {
		return err
	}
	return t.foundErased(&Record{Request: e.Request, Caller: e.Caller}, e.erased)
}
