package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"
)

const (
	// pruneEvery is how often old records are removed, at most, over all processes.
	pruneEvery = time.Hour
	// pruneBatch bounds a transaction of it, so that calls do not wait for the whole.
	pruneBatch = 1000
)

// errChain is wrapped where the start of the chain is not as it was written: to remove it would remove the evidence.
var errChain = newRejection("the oldest records are not as they were written, so they are kept: verify says what is wrong")

// runPruning removes what is older than the retention, at once and then every hour, until the ledger closes.
func (s *SQLite) runPruning() {
	defer close(s.pruned)
	if s.o.Retention <= 0 {
		return
	}
	every := time.NewTicker(pruneEvery)
	defer every.Stop()
	for {
		if err := s.prune(context.Background()); err != nil {
			s.log.Warn("old records of the ledger were not removed", "cause", err)
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
	// Another process may have done it; a clock that was set back does not stop it for long.
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
	return s.forgetKeys(ctx, now)
}

// prune removes a batch of records that are older than before, with the rows of what they tell of, and gives their
// number; 0 where none is left to remove.
func (t *tx) prune(before time.Time) (int64, error) {
	var value string
	if _, err := t.row(anchorQuery, nil, &value); err != nil {
		return 0, err
	}
	at, ok := t.s.openAnchor(value)
	if !ok {
		return 0, errChain
	}
	old, err := t.oldest(at, before)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	last, err := t.removable(old[len(old)-1].seq)
	if err != nil {
		return 0, err
	}
	n := last - at.seq
	if n <= 0 {
		return 0, nil
	}
	old = old[:n]
	only := true
	for _, r := range old {
		only = only && r.phase == PhasePruned
	}
	if only {
		return 0, nil // else an idle ledger would write for ever that it removed that
	}
	for _, query := range []string{"DELETE FROM records WHERE seq <= ?", "DELETE FROM intents WHERE seq <= ?",
		"DELETE FROM approvals WHERE seq <= ?", "DELETE FROM stops WHERE seq <= ?",
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
		// All that named a destroyed key came before the record of its end.
		for _, id := range r.erased {
			if _, err := t.exec("DELETE FROM keys WHERE id = ? AND erased IS NOT NULL", id); err != nil {
				return 0, err
			}
		}
	}
	to := head{last, old[n-1].hash}
	if _, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('anchor', ?)", t.s.seal.anchor(to)); err != nil {
		return 0, err
	}
	if err := t.append(&Record{Phase: PhasePruned, Budgets: carried, Count: n, Upto: to.seq, Hash: hex.EncodeToString(to.hash[:])}); err != nil {
		return 0, err
	}
	// The checkpoints so far may all be about what is gone.
	return n, t.checkpoint()
}

// pruneBudgets forgets the budgets of which only removed records tell. Those that were not full again by then stay as
// they are: they are given, for the record of the pruning tells of them from now on. It is not enough that one is full
// now, because a clock that is set back would find it full again.
func (t *tx) pruneBudgets(last int64, before time.Time) (carried []Balance, err error) {
	if _, err := t.exec("DELETE FROM budgets WHERE seq <= ? AND full <= ?", last, before.UnixNano()); err != nil {
		return nil, err
	}
	if _, err := t.exec("DELETE FROM debits WHERE seq <= ?", last); err != nil {
		return nil, err
	}
	err = t.rows("SELECT budget, key, full FROM budgets WHERE seq <= ? ORDER BY budget, key", []any{last}, func(scan func(...any) error) error {
		var b Balance
		err := scan(&b.Budget, &b.Key, &b.Full)
		carried = append(carried, b)
		return err
	})
	if err != nil || len(carried) == 0 {
		return nil, err
	}
	_, err = t.exec("UPDATE budgets SET seq = ? WHERE seq <= ?", t.head.seq+1, last)
	return carried, err
}

// oldRecord is what prune needs of a record.
type oldRecord struct {
	head
	phase  Phase
	erased []string
}

// oldest reads a batch of records older than before. Those that do not follow each other are not removed.
func (t *tx) oldest(at head, before time.Time) (old []oldRecord, err error) {
	young := false
	err = t.rows("SELECT seq, body FROM records ORDER BY seq LIMIT ?", []any{pruneBatch}, func(scan func(...any) error) error {
		var seq int64
		var line []byte
		if err := scan(&seq, &line); err != nil || young {
			return err
		}
		r, err := decodeRecord(line)
		if err != nil || seq != at.seq+1 || r.Seq != seq || r.Prev != hex.EncodeToString(at.hash[:]) {
			return errChain
		}
		if young = !r.Time.Before(before); young {
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

// needed are the first records of what is not over: an intent that is in flight, or of which nobody knows how it
// ended, and the question before it; a success that still answers for its payload; a question or an answer that is
// open; a question whose later records stay; the freeze that holds. A read of which nobody knows how it ended does no harm.
const needed = `SELECT coalesce(min(seq), ?2 + 1) FROM (
	SELECT min(seq) AS seq FROM intents WHERE state IN ('prepared', 'sent')
	UNION ALL SELECT min(seq) FROM intents WHERE state = 'unknown' AND class <> 'read'
	UNION ALL SELECT min(g.seq) FROM intents i JOIN approvals g ON g.id = i.approval_id WHERE i.state IN ('prepared', 'sent')
	UNION ALL SELECT min(g.seq) FROM intents i JOIN approvals g ON g.id = i.approval_id WHERE i.state = 'unknown' AND i.class <> 'read'
	UNION ALL SELECT min(seq) FROM intents WHERE seq <= ?2 AND state = 'succeeded' AND settled > ?3
	UNION ALL SELECT min(seq) FROM approvals WHERE state IN ('pending', 'approved') AND expires > ?1
	UNION ALL SELECT min(seq) FROM approvals WHERE seq <= ?2 AND last_seq > ?2
	UNION ALL SELECT min(seq) FROM stops WHERE resumed IS NULL)`

// removable gives the last record up to last that can go.
func (t *tx) removable(last int64) (int64, error) {
	for {
		first := last + 1
		if _, err := t.row(needed, []any{micros(t.now), last, micros(t.now.Add(-t.s.o.Window))}, &first); err != nil {
			return 0, err
		}
		if first > last {
			return last, nil
		}
		last = first - 1 // which may part another question from its answer
	}
}

// forgetKeys destroys the keys that no record names any more. It reads the whole chain, nearly all of it outside of the
// transaction that changes something.
func (s *SQLite) forgetKeys(ctx context.Context, now time.Time) error {
	named, seen := map[string]bool{}, int64(0)
	each := func(scan func(...any) error) error {
		var line string
		if err := scan(&seen, &line); err != nil {
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
		if err := t.rows(query, []any{seen}, each); err != nil {
			return err
		}
		var gone []string
		err := t.rows("SELECT id FROM keys WHERE erased IS NULL", nil, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			if !named[id] {
				gone = append(gone, id)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range gone {
			if _, err := t.exec("DELETE FROM keys WHERE id = ?", id); err != nil {
				return err
			}
		}
		clear(t.keys)
		t.scrubSoon()
		_, err = t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('pruned', ?)", now.UTC().Format(time.RFC3339))
		return err
	})
}

// anchored reads where the chain begins, and whether the master key says so.
func (v *verifier) anchored(ctx context.Context, conn *sql.Conn) error {
	var value string
	err := conn.QueryRowContext(ctx, anchorQuery).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	at, ok := v.s.openAnchor(value)
	if !ok {
		v.find(WrongGap, at.seq, "", "where the chain begins was changed: records up to %d are gone, and not by the ledger", at.seq)
	}
	v.anchor, v.head = at, at
	v.report.Pruned = at.seq
	v.covered(at)
	for seq, all := range v.signed {
		if seq < at.seq {
			v.report.Unchecked += len(all)
		}
	}
	return nil
}

// begins holds the anchor against the last record that tells of one.
func (v *verifier) begins() {
	if v.pruned != nil && (v.pruned.Upto != v.anchor.seq || v.pruned.Hash != hex.EncodeToString(v.anchor.hash[:])) {
		v.find(WrongGap, v.pruned.Seq, "", "record %d tells that records up to %d were removed, but the chain begins after %d", v.pruned.Seq, v.pruned.Upto, v.anchor.seq)
	}
	if v.pruned == nil && v.anchor.seq > 0 {
		v.find(WrongGap, v.anchor.seq, "", "records up to %d are gone, and no record tells of it", v.anchor.seq)
	}
}

// begun tells of a record whether what it is about began before the chain does now. An intent's id begins with the
// number of its record.
func (v *verifier) begun(intent string) bool {
	seq := idArgs(intent)[0].(int64)
	return seq > 0 && seq <= v.anchor.seq
}
