package ledger

import (
	"context"
	"fmt"
	"strings"
)

// Erase implements Ledger.
func (s *SQLite) Erase(ctx context.Context, subject string, by Actor) (was bool, err error) {
	if subject == allRows {
		return false, fmt.Errorf("%w: no subject was named", errUsage)
	}
	err = s.write(ctx, func(t *tx) error {
		ids, err := t.destroy([]string{subject})
		if was = len(ids) > 0; err != nil || !was {
			return err
		}
		return t.append(&Record{Phase: PhaseErased, Subjects: ids, By: by})
	})
	if err == nil && was {
		s.scrub(ctx)
	}
	return was, err
}

// destroy empties the keys of the subjects and gives their ids. Whoever calls it appends the record that tells of them.
func (t *tx) destroy(subjects []string) (ids []string, err error) {
	for _, subject := range subjects {
		if subject == allRows {
			continue
		}
		had := len(ids)
		err := t.rows("SELECT id FROM keys WHERE tag = ?", []any{mac(t.s.seal.tag, subject)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, id := range ids[had:] {
			if _, err := t.exec("UPDATE keys SET tag = NULL, wrapped = NULL, name = NULL, erased = ? WHERE id = ?", micros(t.now), id); err != nil {
				return nil, err
			}
		}
		delete(t.keys, subject)
	}
	return ids, nil
}

// scrub empties the write-ahead log, which still holds the pages as they were before a key was destroyed.
// Where a reader keeps it from being emptied now, the last one to close does so.
func (s *SQLite) scrub(ctx context.Context) {
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		s.log.Warn("the key is destroyed, but its bytes stay in the ledger's write-ahead log until all have closed it", "cause", err)
	}
}

// scrubSoon leaves scrub to the upkeep, once the transaction is durable: whoever erases in passing does not wait for it.
func (t *tx) scrubSoon() {
	t.after = append(t.after, func() {
		select {
		case t.s.dirty <- struct{}{}:
		default: // it is to be done already
		}
	})
}

// adoptSubject gives a settled call's provisional key to the subject that was created, and that of the question before it,
// so that erasing the subject destroys them too. The names are sealed, so the chain is not concerned.
func (t *tx) adoptSubject(in *Intent, subject string) error {
	ids := strings.Split(in.keys, ",")[:1]
	if in.ApprovalID != "" {
		var line []byte
		found, err := t.row("SELECT body FROM records WHERE seq = (SELECT seq FROM approvals WHERE id = ?)", []any{in.ApprovalID}, &line)
		if err != nil {
			return err
		}
		if found {
			// A line that cannot be read is Verify's to find; the call has happened.
			if r, err := decodeRecord(line); err == nil && r.Sealed != nil {
				ids = append(ids, r.Sealed.Keys...)
			}
		}
	}
	ring := &keyring{s: t.s, rows: t.rows}
	for _, id := range ids {
		k, err := ring.get(id)
		if err != nil {
			return err
		}
		// A destroyed one has no name, and one that is not provisional is somebody's: it must not become another's.
		was := ring.names[id]
		if k == nil || !strings.HasPrefix(was, Provisional) {
			continue
		}
		if _, err := t.exec("UPDATE keys SET tag = ?, name = ? WHERE id = ?", mac(t.s.seal.tag, subject), sealName(k.key, id, subject), id); err != nil {
			return err
		}
		delete(t.keys, was)
	}
	return nil
}
