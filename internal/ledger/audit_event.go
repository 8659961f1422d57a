package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The bounds of the queue: for a burst of events, for one transaction, and for the delay of a
// record.
const (
	maxQueuedEvents = 4096
	eventBatch      = 256
	eventDelay      = 200 * time.Millisecond
	// maxUnerased bounds the subjects that wait to be erased while the store cannot be written.
	maxUnerased = 10_000
)

// queuedEvent is an event and when it was recorded.
type queuedEvent struct {
	Event
	at time.Time
}

// namedEvent is an event with the subjects that its FindSubjects found.
type namedEvent struct {
	*Event
	at               time.Time
	subjects, erased []string
	// omitted is the number of subjects beyond maxSubjects.
	omitted int64
	// balances are those after its debits.
	balances []Balance
}

// RecordEvent implements Ledger. Events after Close are lost.
func (s *SQLite) RecordEvent(e Event) {
	if s.o.ReadOnly {
		return
	}
	if len(e.Debits) > 0 {
		s.readings.queued(e.Debits)
	}
	select {
	case s.events <- queuedEvent{e, s.now()}:
	default:
		s.readings.dropped(e.Debits)
		s.dropped.Add(1)
	}
}

// runEvents writes events in batches until Close, and then the queued ones.
func (s *SQLite) runEvents() {
	defer close(s.eventsDone)
	retry := time.NewTicker(probeEvery)
	defer retry.Stop()
	for open := true; open; {
		var batch []queuedEvent
		select {
		case e := <-s.events:
			batch = append(batch, e)
		case <-retry.C:
			// A count that could not be written does not wait for the next event.
			if s.StoreError() == nil {
				s.writeEvents(nil)
			}
			continue
		case <-s.closing:
			open = false
		}
		batch = s.collectEvents(batch, open)
		for ; len(batch) == eventBatch; batch = s.collectEvents(nil, open) {
			s.writeEvents(batch)
		}
		s.writeEvents(batch)
	}
	s.writeEvents(nil) // what was only counted
}

// collectEvents adds the events of the next moment to the batch; with wait false only the queued
// ones.
func (s *SQLite) collectEvents(batch []queuedEvent, wait bool) []queuedEvent {
	timeout := make(<-chan time.Time)
	if wait {
		timeout = time.After(eventDelay)
	}
	for len(batch) < eventBatch {
		select {
		case e := <-s.events:
			batch = append(batch, e)
			continue
		default:
		}
		if !wait {
			break
		}
		select {
		case e := <-s.events:
			batch = append(batch, e)
		case <-timeout:
			return batch
		case <-s.closing:
			wait = false
		}
	}
	return batch
}

// writeEvents makes events durable. Events that the store cannot accept are counted as dropped, and
// the count is kept until it can be written.
func (s *SQLite) writeEvents(batch []queuedEvent) {
	dropped := s.dropped.Swap(0)
	countsDue := s.countsDue(s.isClosing())
	if len(batch) == 0 && dropped == 0 && len(s.unerased) == 0 && !countsDue {
		return
	}
	all := make([]namedEvent, len(batch))
	for i := range batch {
		all[i] = s.findSubjects(&batch[i].Event)
		all[i].at = batch[i].at
	}
	unerased, lost := s.unerased, s.readings.takeLost()
	var lostBalances []Balance
	err := s.write(context.Background(), func(t *tx) error {
		for i := range all {
			if err := t.writeEvent(&all[i]); err != nil {
				return err
			}
		}
		if err := t.eraseFound(&Record{}, unerased); err != nil {
			return err
		}
		if countsDue {
			if err := t.recordCounts(); err != nil {
				return err
			}
		}
		if dropped == 0 && len(lost) == 0 {
			return nil
		}
		var err error
		if lostBalances, err = t.debitShown(lost); err != nil {
			return err
		}
		if err := t.append(&Record{Phase: PhaseDropped, Count: dropped, Budgets: lostBalances}); err != nil {
			return err
		}
		return t.storeShown(t.head.seq, lostBalances)
	})
	s.unerased = nil
	if err != nil {
		// The events are only counted, but the erasures, and what was shown, must not be lost.
		for _, named := range all {
			unerased = append(unerased, named.erased...)
			s.readings.dropped(named.Debits)
		}
		s.readings.queued(lost) // they were dropped before, and are again
		s.readings.dropped(lost)
		s.unerased = unerased[:min(len(unerased), maxUnerased)]
		s.dropped.Add(dropped + int64(len(batch)))
		s.log.Warn("failed to write events to the audit log; they are counted", "cause", err, "count", len(batch))
		return
	}
	for i := range all {
		if len(all[i].Debits) > 0 {
			s.readings.stored(all[i].Debits, all[i].balances, true)
		}
	}
	s.readings.stored(lost, lostBalances, false)
}

// findSubjects calls the event's FindSubjects. If it panics, the event has its own subjects only.
func (s *SQLite) findSubjects(e *Event) (named namedEvent) {
	named = namedEvent{Event: e, subjects: e.Subjects}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("failed to find the subjects of a read; it is recorded without them", "action", e.Action, "cause", p)
		}
		if n := len(named.subjects) - maxSubjects; n > 0 {
			named.subjects, named.omitted = named.subjects[:maxSubjects], int64(n)
		}
	}()
	if e.FindSubjects == nil {
		return named
	}
	subjects, erased := e.FindSubjects()
	excluded := map[string]bool{noSubject: true} // empty names are left out too
	for _, name := range erased {
		if !excluded[name] {
			excluded[name] = true
			named.erased = append(named.erased, name)
		}
	}
	// An erased subject must not get a new key.
	var names []string
	for _, name := range append(slices.Clone(e.Subjects), subjects...) {
		if !excluded[name] {
			excluded[name] = true
			names = append(names, name)
		}
	}
	named.subjects = names
	return named
}

// eraseFound destroys the keys of subjects that Sippet erased, and completes and appends the record
// r.
func (t *tx) eraseFound(r *Record, subjects []string) error {
	ids, err := t.destroyKeys(subjects)
	if err != nil || len(ids) == 0 {
		return err
	}
	t.scrubAfterCommit()
	r.Phase, r.Subjects, r.By, r.Note = PhaseErased, ids, Actor{Name: "Sippet"}, "found erased"
	return t.append(r)
}

// omitErased leaves out the subjects that were erased since the event: they must not get a new key.
func (t *tx) omitErased(e *namedEvent) error {
	erased, err := t.lastErased()
	if err != nil || len(erased) == 0 {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(e.subjects), func(subject string) bool { return erased[t.s.seal.tagText(subject)] >= micros(e.at) })
	if omitted := len(e.subjects) - len(kept); omitted > 0 {
		without := *e.Event
		without.Payload, without.Card, without.Replaced = nil, nil, nil // they may name them
		e.Event, e.subjects, e.omitted = &without, kept, e.omitted+int64(omitted)
	}
	return nil
}

func (t *tx) writeEvent(e *namedEvent) error {
	phase := PhaseRejected
	switch {
	case e.Validated:
		phase = PhaseValidated
	case e.Class == schemas.Read:
		phase = PhaseRead
	}
	var hashes callHashes
	if e.Hash != "" {
		hashes.payload = t.s.seal.fingerprint(e.Organisation, e.Hash)
	}
	keeps, err := t.keepsEvents(e.Caller)
	switch {
	case err != nil:
		return err
	case !keeps && len(e.Debits) == 0: // what a read took from a budget needs a record
		kind := eventKind{e.Caller, e.Credential, e.Action, e.Class, e.Outcome, ""}
		if e.Validated {
			kind.note = "tested with validate_action"
		}
		t.count(kind)
		return t.eraseFound(&Record{Request: e.Request, Caller: e.Caller}, e.erased)
	}
	if err := t.omitErased(e); err != nil {
		return err
	}
	r := e.record(phase, hashes)
	r.Outcome, r.Status, r.Latency = e.Outcome, e.Status, e.Latency.Microseconds()
	r.Count = e.omitted
	keys, err := t.subjectKeys(e.subjects)
	if err != nil {
		return err
	}
	if len(e.subjects) > 0 {
		r.Subjects = keyIDs(keys)
	}
	if !keeps || len(e.Payload)+len(e.Card)+len(e.Replaced) > maxEvent {
		without := *e.Event
		without.Payload, without.Card, without.Replaced = nil, nil, nil
		e.Event = &without
	}
	private, err := Private{Payload: e.Payload, Card: e.Card, Replaced: e.Replaced}.divide(e.RecipientList)
	if err != nil {
		return err
	}
	r.Sealed = t.seal(keys, private, r.binding())
	if r.Budgets, err = t.debitShown(e.Debits); err != nil {
		return err
	}
	if err := t.append(r); err != nil {
		return err
	}
	e.balances = r.Budgets
	if err := t.storeShown(r.Seq, r.Budgets); err != nil {
		return err
	}
	return t.eraseFound(&Record{Request: e.Request, Caller: e.Caller}, e.erased)
}
