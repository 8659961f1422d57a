package ledger

import (
	"context"
	"fmt"
	"strings"
)

// Erase implements Ledger.
func (s *SQLite) Erase(ctx context.Context, subject string, by Actor) (existed bool, err error) {
	if subject == noSubject {
		return false, fmt.Errorf("%w: no subject was named", errUsage)
	}
	err = s.write(ctx, func(t *tx) error {
		ids, err := t.destroyKeys([]string{subject})
		if existed = len(ids) > 0; err != nil || !existed {
			return err
		}
		return t.append(&Record{Phase: PhaseErased, Subjects: ids, By: by})
	})
	if err == nil && existed {
		s.scrub(ctx)
	}
	return existed, err
}

// destroyKeys destroys the keys of the subjects and returns their ids. The caller appends the
// record.
func (t *tx) destroyKeys(subjects []string) (ids []string, err error) {
	for _, subject := range subjects {
		if subject == noSubject {
			continue
		}
		before := len(ids)
		err := t.rows("SELECT id FROM keys WHERE tag = ?", []any{mac(t.s.seal.tag, subject)}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, id := range ids[before:] {
			if _, err := t.exec("UPDATE keys SET tag = NULL, wrapped = NULL, name = NULL, erased = ? WHERE id = ?", micros(t.now), id); err != nil {
				return nil, err
			}
		}
		delete(t.keys, subject)
	}
	return ids, nil
}

// scrub empties the write-ahead log, which still holds the pages with a destroyed key. If a reader
// prevents that, the last process to close the ledger does it.
func (s *SQLite) scrub(ctx context.Context) {
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		s.log.Warn("a destroyed key stays in the ledger's write-ahead log until all processes have closed it", "cause", err)
	}
}

// scrubAfterCommit lets the upkeep scrub once the transaction is durable, so that the caller does
// not wait.
func (t *tx) scrubAfterCommit() {
	t.afterCommit = append(t.afterCommit, func() {
		select {
		case t.s.scrubRequests <- struct{}{}:
		default: // it is requested already
		}
	})
}

// adoptSubject moves the provisional keys of a settled call, and of its approval request, to the
// created subject, so that erasing the subject destroys them too. Names are sealed, so no record
// changes.
func (t *tx) adoptSubject(in *Intent, subject string) error {
	ids := strings.Split(in.keys, ",")[:1]
	if in.ApprovalID != "" {
		var line []byte
		found, err := t.row("SELECT body FROM records WHERE seq = (SELECT seq FROM approvals WHERE id = ?)", []any{in.ApprovalID}, &line)
		if err != nil {
			return err
		}
		if found {
			// Verify reports a line that cannot be read; the call has run.
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
		// A destroyed key has no name. A key that is not provisional belongs to another subject.
		name := ring.names[id]
		if k == nil || !strings.HasPrefix(name, Provisional) {
			continue
		}
		if _, err := t.exec("UPDATE keys SET tag = ?, name = ? WHERE id = ?", mac(t.s.seal.tag, subject), sealName(k.key, id, subject), id); err != nil {
			return err
		}
		delete(t.keys, name)
	}
	return nil
}
