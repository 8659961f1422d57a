package ledger

import (
	"context"
	"time"
)

// EmergencyStop is an emergency stop in force.
type EmergencyStop struct {
	At   time.Time
	By   Actor
	Note string
}

// cachedStop is the last read of the emergency stop; stop is nil if there was none.
type cachedStop struct {
	readAt time.Time // the machine's clock, not the ledger's: it measures age
	stop   *EmergencyStop
}

const stopQuery = "SELECT at, stopped_by, note FROM stops WHERE resumed IS NULL ORDER BY id LIMIT 1"

// currentStop reads the stop once a transaction: only a change in the transaction can end it.
func (t *tx) currentStop() (*EmergencyStop, error) {
	if t.stopRead {
		return t.stop, nil
	}
	var at int64
	var by string
	stop := new(EmergencyStop)
	found, err := t.row(stopQuery, nil, &at, &by, &stop.Note)
	if err != nil {
		return nil, err
	}
	stop.By = parseActor(by)
	if stop.At = fromMicros(at); !found {
		stop = nil
	}
	t.stopRead, t.stop = true, stop
	return stop, nil
}

// checkStopped rejects an action during an emergency stop, unless it is safe. It reads in the
// transaction, so it never misses a stop that was committed before.
func (t *tx) checkStopped(action string, safe bool) error {
	if safe || action == HangUp {
		return nil
	}
	stop, err := t.currentStop()
	if err != nil || stop == nil {
		return err
	}
	return &StoppedError{*stop}
}

// Stop implements Ledger. During a stop it only adds a record.
func (s *SQLite) Stop(ctx context.Context, by Actor, note string) error {
	return s.writeWith(ctx, noReserve, func(t *tx) error {
		current, err := t.currentStop()
		if err != nil {
			return err
		}
		if current == nil {
			if _, err := t.exec("INSERT INTO stops (at, stopped_by, note, seq) VALUES (?, ?, ?, ?)", micros(t.now), by.column(), clip(note), t.head.seq+1); err != nil {
				return err
			}
		}
		revoked, err := t.exec("UPDATE approvals SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'approved') AND expires > ?", t.head.seq+1, micros(t.now))
		if err != nil {
			return err
		}
		t.invalidateStop()
		return t.append(&Record{Phase: PhaseStopped, By: by, Note: note, Count: revoked})
	})
}

// Resume implements Ledger.
func (s *SQLite) Resume(ctx context.Context, by Actor) (stopped bool, err error) {
	err = s.writeWith(ctx, noReserve, func(t *tx) error {
		n, err := t.exec("UPDATE stops SET resumed = ?, resumed_by = ? WHERE resumed IS NULL", micros(t.now), by.column())
		if err != nil || n == 0 {
			return err
		}
		stopped = true
		t.invalidateStop()
		return t.append(&Record{Phase: PhaseResumed, By: by})
	})
	return stopped, err
}

// invalidateStop makes this transaction read the stop again, and this process once the change is
// durable.
func (t *tx) invalidateStop() {
	t.stopRead = false
	t.afterCommit = append(t.afterCommit, func() { t.s.cachedStop.Store(nil) })
}

// CurrentStop implements Ledger. Calls within FreshFor share the result.
func (s *SQLite) CurrentStop(ctx context.Context) (*EmergencyStop, error) {
	if cached := s.cachedStop.Load(); cached != nil && time.Since(cached.readAt) < FreshFor {
		return cached.stop, nil
	}
	// Take the time before the read: the result may be older than its end.
	cached := &cachedStop{readAt: time.Now(), stop: new(EmergencyStop)}
	var at int64
	var by string
	found, err := s.row(ctx, stopQuery, nil, &at, &by, &cached.stop.Note)
	if err != nil {
		return nil, err
	}
	cached.stop.By = parseActor(by)
	if cached.stop.At = fromMicros(at); !found {
		cached.stop = nil
	}
	s.cachedStop.Store(cached)
	return cached.stop, nil
}
