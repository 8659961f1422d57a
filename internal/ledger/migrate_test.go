package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// A ledger that the version before wrote is brought up to date, and goes on.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	first, err := os.ReadFile("migrations/0001.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.File))
	if err != nil {
		t.Fatal(err)
	}
	run(t, db, string(first))
	run(t, db, "PRAGMA application_id = 0x53504c47")
	run(t, db, "PRAGMA user_version = 1")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, ledger.Options{Dir: dir})
	g := askInInbox(t, l, call("a"), "ada", time.Now().Add(time.Hour))
	answer(t, l, g, ledger.Approved)
	clean(t, l)
}
