package ledger_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestHeadChanged: somebody without the keys truncates the log. Another record would hide it, so
// none is written.
func TestHeadChanged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	settle(t, l, commit(t, l, call("a")), ledger.Succeeded)
	bad := call("b")
	in := commit(t, l, bad)
	settle(t, l, in, ledger.Succeeded)
	l.Close()
	for name, queries := range map[string][]string{
		"the last records":           {"DELETE FROM records WHERE seq > 2", "DELETE FROM intents WHERE seq > 2"},
		"with the code":              {"DELETE FROM records WHERE seq > 2", "DELETE FROM intents WHERE seq > 2", "DELETE FROM meta WHERE name = 'head'"},
		"with an empty code":         {"DELETE FROM records WHERE seq > 2", "DELETE FROM intents WHERE seq > 2", "UPDATE meta SET value = '' WHERE name = 'head'"},
		"everything":                 {"DELETE FROM records", "DELETE FROM intents", "DELETE FROM meta WHERE name IN ('head', 'signed')"},
		"the last record is changed": {"UPDATE records SET body = replace(body, 'succeeded', 'failed') WHERE seq = 4"},
		"records are added":          {"INSERT INTO records SELECT seq + 1, body FROM records WHERE seq = 4"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			if err := os.Remove(filepath.Join(dir, ledger.CheckpointFile)); err != nil {
				t.Fatal(err)
			}
			var before int
			tamper(t, dir, func(db *sql.DB) {
				for _, q := range queries {
					run(t, db, q)
				}
				if err := db.QueryRow("SELECT count(*) FROM records").Scan(&before); err != nil {
					t.Fatal(err)
				}
			})
			l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
			if err != nil {
				t.Fatalf("the ledger cannot be opened: %v", err)
			}
			_, err = l.Commit(t.Context(), call("c"))
			wantStoreError(t, "commit", err, ledger.Corrupt)
			if !strings.Contains(errors.Unwrap(err).Error(), "sippet-mcp audit verify") {
				t.Errorf("got %v", errors.Unwrap(err))
			}
			wantStoreError(t, "create", l.CreateApproval(t.Context(), approvalFor(call("c"), time.Now().Add(time.Hour))), ledger.Corrupt)
			wantStoreError(t, "reported", l.StoreError(), ledger.Corrupt)
			if n := len(records(t, l, ledger.Filter{})); n != before {
				t.Errorf("%d records, there were %d", n, before)
			}
			if _, err := l.CurrentStops(t.Context()); err != nil {
				t.Errorf("reading: %v", err)
			}
			l.Close()
			found := false
			for _, f := range verify(t, dir, ledger.VerifyOptions{}).Findings {
				found = found || f.Kind == ledger.WrongEnd
			}
			if !found {
				t.Error("Verify did not find it")
			}
		})
	}
}

// TestHeadChangedWhileOpen: a running process detects it too, even with an earlier head and its
// valid code.
func TestHeadChangedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	settle(t, l, commit(t, l, call("a")), ledger.Succeeded)
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "other.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	run(t, db, "ATTACH ? AS l", filepath.Join(dir, ledger.File))
	var createCode string
	if err := db.QueryRow("SELECT value FROM l.meta WHERE name = 'head'").Scan(&createCode); err != nil {
		t.Fatal(err)
	}
	settle(t, l, commit(t, l, call("b")), ledger.Succeeded)
	run(t, db, "DELETE FROM l.records WHERE seq > 2")
	run(t, db, "DELETE FROM l.intents WHERE seq > 2")
	run(t, db, "UPDATE l.meta SET value = ? WHERE name = 'head'", createCode)
	_, err = l.Commit(t.Context(), call("b"))
	wantStoreError(t, "rolled back", err, ledger.Corrupt)
	run(t, db, "DETACH l")
}

// TestHeadOfOtherProcess: two processes write in turn, and each accepts the head of the other.
func TestHeadOfOtherProcess(t *testing.T) {
	dir := t.TempDir()
	l, m := open(t, ledger.Options{Dir: dir}), open(t, ledger.Options{Dir: dir})
	for range 5 {
		settle(t, m, commit(t, l, call(ledger.NewID())), ledger.Succeeded)
		settle(t, l, commit(t, m, call(ledger.NewID())), ledger.Succeeded)
	}
	verifyClean(t, l)
}

func TestFilesMissing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("a"))
	l.Close()
	for _, name := range []string{ledger.File, ledger.MasterKeyFile, ledger.SigningKeyFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, only := range []bool{false, true} {
		_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, ReadOnly: only})
		wantStoreError(t, "missing", err, ledger.Broken)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 { // checkpoints and their key, and the reserve
		t.Errorf("%v, %v", left, err)
	}
}
