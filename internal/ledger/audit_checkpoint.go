package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A checkpoint is a signed note (https://c2sp.org/signed-note) of four lines: the ledger's name,
// the number of records, the hash of the last one in base64, and the time. The file holds one after
// the other.

func origin(id string) string { return "sippet-mcp/internal/ledger/" + id }

// openSigner reads the signing key, or creates it for a fresh ledger, as openSealer does.
func openSigner(ctx context.Context, conn *sql.Conn, dir, id string, fresh bool) (note.Signer, error) {
	path := filepath.Join(dir, SigningKeyFile)
	raw, err := os.ReadFile(path)
	if fresh && errors.Is(err, fs.ErrNotExist) {
		var private, public string
		if private, public, err = note.GenerateKey(rand.Reader, origin(id)); err == nil {
			raw = []byte(private + "\n")
			if err = writeNew(path, raw); err == nil {
				err = writeNew(filepath.Join(dir, VerifyKeyFile), []byte(public+"\n"))
			}
		}
	}
	if err != nil {
		return nil, &StoreError{MissingKey, path, err}
	}
	s, err := note.NewSigner(strings.TrimSpace(string(raw)))
	if err == nil && s.Name() != origin(id) {
		if !fresh {
			return nil, &StoreError{MissingKey, path, errors.New("it belongs to another ledger")}
		}
		if _, e := os.Stat(filepath.Join(dir, CheckpointFile)); e == nil {
			return nil, &StoreError{Broken, filepath.Join(dir, File), errMissing}
		}
		// A crash before the first record left the key behind. It has signed nothing, and it is not
		// this ledger's key.
		if err = os.Remove(path); err == nil {
			return openSigner(ctx, conn, dir, id, fresh)
		}
	}
	if err != nil {
		return nil, &StoreError{MissingKey, path, err}
	}
	return s, nil
}

// checkpoint signs the head of the log, unless that was done.
func (s *SQLite) checkpoint(ctx context.Context) error {
	var last int64
	if _, err := s.row(ctx, "SELECT coalesce(max(seq), 0) FROM records", nil, &last); err != nil {
		return err
	}
	if last == s.signed.Load() {
		return nil
	}
	return s.write(ctx, func(t *tx) error { return t.checkpoint() })
}

// checkpoint signs the log as it is in this transaction, once that is durable. meta stores the
// signed record, so that several processes do not sign the same one.
func (t *tx) checkpoint() error {
	var signed string
	if _, err := t.row("SELECT value FROM meta WHERE name = 'signed'", nil, &signed); err != nil {
		return err
	}
	h := t.head
	if signed == strconv.FormatInt(h.seq, 10) || h.seq == 0 {
		t.s.signed.Store(h.seq)
		return nil
	}
	if _, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('signed', ?)", strconv.FormatInt(h.seq, 10)); err != nil {
		return err
	}
	t.afterCommit = append(t.afterCommit, func() {
		t.s.signed.Store(h.seq)
		if err := t.s.writeCheckpoint(h, t.now); err != nil {
			t.s.log.Warn("failed to write a checkpoint of the ledger; the next one covers it", "cause", err)
		}
	})
	return nil
}

func (s *SQLite) writeCheckpoint(h head, now time.Time) error {
	text := fmt.Sprintf("%s\n%d\n%s\n%s\n", origin(s.id), h.seq, base64.StdEncoding.EncodeToString(h.hash[:]), now.Format(time.RFC3339))
	msg, err := note.Sign(&note.Note{Text: text}, s.signer)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.o.Dir, CheckpointFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Stat()
	if err == nil {
		var n int
		n, err = f.Write(append(msg, '\n')) // in one write: other processes append too
		// Half a note on a full disk would make the notes after it unreadable.
		if after, e := f.Stat(); err != nil && n > 0 && e == nil && after.Size() == before.Size()+int64(n) {
			_ = f.Truncate(before.Size())
		}
		if err != nil && before.Size() == 0 {
			_ = os.Remove(f.Name()) // an empty file looks as if notes had been taken out of it
		}
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// checkpoint is what a signed note says about the log.
type checkpoint struct {
	Origin string
	Seq    int64
	Hash   string // hex
	Time   time.Time
}

// parseCheckpoints opens all notes of a file. It stops at the first one without a valid signature.
func parseCheckpoints(raw []byte, v note.Verifier) ([]checkpoint, error) {
	var all []checkpoint
	for i, msg := range splitNotes(string(raw)) {
		n, err := note.Open([]byte(msg), note.VerifierList(v))
		if err != nil {
			return all, fmt.Errorf("checkpoint %d: %w", i+1, err)
		}
		lines := strings.Split(n.Text, "\n")
		if len(lines) < 5 {
			return all, fmt.Errorf("checkpoint %d: %d lines instead of 4", i+1, len(lines)-1)
		}
		c := checkpoint{Origin: lines[0]}
		hash, err := base64.StdEncoding.DecodeString(lines[2])
		c.Hash = hex.EncodeToString(hash)
		if err == nil {
			c.Seq, err = strconv.ParseInt(lines[1], 10, 64)
		}
		if err == nil {
			c.Time, err = time.Parse(time.RFC3339, lines[3])
		}
		if err != nil {
			return all, fmt.Errorf("checkpoint %d: %w", i+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// splitNotes splits a file into notes: text, an empty line, signatures that begin with a dash, an
// empty line.
func splitNotes(raw string) []string {
	var notes []string
	var b strings.Builder
	signed := false
	for line := range strings.Lines(raw) {
		if signed && strings.TrimSpace(line) == "" {
			notes = append(notes, b.String())
			b.Reset()
			signed = false
			continue
		}
		signed = signed || strings.HasPrefix(line, "— ")
		b.WriteString(line)
	}
	if strings.TrimSpace(b.String()) != "" {
		notes = append(notes, b.String())
	}
	return notes
}
