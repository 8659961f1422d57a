package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
)

// readAnchor reads where the log begins and checks the anchor's code.
func (v *verifier) readAnchor(ctx context.Context, conn *sql.Conn) error {
	var value string
	err := conn.QueryRowContext(ctx, anchorQuery).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	at, ok := v.s.openAnchor(value)
	if !ok {
		v.add(WrongGap, at.seq, "", "the start of the audit log was changed: records up to %d were removed, but not by the retention", at.seq)
	}
	v.anchor, v.head = at, at
	v.report.Pruned = at.seq
	v.checkCheckpoints(at)
	for seq, all := range v.signed {
		if seq < at.seq {
			v.report.Unchecked += len(all)
		}
	}
	return nil
}

// checkAnchor compares the anchor with the last record of a pruning.
func (v *verifier) checkAnchor() {
	if v.pruned != nil && (v.pruned.Upto != v.anchor.seq || v.pruned.Hash != hex.EncodeToString(v.anchor.hash[:])) {
		v.add(WrongGap, v.pruned.Seq, "", "record %d says that records up to %d were removed, but the log begins after %d", v.pruned.Seq, v.pruned.Upto, v.anchor.seq)
	}
	if v.pruned == nil && v.anchor.seq > 0 {
		v.add(WrongGap, v.anchor.seq, "", "records up to %d are missing, and no record says that they were removed", v.anchor.seq)
	}
}

// isPruned reports whether the intent's record was pruned. The id begins with the record's number.
func (v *verifier) isPruned(intent string) bool {
	seq := intentArgs(intent)[0].(int64)
	return seq > 0 && seq <= v.anchor.seq
}

// checkChain reads every record.
func (v *verifier) checkChain(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT seq, body FROM records ORDER BY seq")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var seq int64
		var line []byte
		if err := scan(&seq, &line); err != nil {
			return err
		}
		v.checkRecord(seq, line)
		return nil
	})
	if err != nil {
		return err
	}
	v.checkAnchor()
	v.report.Hash = hex.EncodeToString(v.head.hash[:])
	for seq, all := range v.signed {
		if seq > v.head.seq {
			v.add(WrongCheckpoint, seq, "", "the checkpoint of %s covers %d records, but the log ends at %d: it was truncated", all[0].Time, seq, v.head.seq)
		}
	}
	return nil
}

func (v *verifier) checkRecord(seq int64, line []byte) {
	if want := v.head.seq + 1; seq != want {
		v.add(WrongGap, seq, "", "records %d to %d are missing", want, seq-1)
	}
	r, err := decodeRecord(line)
	switch {
	case err != nil:
		v.add(WrongRecord, seq, "", "record %d is not in the ledger's format: %v", seq, err)
	case r.Seq != seq:
		v.add(WrongLink, seq, "", "the record at %d was written as record %d", seq, r.Seq)
	case r.Prev != hex.EncodeToString(v.head.hash[:]):
		v.add(WrongLink, seq, "", "record %d does not follow the one before it: one of them was changed", seq)
	}
	v.report.Records++
	v.head = head{seq, sha256.Sum256(line)}
	v.checkCheckpoints(v.head)
	if r == nil || err != nil {
		return
	}
	for _, id := range r.Subjects {
		v.keys[id] = v.keys[id] || r.Phase == PhaseErased
	}
	if r.Sealed != nil {
		for _, id := range r.Sealed.Keys {
			if !v.keys[id] {
				v.keys[id] = false // named, not destroyed so far
			}
		}
	}
	v.replay.apply(v, r)
}

// checkCheckpoints compares a record with the checkpoints of it.
func (v *verifier) checkCheckpoints(h head) {
	for _, c := range v.signed[h.seq] {
		if c.Hash != hex.EncodeToString(h.hash[:]) {
			v.add(WrongCheckpoint, h.seq, "", "record %d is not the one that was signed at %s: the log was rewritten", h.seq, c.Time)
			continue
		}
		v.report.Checkpoints++
		v.report.Signed = h.seq
	}
}

// checkHead compares the last record with the code that was written with it.
func (v *verifier) checkHead(ctx context.Context, conn *sql.Conn) error {
	var code string
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'head'").Scan(&code)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if code != v.s.seal.headCode(v.head) {
		v.add(WrongEnd, v.head.seq, "", "the log does not end with the record that was written last: its end was changed or truncated after record %d", v.head.seq)
	}
	return nil
}
