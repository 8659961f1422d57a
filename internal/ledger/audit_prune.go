package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

const (
	// pruneEvery is the least time between two prunings, of all processes.
	pruneEvery = time.Hour
	// pruneBatch bounds a transaction, so that calls do not wait for the whole pruning.
	pruneBatch = 1000
)

// errOldestChanged is returned if the oldest records were changed: removing them would remove the
// evidence.
var errOldestChanged = newRejection("the oldest records were changed, so they are kept: run `sippet-mcp audit verify`")

// runPruning removes records older than the retention, at once and then every hour, until the
// ledger closes.
func (s *SQLite) runPruning() {
	defer close(s.pruneDone)
	if s.o.Retention <= 0 {
		return
	}
	every := time.NewTicker(pruneEvery)
	defer every.Stop()
	for {
		if err := s.prune(context.Background()); err != nil {
			s.log.Warn("failed to remove old records of the ledger", "cause", err)
		}
		select {
		case <-every.C:
		case <-s.closing:
			return
		}
	}
}

func (s *SQLite) prune(ctx context.Context) error {
	now := s.now()
	var last string
	if _, err := s.row(ctx, "SELECT value FROM meta WHERE name = 'pruned'", nil, &last); err != nil {
		return err
	}
	// Another process may have pruned. A clock that was set back must not prevent it for long.
	if at, err := time.Parse(time.RFC3339, last); err == nil && now.Sub(at).Abs() < pruneEvery {
		return nil
	}
	removed := int64(0)
	for {
		select {
		case <-s.closing:
			return nil
		default:
		}
		var n int64
		err := s.write(ctx, func(t *tx) (err error) {
			n, err = t.prune(now.Add(-s.o.Retention))
			return err
		})
		if err != nil {
			return err
		}
		if removed += n; n == 0 {
			break
		}
	}
	if removed == 0 {
		return nil
	}
	return s.deleteUnnamedKeys(ctx, now)
}

// prune removes a batch of records older than before, with the rows that they describe. It returns
// their number; 0 if there are none.
func (t *tx) prune(before time.Time) (int64, error) {
	var value string
	if _, err := t.row(anchorQuery, nil, &value); err != nil {
		return 0, err
	}
	at, ok := t.s.openAnchor(value)
	if !ok {
		return 0, errOldestChanged
	}
	old, err := t.oldestRecords(at, before)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	last, err := t.lastRemovable(old[len(old)-1].seq)
	if err != nil {
		return 0, err
	}
	n := last - at.seq
	if n <= 0 {
		return 0, nil
	}
	old = old[:n]
	onlyPruned := true
	for _, r := range old {
		onlyPruned = onlyPruned && r.phase == PhasePruned
	}
	if onlyPruned {
		return 0, nil // else an idle ledger would append a record of every pruning for ever
	}
	for _, query := range []string{"DELETE FROM records WHERE seq <= ?", "DELETE FROM intents WHERE seq <= ?",
		"DELETE FROM approvals WHERE seq <= ?", "DELETE FROM lifts WHERE seq <= ?", "DELETE FROM stops WHERE seq <= ?",
		"DELETE FROM tokens WHERE revoked_seq > 0 AND revoked_seq <= ?"} {
		if _, err := t.exec(query, last); err != nil {
			return 0, err
		}
	}
	carried, err := t.pruneBudgets(last, before)
	if err != nil {
		return 0, err
	}
	for _, r := range old {
		// All records that name a destroyed key precede the record of its destruction.
		for _, id := range r.erased {
			if _, err := t.exec("DELETE FROM keys WHERE id = ? AND erased IS NOT NULL", id); err != nil {
				return 0, err
			}
		}
	}
	anchor := head{last, old[n-1].hash}
	if _, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('anchor', ?)", t.s.seal.anchor(anchor)); err != nil {
		return 0, err
	}
	if err := t.append(&Record{Phase: PhasePruned, Budgets: carried, Count: n, Upto: anchor.seq, Hash: hex.EncodeToString(anchor.hash[:])}); err != nil {
		return 0, err
	}
	// The earlier checkpoints may all cover removed records.
	return n, t.checkpoint()
}

// pruneBudgets deletes the budgets that only removed records describe. Budgets that were not full
// by then are kept and returned: the record of the pruning describes them from now on. That a
// budget is full now is not enough, because a clock that is set back would find it full again.
func (t *tx) pruneBudgets(last int64, before time.Time) (carried []Balance, err error) {
	if _, err := t.exec("DELETE FROM budgets WHERE seq <= ? AND full <= ?", last, before.UnixNano()); err != nil {
		return nil, err
	}
	if _, err := t.exec("DELETE FROM debits WHERE seq <= ?", last); err != nil {
		return nil, err
	}
	err = t.rows("SELECT budget, key, full, refilled FROM budgets WHERE seq <= ? ORDER BY budget, key", []any{last}, func(scan func(...any) error) error {
		var b Balance
		err := scan(&b.Budget, &b.Key, &b.Full, &b.Refilled)
		carried = append(carried, b)
		return err
	})
	if err != nil || len(carried) == 0 {
		return nil, err
	}
	_, err = t.exec("UPDATE budgets SET seq = ? WHERE seq <= ?", t.head.seq+1, last)
	return carried, err
}

// oldRecord is what prune needs from a record.
type oldRecord struct {
	head
	phase  Phase
	erased []string
}

// oldestRecords reads a batch of records older than before. It returns errOldestChanged if they do
// not follow each other.
func (t *tx) oldestRecords(at head, before time.Time) (old []oldRecord, err error) {
	recent := false
	err = t.rows("SELECT seq, body FROM records ORDER BY seq LIMIT ?", []any{pruneBatch}, func(scan func(...any) error) error {
		var seq int64
		var line []byte
		if err := scan(&seq, &line); err != nil || recent {
			return err
		}
		r, err := decodeRecord(line)
		if err != nil || seq != at.seq+1 || r.Seq != seq || r.Prev != hex.EncodeToString(at.hash[:]) {
			return errOldestChanged
		}
		if recent = !r.Time.Before(before); recent {
			return nil
		}
		at = head{seq, sha256.Sum256(line)}
		o := oldRecord{head: at, phase: r.Phase}
		if r.Phase == PhaseErased {
			o.erased = r.Subjects
		}
		old = append(old, o)
		return nil
	})
	return old, err
}

// firstNeededQuery finds the first record that must be kept: of an intent in flight or unknown, and
// its approval request; of a success that still conflicts with its payload; of a request that is
// open, or has later records that are kept; and of the emergency stop in force. A read with an
// unknown outcome is not kept.
const firstNeededQuery = `SELECT coalesce(min(seq), ?2 + 1) FROM (
	SELECT min(seq) AS seq FROM intents WHERE state IN ('prepared', 'sent')
	UNION ALL SELECT min(seq) FROM intents WHERE state = 'unknown' AND class <> 'read'
	UNION ALL SELECT min(g.seq) FROM intents i JOIN approvals g ON g.id = i.approval_id WHERE i.state IN ('prepared', 'sent')
	UNION ALL SELECT min(g.seq) FROM intents i JOIN approvals g ON g.id = i.approval_id WHERE i.state = 'unknown' AND i.class <> 'read'
	UNION ALL SELECT min(seq) FROM intents WHERE seq <= ?2 AND state = 'succeeded' AND settled > ?3
	UNION ALL SELECT min(seq) FROM approvals WHERE state IN ('pending', 'approved') AND expires > ?1
	UNION ALL SELECT min(seq) FROM approvals WHERE seq <= ?2 AND last_seq > ?2
	UNION ALL SELECT min(seq) FROM stops WHERE resumed IS NULL)`

// lastRemovable returns the last record up to last that can be removed.
func (t *tx) lastRemovable(last int64) (int64, error) {
	for {
		first := last + 1
		if _, err := t.row(firstNeededQuery, []any{micros(t.now), last, micros(t.now.Add(-t.s.o.Window))}, &first); err != nil {
			return 0, err
		}
		if first > last {
			return last, nil
		}
		last = first - 1 // this may separate another request from its answer
	}
}

// deleteUnnamedKeys deletes the keys that no record names. It reads the whole log, nearly all of it
// before its transaction.
func (s *SQLite) deleteUnnamedKeys(ctx context.Context, now time.Time) error {
	named, lastRead := map[string]bool{}, int64(0)
	each := func(scan func(...any) error) error {
		var line string
		if err := scan(&lastRead, &line); err != nil {
			return err
		}
		eachKey(line, func(id string) { named[id] = true })
		return nil
	}
	const query = "SELECT seq, body FROM records WHERE seq > ? ORDER BY seq"
	if err := s.rows(ctx, query, []any{0}, each); err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if err := t.rows(query, []any{lastRead}, each); err != nil {
			return err
		}
		var unnamed []string
		err := t.rows("SELECT id FROM keys WHERE erased IS NULL", nil, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			if !named[id] {
				unnamed = append(unnamed, id)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range unnamed {
			if _, err := t.exec("DELETE FROM keys WHERE id = ?", id); err != nil {
				return err
			}
		}
		clear(t.keys)
		t.scrubAfterCommit()
		_, err = t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('pruned', ?)", now.UTC().Format(time.RFC3339))
		return err
	})
}

// The anchor is where the log begins after a pruning: number and hash of the last removed record.
// It is stored in meta with a code that only the master key can make, and the last record of
// PhasePruned says the same. So nobody else can remove records from the start.

const anchorQuery = "SELECT value FROM meta WHERE name = 'anchor'"

func (s *sealer) anchor(h head) string {
	return fmt.Sprintf("%d %x %x", h.seq, h.hash, mac(s.head, fmt.Sprintf("anchor %d %x", h.seq, h.hash)))
}

// openAnchor reads what anchor wrote, and reports whether the code is right. An empty value is the
// start of a complete log.
func (s *SQLite) openAnchor(value string) (h head, ok bool) {
	if value == "" {
		return head{0, genesis(s.id)}, true
	}
	var hash string
	fmt.Sscanf(value, "%d %s", &h.seq, &hash)
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != len(h.hash) {
		return head{0, genesis(s.id)}, false
	}
	copy(h.hash[:], raw)
	return h, s.seal.anchor(h) == value
}

// eachKey calls f with the ids of the keys that a record's line names. A quote inside a JSON string
// is escaped, so the lists cannot be found elsewhere. This costs a small part of decoding the line.
func eachKey(line string, f func(id string)) {
	for _, list := range []string{`"subjects":["`, `"keys":["`} {
		if _, rest, ok := strings.Cut(line, list); ok {
			if ids, _, ok := strings.Cut(rest, `"]`); ok {
				for id := range strings.SplitSeq(ids, `","`) {
					f(id)
				}
			}
		}
	}
}
