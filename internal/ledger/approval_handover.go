package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// A credential that an action issued is stored in a table of its own, not in the audit log: the log
// is permanent, and the credential must be gone once it was shown. Its key is deleted with it.

func (t *tx) storeHandover(in *Intent, data []byte, until time.Time) error {
	if in.ApprovalID == "" || until.IsZero() {
		return fmt.Errorf("%w: a handover needs an approval and an expiry", errUsage)
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
		var requester, action string
		found, err := t.row(`SELECT h.wrapped, h.data, h.expires, a.requester, a.action FROM handovers h JOIN approvals a ON a.id = h.approval_id
			WHERE h.approval_id = ?`, []any{approval}, &wrapped, &sealed, &expires, &requester, &action)
		if err != nil {
			return err
		}
		if !found || micros(t.now) >= expires {
			return ErrNoHandover
		}
		if err := t.checkStopped(parseActor(requester), action, effectOf(action), false); err != nil {
			return err
		}
		key, err := t.s.seal.wrap.Open(nil, nil, wrapped, []byte(approval))
		if err == nil {
			data, err = gcm(key).Open(nil, nil, sealed, []byte(approval))
		}
		if err != nil {
			return &StoreError{Corrupt, t.s.path, errors.New("a handover was changed after it was written")}
		}
		if _, err := t.exec("DELETE FROM handovers WHERE approval_id = ?", approval); err != nil {
			return err
		}
		t.scrubAfterCommit()
		return t.append(&Record{Phase: PhaseTaken, ApprovalID: approval, By: by})
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// HandoverExpires implements Ledger.
func (s *SQLite) HandoverExpires(ctx context.Context, approval string) (time.Time, error) {
	var expires int64
	found, err := s.row(ctx, "SELECT expires FROM handovers WHERE approval_id = ?", []any{approval}, &expires)
	if err != nil || !found || micros(s.now()) >= expires {
		return time.Time{}, err
	}
	return fromMicros(expires), nil
}

// deleteExpired deletes expired logins and handovers.
func (s *SQLite) deleteExpired(ctx context.Context) error {
	now := micros(s.now())
	var expired int
	const query = `SELECT (SELECT count(*) FROM logins WHERE expires <= ?1) +
		(SELECT count(*) FROM handovers WHERE expires <= ?1)`
	if _, err := s.row(ctx, query, []any{now}, &expired); err != nil || expired == 0 {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec("DELETE FROM logins WHERE expires <= ?", now); err != nil {
			return err
		}
		n, err := t.exec("DELETE FROM handovers WHERE expires <= ?", now)
		if n > 0 {
			t.scrubAfterCommit()
		}
		return err
	})
}
