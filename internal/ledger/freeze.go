package ledger

import (
	"context"
	"time"
)

// Frozen is a freeze that holds: a person stopped the program.
type Frozen struct {
	At       time.Time
	By, Note string
}

// seenFreeze is the last look at the freeze, nil where there was none.
type seenFreeze struct {
	at     time.Time // the machine's clock, not the ledger's: it measures age
	frozen *Frozen
}

const frozenQuery = "SELECT at, who, note FROM freezes WHERE resumed IS NULL ORDER BY id LIMIT 1"

// frozen looks once a transaction: only a change in it could give another answer.
func (t *tx) frozen() (*Frozen, error) {
	if t.lookedFrozen {
		return t.isFrozen, nil
	}
	var at int64
	f := new(Frozen)
	found, err := t.row(frozenQuery, nil, &at, &f.By, &f.Note)
	if err != nil {
		return nil, err
	}
	if f.At = fromMicros(at); !found {
		f = nil
	}
	t.lookedFrozen, t.isFrozen = true, f
	return f, nil
}

// checkFrozen refuses what a freeze stops. It looks in the transaction, so a
// freeze that was committed before is always seen.
func (t *tx) checkFrozen(action string) error {
	if action == HangUp {
		return nil
	}
	f, err := t.frozen()
	if err != nil || f == nil {
		return err
	}
	return &FrozenError{*f}
}

// Freeze implements Ledger. A second one while one holds changes nothing but
// leaves its record.
func (s *SQLite) Freeze(ctx context.Context, by, note string) error {
	return s.write(ctx, func(t *tx) error {
		old, err := t.frozen()
		if err != nil {
			return err
		}
		if old == nil {
			if _, err := t.exec("INSERT INTO freezes (at, who, note, seq) VALUES (?, ?, ?, ?)", micros(t.now), clip(by), clip(note), t.head.seq+1); err != nil {
				return err
			}
		}
		void, err := t.exec("UPDATE grants SET state = 'revoked', last_seq = ? WHERE state IN ('pending', 'granted') AND expires > ?", t.head.seq+1, micros(t.now))
		if err != nil {
			return err
		}
		t.forgetFreeze()
		return t.append(&Record{Phase: PhaseFrozen, By: by, Note: note, Count: void})
	})
}

// Resume implements Ledger.
func (s *SQLite) Resume(ctx context.Context, by string) (was bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.exec("UPDATE freezes SET resumed = ?, resumer = ? WHERE resumed IS NULL", micros(t.now), clip(by))
		if err != nil || n == 0 {
			return err
		}
		was = true
		t.forgetFreeze()
		return t.append(&Record{Phase: PhaseResumed, By: by})
	})
	return was, err
}

// forgetFreeze makes this transaction look again, and this process as soon as the change is durable.
func (t *tx) forgetFreeze() {
	t.lookedFrozen = false
	t.after = append(t.after, func() { t.s.frozen.Store(nil) })
}

// Frozen implements Ledger. Callers between two looks share the answer.
func (s *SQLite) Frozen(ctx context.Context) (*Frozen, error) {
	if seen := s.frozen.Load(); seen != nil && time.Since(seen.at) < FreshFor {
		return seen.frozen, nil
	}
	// The time before the look: what happens while it lasts is not in it.
	seen := &seenFreeze{at: time.Now(), frozen: new(Frozen)}
	var at int64
	found, err := s.row(ctx, frozenQuery, nil, &at, &seen.frozen.By, &seen.frozen.Note)
	if err != nil {
		return nil, err
	}
	if seen.frozen.At = fromMicros(at); !found {
		seen.frozen = nil
	}
	s.frozen.Store(seen)
	return seen.frozen, nil
}
