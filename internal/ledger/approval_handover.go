package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// What an action issued and a person may take once is in a table of its own and never in the chain: the chain is for
// ever, and this must be gone when it was shown. It is sealed under a key of its own, which goes with it.

func (t *tx) handOver(in *Intent, data []byte, until time.Time) error {
	if in.ApprovalID == "" || until.IsZero() {
		return fmt.Errorf("%w: what is handed over needs the yes that it was for, and an end", errUsage)
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	_, err := t.exec("INSERT INTO handovers (approval_id, wrapped, data, expires) VALUES (?, ?, ?, ?)", in.ApprovalID,
		t.s.seal.wrap.Seal(nil, nil, key, []byte(in.ApprovalID)), gcm(key).Seal(nil, nil, data, []byte(in.ApprovalID)), micros(until))
	return err
}

// TakeHandover implements Ledger.
func (s *SQLite) TakeHandover(ctx context.Context, approval string, by Actor) (data []byte, err error) {
	err = s.write(ctx, func(t *tx) error {
		var wrapped, sealed []byte
		var expires int64
		found, err := t.row("SELECT wrapped, data, expires FROM handovers WHERE approval_id = ?", []any{approval}, &wrapped, &sealed, &expires)
		if err != nil {
			return err
		}
		if !found || micros(t.now) >= expires {
			return ErrNoHandover
		}
		if err := t.checkStopped(""); err != nil {
			return err
		}
		key, err := t.s.seal.wrap.Open(nil, nil, wrapped, []byte(approval))
		if err == nil {
			data, err = gcm(key).Open(nil, nil, sealed, []byte(approval))
		}
		if err != nil {
			return &StoreError{Corrupt, t.s.path, errors.New("what was to be handed over is not as it was written")}
		}
		if _, err := t.exec("DELETE FROM handovers WHERE approval_id = ?", approval); err != nil {
			return err
		}
		t.scrubSoon()
		return t.append(&Record{Phase: PhaseTaken, ApprovalID: approval, By: by})
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// HandoverExpires implements Ledger.
func (s *SQLite) HandoverExpires(ctx context.Context, approval string) (until time.Time, err error) {
	var expires int64
	found, err := s.row(ctx, "SELECT expires FROM handovers WHERE approval_id = ?", []any{approval}, &expires)
	if err != nil || !found || micros(s.now()) >= expires {
		return time.Time{}, err
	}
	return fromMicros(expires), nil
}

// expire removes logins and what was to be handed over, where their time is over.
func (s *SQLite) expire(ctx context.Context) error {
	now := micros(s.now())
	var over int
	if _, err := s.row(ctx, "SELECT (SELECT count(*) FROM logins WHERE expires <= ?1) + (SELECT count(*) FROM handovers WHERE expires <= ?1)", []any{now}, &over); err != nil || over == 0 {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec("DELETE FROM logins WHERE expires <= ?", now); err != nil {
			return err
		}
		n, err := t.exec("DELETE FROM handovers WHERE expires <= ?", now)
		if n > 0 {
			t.scrubSoon()
		}
		return err
	})
}
