package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// LimitPages makes the database full at so many pages, as a disk would.
func LimitPages(t testing.TB, s *SQLite, n int) {
	t.Helper()
	err := s.write(context.Background(), func(t *tx) error {
		_, err := t.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// HoldNotes keeps the writer busy until the function it gives is called.
func HoldNotes(s *SQLite) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	go s.write(context.Background(), func(*tx) error { close(held); <-free; return nil })
	<-held
	return func() { close(free) }
}

// Prune removes what is older than the retention, unless that was done within the hour.
func Prune(t testing.TB, s *SQLite) {
	t.Helper()
	if err := s.prune(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// PruneError is the error of a pruning that is refused.
func PruneError(s *SQLite) error { return s.prune(context.Background()) }

// SignAs signs a checkpoint of the ledger with the key in its folder, as somebody who has it could.
func SignAs(t testing.TB, dir, id string, seq int64, hash string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, SigningKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n%s\n", origin(id), seq, hash, "2026-03-01T12:00:00Z")}, s)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// WriteNotes writes events in one transaction, as the background does.
func WriteNotes(s *SQLite, all []Event) { s.writeNotes(all) }

// Sweep sweeps now.
func Sweep(t testing.TB, s *SQLite) {
	t.Helper()
	if err := s.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// ConflictCount counts the payloads in whose way something may stand.
func ConflictCount(s *SQLite) int {
	s.conflicts.mu.Lock()
	defer s.conflicts.mu.Unlock()
	return len(s.conflicts.seqs)
}

// ErrUsage is what a caller must not ask for.
var ErrUsage = errUsage
