package ledger_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestNotALedger(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ledger.File)
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
	wantStoreError(t, "text", err, ledger.Corrupt)
	os.Remove(path)
	tamper(t, dir, func(db *sql.DB) { run(t, db, "CREATE TABLE recipes (name TEXT)") })
	_, err = ledger.Open(t.Context(), ledger.Options{Dir: dir})
	wantStoreError(t, "another program's", err, ledger.Foreign)
	os.Remove(path)
	open(t, ledger.Options{Dir: dir}).Close()
	tamper(t, dir, func(db *sql.DB) { run(t, db, "PRAGMA user_version = 99") })
	_, err = ledger.Open(t.Context(), ledger.Options{Dir: dir})
	wantStoreError(t, "a newer version", err, ledger.Newer)
	_, err = ledger.Open(t.Context(), ledger.Options{Dir: filepath.Join(path, "below")})
	wantStoreError(t, "an impossible directory", err, ledger.Broken)
	if _, err = ledger.Open(t.Context(), ledger.Options{}); err == nil {
		t.Error("Open accepted no directory")
	}
}

func TestDamaged(t *testing.T) {
	dir := thousandRecords(t)
	path := filepath.Join(dir, ledger.File)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 8192; i < len(raw); i++ {
		raw[i] = 0xa5
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
	if err == nil {
		_, err = l.Commit(t.Context(), call("a"))
		_, verr := l.Verify(t.Context(), ledger.VerifyOptions{})
		wantStoreError(t, "verify", verr, ledger.Corrupt)
		l.Close()
	}
	wantStoreError(t, "damaged", err, ledger.Corrupt)
}

func TestLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits five seconds for a lock")
	}
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run(t, db, "BEGIN IMMEDIATE")
	_, err = l.Commit(t.Context(), call("a"))
	wantStoreError(t, "locked", err, ledger.Locked)
	if _, err := l.CurrentStops(t.Context()); err != nil {
		t.Errorf("reading needs the lock: %v", err)
	}
	run(t, db, "ROLLBACK")
	commit(t, l, call("a"))
	verifyClean(t, l)
}

func TestCancelledInQueue(t *testing.T) {
	l := open(t, ledger.Options{})
	release := ledger.HoldWriter(l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := l.Commit(ctx, call("a"))
		done <- err
	}()
	time.Sleep(5 * time.Millisecond)
	cancel()
	release()
	wantErr(t, "cancelled", <-done, context.Canceled)
	if all, err := l.Intents(t.Context(), ledger.IntentFilter{}); err != nil || len(all) != 0 {
		t.Errorf("it ran: %+v, %v", all, err)
	}
}

func TestFileMoved(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("a"))
	path := filepath.Join(dir, ledger.File)
	move(t, path, path+".old")
	_, err := l.Commit(t.Context(), call("b"))
	wantStoreError(t, "moved", err, ledger.Replaced)
	move(t, path+".old", path)
	commit(t, l, call("b"))
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestFileMissing: Open does not replace a missing ledger by an empty one.
func TestFileMissing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	l.Close()
	if err := os.Remove(filepath.Join(dir, ledger.File)); err != nil {
		t.Fatal(err)
	}
	l = open(t, ledger.Options{Dir: dir}) // it had no records
	commit(t, l, call("a"))
	l.Close()
	l.RecordEvent(event("contact:1"))
	if err := os.Remove(filepath.Join(dir, ledger.File)); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
	wantStoreError(t, "missing", err, ledger.Broken)
}

// TestFullDisk: SQLite's limit of pages fails like a full disk, with the same code.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("before"))
	ledger.LimitPages(t, l, 40)
	big := call("big")
	big.Payload = []byte(`"` + strings.Repeat("x", 300<<10) + `"`)
	_, err := l.Commit(t.Context(), big)
	wantStoreError(t, "full", err, ledger.DiskFull)
	// The rejected commit left nothing, and the ledger continues when there is room.
	if p, err := l.FindConflicting(t.Context(), big); err != nil || p != nil {
		t.Errorf("conflict: %+v, %v", p, err)
	}
	ledger.LimitPages(t, l, 1<<20)
	commit(t, l, big)
	verifyClean(t, l)
}

func TestStoreErrorRecovers(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("a"))
	if err := l.StoreError(); err != nil {
		t.Fatal(err)
	}
	ledger.LimitPages(t, l, 1)
	big := call("big")
	big.Payload = []byte(`"` + string(bytes.Repeat([]byte("x"), 300<<10)) + `"`)
	_, err := l.Commit(t.Context(), big)
	wantStoreError(t, "full", err, ledger.DiskFull)
	ledger.LimitPages(t, l, 1<<20)

	path := filepath.Join(dir, ledger.File)
	move(t, path, path+".old")
	_, err = l.Commit(t.Context(), call("b"))
	wantStoreError(t, "moved", err, ledger.Replaced)
	wantStoreError(t, "reported", l.StoreError(), ledger.Replaced)
	since := l.FailingSince()
	time.Sleep(1500 * time.Millisecond)
	wantStoreError(t, "after a probe", l.StoreError(), ledger.Replaced)
	if again := l.FailingSince(); since.IsZero() || !again.Equal(since) {
		t.Errorf("failing since %s, and after a probe since %s", since, again)
	}
	move(t, path+".old", path)
	within(t, "the ledger recovers", func() bool { return l.StoreError() == nil })
	if since := l.FailingSince(); !since.IsZero() {
		t.Errorf("it works and is failing since %s", since)
	}
	// A rejection is no store error.
	_, err = l.Commit(t.Context(), call("a"))
	conflictOf(t, err)
	if err := l.StoreError(); err != nil {
		t.Error(err)
	}
	verifyClean(t, l)
}
