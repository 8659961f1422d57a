package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// LimitPages makes the database full at n pages, as a full disk would.
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

// HoldWriter keeps the writer busy until release is called.
func HoldWriter(s *SQLite) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	go s.write(context.Background(), func(*tx) error { close(held); <-free; return nil })
	<-held
	return func() { close(free) }
}

// Prune removes records older than the retention, unless that was done within the hour.
func Prune(t testing.TB, s *SQLite) {
	t.Helper()
	if err := s.prune(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// PruneError returns the error of a pruning.
func PruneError(s *SQLite) error { return s.prune(context.Background()) }

// SignAs signs a checkpoint of the ledger with the key in its directory.
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

// WriteEvents writes events in one transaction, as the background work does.
func WriteEvents(s *SQLite, all []Event) {
	var batch []queuedEvent
	for _, e := range all {
		batch = append(batch, queuedEvent{e, s.now()})
	}
	s.writeEvents(batch)
}

// Sweep sweeps at once.
func Sweep(t testing.TB, s *SQLite) {
	t.Helper()
	if err := s.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// ConflictCount returns the number of payloads in the index of conflicts.
func ConflictCount(s *SQLite) int {
	s.conflicts.mu.Lock()
	defer s.conflicts.mu.Unlock()
	return len(s.conflicts.seqs)
}

// ErrUsage is wrapped by the errors of a wrong use.
var ErrUsage = errUsage

// Constants for tests.
const (
	KeychainService = keychainService
	MaxPendingTotal = maxPendingTotal
	MaxSubjects     = maxSubjects
)

// CountCompares returns the number of comparisons of secrets while do runs.
func CountCompares(do func()) (n int) {
	old := compareSecrets
	defer func() { compareSecrets = old }()
	compareSecrets = func(a, b []byte) int { n++; return old(a, b) }
	do()
	return n
}

// LimitShare makes the share of a caller smaller while a test runs. It grows back as fast.
func LimitShare(t testing.TB, most int64) {
	old := callerShare
	t.Cleanup(func() { callerShare = old })
	callerShare = share{most, most / 4}
}

// Now returns the ledger's time.
func (s *SQLite) Now() time.Time { return s.now() }
