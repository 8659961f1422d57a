package ledger

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
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
	if len(ids) == 0 {
		return nil, nil
	}
	return ids, t.rememberErased(subjects)
}

// erasedFor is how long an erased subject is remembered, by a code that only the master key can
// make. An event that was recorded before is written by then.
const erasedFor = time.Minute

// rememberErased remembers the subjects for events that were recorded before and are written after.
func (t *tx) rememberErased(subjects []string) error {
	all, err := t.lastErased()
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		all[t.s.seal.tagText(subject)] = micros(t.now)
	}
	value, err := json.Marshal(all)
	if err == nil {
		_, err = t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('erased', ?)", string(value))
	}
	return err
}

// lastErased returns when subjects were erased in the last minute, by tagText. It forgets them if
// there is none.
func (t *tx) lastErased() (map[string]int64, error) {
	var value string
	found, err := t.row("SELECT value FROM meta WHERE name = 'erased'", nil, &value)
	if err != nil || !found {
		return map[string]int64{}, err
	}
	var all map[string]int64
	if json.Unmarshal([]byte(value), &all) != nil || all == nil {
		all = map[string]int64{} // somebody changed it by hand
	}
	oldest := micros(t.now.Add(-erasedFor))
	maps.DeleteFunc(all, func(_ string, at int64) bool { return at < oldest })
	if len(all) == 0 {
		_, err = t.exec("DELETE FROM meta WHERE name = 'erased'")
	}
	return all, err
}

func (s *sealer) tagText(subject string) string { return hex.EncodeToString(mac(s.tag, subject)) }

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
