package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// VerifyOptions say against what the chain is held.
type VerifyOptions struct {
	// Checkpoint holds signed notes that were kept elsewhere, as CheckpointFile has them; nil: only those of the folder.
	Checkpoint []byte
	// Key is the verifier key of the notes, as in VerifyKeyFile, kept elsewhere; empty: that of the folder.
	Key string
}

// Report is what Verify read, and what is wrong with it.
type Report struct {
	// Pruned is the last record that the retention removed, the chain begins after it; 0 where it is whole.
	Pruned int64
	// Records is how many the chain has, Hash the last one's, hex.
	Records int64
	Hash    string
	// Checkpoints is how many signed notes agree with the chain, Signed the last record that one covers.
	Checkpoints int
	Signed      int64
	// Unchecked is how many signed notes are about records that the retention removed: nothing can be said of them.
	Unchecked int
	// Intents counts all, InFlight those that may still end, Unknown those of which nobody knows how they did.
	Intents, InFlight, Unknown int
	// Unsettled counts those in flight that nobody will settle, in a ledger that is only read: the next process that opens
	// it to write makes them unknown.
	Unsettled int
	// Erased counts the subjects whose keys are destroyed.
	Erased int
	// Findings is empty where everything is as it was written.
	Findings []Finding
}

// FindingKind is a kind of finding.
type FindingKind string

// The kinds of findings, a closed set.
const (
	WrongRecord   FindingKind = "record"     // a line that the ledger would not have written
	WrongLink     FindingKind = "link"       // a record does not follow its predecessor: edited, swapped, inserted or replayed
	WrongGap      FindingKind = "gap"        // records are missing
	WrongEnd      FindingKind = "end"        // the last records were changed or cut off
	WrongSigned   FindingKind = "checkpoint" // a checkpoint signed another chain: a fork, a rewritten or a truncated one
	WrongIntent   FindingKind = "intent"     // an intent without an outcome, or with another one than the chain tells
	WrongApproval FindingKind = "approval"   // a yes that nobody gave, or that was spent twice
	WrongBudget   FindingKind = "budget"     // a budget holds something else than the chain tells
	WrongStop     FindingKind = "stop"       // a call ran while everything was stopped
	WrongKey      FindingKind = "key"        // a key is missing, or is there though it was destroyed
	maxFindings               = 100
)

// Finding is one thing that is wrong, and where.
type Finding struct {
	Kind FindingKind
	// Seq is the record; 0 where it is not about one.
	Seq int64
	// ID is the intent, grant or key; empty where it is not about one.
	ID   string
	Text string
}

// Verify implements Ledger. It reads one snapshot, while others go on writing.
// Whoever holds the folder with its keys can write another chain that
// verifies: only a checkpoint and its key that were kept elsewhere show that.
func (s *SQLite) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	select {
	case <-s.stop:
		return Report{}, &StoreError{Kind: Closed, Path: s.path}
	default:
	}
	if err := s.readable(); err != nil {
		return Report{}, err
	}
	v := &verifier{s: s, now: s.now().UnixMicro(), keys: map[string]bool{}, replay: newReplay()}
	if err := v.checkpoints(o); err != nil {
		return v.report, err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return v.report, asStoreError(s.path, err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return v.report, asStoreError(s.path, err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	for _, step := range []func(context.Context, *sql.Conn) error{v.anchored, v.chain, v.end, v.intents, v.approvals, v.budgets, v.stops, v.subjects, v.tokens} {
		if err := step(ctx, conn); err != nil {
			return v.report, asStoreError(s.path, err)
		}
	}
	return v.report, nil
}

type verifier struct {
	s      *SQLite
	now    int64
	report Report
	// signed are the checkpoints by the record that they cover.
	signed map[int64][]Checkpoint
	head   head
	// anchor is where the chain begins, pruned the last record that tells of it.
	anchor head
	pruned *Record
	// keys are the ids of all keys that records name; true where a record says that it was destroyed.
	keys   map[string]bool
	replay *replay
}

func (v *verifier) find(kind FindingKind, seq int64, id, format string, args ...any) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{kind, seq, id, fmt.Sprintf(format, args...)})
	}
}

// checkpoints reads the signed notes, before the chain: what they cover was durable by then.
func (v *verifier) checkpoints(o VerifyOptions) error {
	v.signed = map[int64][]Checkpoint{}
	key := o.Key
	if key == "" {
		raw, err := os.ReadFile(filepath.Join(v.s.o.Dir, VerifyKeyFile))
		if err != nil {
			return &StoreError{MissingKey, filepath.Join(v.s.o.Dir, VerifyKeyFile), err}
		}
		key = string(raw)
	}
	public, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return fmt.Errorf("the key of the checkpoints cannot be read: give the line of %s: %w", VerifyKeyFile, err)
	}
	local, err := os.ReadFile(filepath.Join(v.s.o.Dir, CheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &StoreError{Broken, filepath.Join(v.s.o.Dir, CheckpointFile), err}
	}
	for _, source := range []struct {
		name string
		raw  []byte
	}{{CheckpointFile, local}, {"the outside file", o.Checkpoint}} {
		all, err := readCheckpoints(source.raw, public)
		if err == nil && source.raw != nil && len(all) == 0 {
			err = errors.New("it holds no checkpoint")
		}
		if err != nil {
			v.find(WrongSigned, 0, "", "%s: %v", source.name, err)
		}
		for _, c := range all {
			if c.Origin != origin(v.s.id) {
				v.find(WrongSigned, c.Seq, "", "a checkpoint of %s is about another ledger, %s", source.name, c.Origin)
				continue
			}
			v.signed[c.Seq] = append(v.signed[c.Seq], c)
		}
	}
	return nil
}

// chain reads every record.
func (v *verifier) chain(ctx context.Context, conn *sql.Conn) error {
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
		v.record(seq, line)
		return nil
	})
	if err != nil {
		return err
	}
	v.begins()
	v.report.Hash = hex.EncodeToString(v.head.hash[:])
	for seq, all := range v.signed {
		if seq > v.head.seq {
			v.find(WrongSigned, seq, "", "the checkpoint of %s covers %d records, the chain ends at %d: it was cut off", all[0].Time, seq, v.head.seq)
		}
	}
	return nil
}

func (v *verifier) record(seq int64, line []byte) {
	if want := v.head.seq + 1; seq != want {
		v.find(WrongGap, seq, "", "records %d to %d are missing", want, seq-1)
	}
	r, err := decodeRecord(line)
	switch {
	case err != nil:
		v.find(WrongRecord, seq, "", "record %d is not as the ledger writes it: %v", seq, err)
	case r.Seq != seq:
		v.find(WrongLink, seq, "", "the record at %d was written as record %d", seq, r.Seq)
	case r.Prev != hex.EncodeToString(v.head.hash[:]):
		v.find(WrongLink, seq, "", "record %d does not follow the one before it: one of them was changed", seq)
	}
	v.report.Records++
	v.head = head{seq, sha256.Sum256(line)}
	v.covered(v.head)
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
	v.replay.record(v, r)
}

// covered holds a record against the checkpoints of it.
func (v *verifier) covered(h head) {
	for _, c := range v.signed[h.seq] {
		if c.Hash != hex.EncodeToString(h.hash[:]) {
			v.find(WrongSigned, h.seq, "", "record %d is not the one that was signed at %s: the chain was rewritten", h.seq, c.Time)
			continue
		}
		v.report.Checkpoints++
		v.report.Signed = h.seq
	}
}

// end holds the last record against the code that was written with it.
func (v *verifier) end(ctx context.Context, conn *sql.Conn) error {
	var code string
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'head'").Scan(&code)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if code != v.s.seal.headCode(v.head) {
		v.find(WrongEnd, v.head.seq, "", "the chain does not end with the record that was written last: its end was changed or cut off after record %d", v.head.seq)
	}
	return nil
}

// subjects holds the keys against what the chain says of them.
func (v *verifier) subjects(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, wrapped, erased IS NOT NULL, tag, name FROM keys")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id string
		var wrapped, tag, name []byte
		var erased bool
		if err := scan(&id, &wrapped, &erased, &tag, &name); err != nil {
			return err
		}
		destroyed := v.keys[id]
		delete(v.keys, id)
		switch {
		case erased && !destroyed:
			v.find(WrongKey, 0, id, "key %s was destroyed, and no record tells of it", id)
		case !erased && destroyed:
			v.find(WrongKey, 0, id, "key %s is there again, though a record says that it was destroyed", id)
		case erased:
			v.report.Erased++
		default:
			key, err := v.s.seal.wrap.Open(nil, nil, wrapped, []byte(id))
			if err != nil {
				v.find(WrongKey, 0, id, "key %s was changed: what is sealed under it cannot be read", id)
				return nil
			}
			if subject, err := openName(key, id, name); err != nil || !bytes.Equal(tag, mac(v.s.seal.tag, subject)) {
				v.find(WrongKey, 0, id, "key %s is not found by the name of its subject: erasing them would miss it", id)
			}
		}
		return nil
	})
	for id := range v.keys {
		v.find(WrongKey, 0, id, "key %s is missing: what is sealed under it cannot be read", id)
	}
	return err
}
