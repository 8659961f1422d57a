package ledger

import (
	"context"
	"time"
)

// EmergencyStop is a freeze that holds: a person stopped the program.
type EmergencyStop struct {
	At   time.Time
	By   Actor
	Note string
}

// cachedStop is the last look at the freeze, nil where there was none.
type cachedStop struct {
	readAt time.Time // the machine's clock, not the ledger's: it measures age
	stop   *EmergencyStop
}

const stopQuery = "SELECT at, stopped_by, note FROM stops WHERE resumed IS NULL ORDER BY id LIMIT 1"

// currentStop looks once a transaction: only a change in it could give another answer.
func (t *tx) currentStop() (*EmergencyStop, error) {
	if t.stopRead {
		return t.stop, nil
	}
	var at int64
	var by string
	f := new(EmergencyStop)
	found, err := t.row(stopQuery, nil, &at, &by, &f.Note)
	if err != nil {
		return nil, err
	}
	f.By = parseActor(by)
	if f.At = fromMicros(at); !found {
		f = nil
	}
	t.stopRead, t.stop = true, f
	return f, nil
}

// checkStopped refuses what a freeze stops. It looks in the transaction, so a
// freeze that was committed before is always seen.
func (t *tx) checkStopped(action string) error {
	if action == HangUp {
		return nil
	}
	f, err := t.currentStop()
	if err != nil || f == nil {
		return err
	}
	return &StoppedError{*f}
}

// Stop implements Ledger. A second one while one holds changes nothing but
// leaves its record.
func (s *SQLite) Stop(ctx context.Context, by Actor, note string) error {
	return s.write(ctx, func(t *tx) error {
		old, err := t.currentStop()
		if err != nil {
			return err
		}
		if old == nil {
			if _, err := t.exec("INSERT INTO stops (at, stopped_by, note, seq) VALUES (?, ?, ?, ?)", micros(t.now), by.column(), clip(note), t.head.seq+1); err != nil {
				return err
			}
		}
		revoked, err := t.exec("UPDATE approvals SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'approved') AND expires > ?", t.head.seq+1, micros(t.now))
		if err != nil {
			return err
		}
		t.forgetStop()
		return t.append(&Record{Phase: PhaseStopped, By: by, Note: note, Count: revoked})
	})
}

// Resume implements Ledger.
func (s *SQLite) Resume(ctx context.Context, by Actor) (was bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.exec("UPDATE stops SET resumed = ?, resumed_by = ? WHERE resumed IS NULL", micros(t.now), by.column())
		if err != nil || n == 0 {
			return err
		}
		was = true
		t.forgetStop()
		return t.append(&Record{Phase: PhaseResumed, By: by})
	})
	return was, err
}

// forgetStop makes this transaction look again, and this process as soon as the change is durable.
func (t *tx) forgetStop() {
	t.stopRead = false
	t.after = append(t.after, func() { t.s.cachedStop.Store(nil) })
}

// CurrentStop implements Ledger. Callers between two looks share the answer.
func (s *SQLite) CurrentStop(ctx context.Context) (*EmergencyStop, error) {
	if seen := s.cachedStop.Load(); seen != nil && time.Since(seen.readAt) < FreshFor {
		return seen.stop, nil
	}
	// The time before the look: what happens while it lasts is not in it.
	seen := &cachedStop{readAt: time.Now(), stop: new(EmergencyStop)}
	var at int64
	var by string
	found, err := s.row(ctx, stopQuery, nil, &at, &by, &seen.stop.Note)
	if err != nil {
		return nil, err
	}
	seen.stop.By = parseActor(by)
	if seen.stop.At = fromMicros(at); !found {
		seen.stop = nil
	}
	s.cachedStop.Store(seen)
	return seen.stop, nil
}
