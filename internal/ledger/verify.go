package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// VerifyOptions are what the log is compared with.
type VerifyOptions struct {
	// Checkpoint holds signed notes that were kept elsewhere, in the form of CheckpointFile; nil
	// for those of the state directory alone.
	Checkpoint []byte
	// Key is the notes' verifier key, in the form of VerifyKeyFile, kept elsewhere; empty for that
	// of the state directory.
	Key string
}

// Report is the result of Verify.
type Report struct {
	// Pruned is the last record that the retention removed, after which the log begins; 0 for a
	// complete log.
	Pruned int64
	// Records is the number of records, Hash the last one's in hex.
	Records int64
	Hash    string
	// Checkpoints is the number of signed notes that agree with the log, Signed the last record
	// that one covers.
	Checkpoints int
	Signed      int64
	// Unchecked is the number of signed notes about removed records, which cannot be checked.
	Unchecked int
	// Intents counts all intents, InFlight those in flight, Unknown those with an unknown outcome.
	Intents, InFlight, Unknown int
	// Unsettled counts the abandoned intents in a ledger that is open for reading only. The next
	// process that opens it for writing makes them unknown.
	Unsettled int
	// Erased counts the destroyed keys.
	Erased int
	// Findings is empty if nothing is wrong.
	Findings []Finding
}

// FindingKind is a kind of finding.
type FindingKind string

// The kinds of findings, a closed set.
const (
	WrongRecord     FindingKind = "record"     // a line that is not in the ledger's format
	WrongLink       FindingKind = "link"       // a record does not follow its predecessor: edited, swapped, inserted or replayed
	WrongGap        FindingKind = "gap"        // records are missing
	WrongEnd        FindingKind = "end"        // the last records were changed or truncated
	WrongCheckpoint FindingKind = "checkpoint" // a checkpoint signed another log: a fork, a rewritten or a truncated one
	WrongIntent     FindingKind = "intent"     // an intent without an outcome, or that differs from the log
	WrongApproval   FindingKind = "approval"   // an approval that nobody gave, or that was used twice; a request during a pause
	WrongBudget     FindingKind = "budget"     // a budget that differs from the log
	WrongStop       FindingKind = "stop"       // a call ran during an emergency stop
	WrongKey        FindingKind = "key"        // a key is missing, or exists after its destruction
	maxFindings                 = 100
)

// Finding is one fault, with its location.
type Finding struct {
	Kind FindingKind
	// Seq is the record; 0 if the finding is not about one.
	Seq int64
	// ID is the intent, approval request, key or token; empty if the finding is not about one.
	ID   string
	Text string
}

// Verify implements Ledger. It reads one snapshot while others continue to write. Somebody who has
// the state directory with its keys can write another log that verifies. Only a checkpoint and its
// key that were kept elsewhere show that.
func (s *SQLite) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	select {
	case <-s.closed:
		return Report{}, &StoreError{Kind: Closed, Path: s.path}
	default:
	}
	if err := s.checkReadable(); err != nil {
		return Report{}, err
	}
	v := &verifier{s: s, now: s.now().UnixMicro(), keys: map[string]bool{}, replay: newReplay()}
	if err := v.readCheckpoints(o); err != nil {
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
	for _, check := range []func(context.Context, *sql.Conn) error{
		v.readAnchor, v.checkChain, v.checkHead, v.checkIntents, v.checkApprovals, v.checkLifts, v.checkBudgets, v.checkStops, v.checkKeys, v.checkTokens, v.checkAPIKeys,
	} {
		if err := check(ctx, conn); err != nil {
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
	signed map[int64][]checkpoint
	head   head
	// anchor is where the log begins, pruned the last record of a pruning.
	anchor head
	pruned *Record
	// keys are the ids of all keys that records name; true if a record says that it was destroyed.
	keys   map[string]bool
	replay *replay
}

func (v *verifier) add(kind FindingKind, seq int64, id, format string, args ...any) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{kind, seq, id, fmt.Sprintf(format, args...)})
	}
}

// readCheckpoints reads the signed notes before the log, so that the log holds all that they cover.
func (v *verifier) readCheckpoints(o VerifyOptions) error {
	v.signed = map[int64][]checkpoint{}
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
		return fmt.Errorf("invalid checkpoint key: pass the line in %s: %w", VerifyKeyFile, err)
	}
	local, err := os.ReadFile(filepath.Join(v.s.o.Dir, CheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &StoreError{Broken, filepath.Join(v.s.o.Dir, CheckpointFile), err}
	}
	for _, source := range []struct {
		name string
		raw  []byte
	}{{CheckpointFile, local}, {"the given file", o.Checkpoint}} {
		all, err := parseCheckpoints(source.raw, public)
		if err == nil && source.raw != nil && len(all) == 0 {
			err = errors.New("it contains no checkpoint")
		}
		if err != nil {
			v.add(WrongCheckpoint, 0, "", "%s: %v", source.name, err)
		}
		for _, c := range all {
			if c.Origin != origin(v.s.id) {
				v.add(WrongCheckpoint, c.Seq, "", "a checkpoint in %s is about another ledger, %s", source.name, c.Origin)
				continue
			}
			v.signed[c.Seq] = append(v.signed[c.Seq], c)
		}
	}
	return nil
}

// checkKeys compares the keys with what the log says about them.
func (v *verifier) checkKeys(ctx context.Context, conn *sql.Conn) error {
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
			v.add(WrongKey, 0, id, "key %s was destroyed, but no record says so", id)
		case !erased && destroyed:
			v.add(WrongKey, 0, id, "key %s exists, but a record says that it was destroyed", id)
		case erased:
			v.report.Erased++
		default:
			key, err := v.s.seal.wrap.Open(nil, nil, wrapped, []byte(id))
			if err != nil {
				v.add(WrongKey, 0, id, "key %s was changed: the data sealed under it cannot be read", id)
				return nil
			}
			if subject, err := openName(key, id, name); err != nil || !bytes.Equal(tag, mac(v.s.seal.tag, subject)) {
				v.add(WrongKey, 0, id, "key %s is not found by its subject's name: an erasure would miss it", id)
			}
		}
		return nil
	})
	for id := range v.keys {
		v.add(WrongKey, 0, id, "key %s is missing: the data sealed under it cannot be read", id)
	}
	return err
}
