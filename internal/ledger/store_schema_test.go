package ledger_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestOutdated: a file of an older version is rejected by name, with its unknown calls, and not
// changed.
func TestOutdated(t *testing.T) {
	const table = "CREATE TABLE intents (seq INTEGER PRIMARY KEY, id TEXT, action TEXT, prepared INTEGER, state TEXT)"
	for name, c := range map[string]struct{ insert, want string }{
		"unknown intents": {"INSERT INTO intents (id, action, prepared, state) VALUES ('aa', 'start_outbound_call', 1, 'unknown'), ('bb', 'delete_contact', 2, 'succeeded'), ('cc', 'end_call', 3, 'sent')",
			"whether these calls ran: aa start_outbound_call of 1970-01-01T00:00:00Z; cc end_call of "},
		"settled intents": {"INSERT INTO intents (id, action, prepared, state) VALUES ('bb', 'delete_contact', 2, 'succeeded')", "all its calls have a known outcome"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, ledger.File)
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{table, c.insert, "PRAGMA application_id = 0x53504c47", "PRAGMA user_version = 2"} {
				run(t, db, query)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{false, true} {
				_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, ReadOnly: readOnly})
				wantStoreError(t, "an older file", err, ledger.Outdated)
				if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "bb") {
					t.Errorf("read only %t: %v", readOnly, err)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}
