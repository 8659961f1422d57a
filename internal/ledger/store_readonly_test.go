package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func openReadOnly(t testing.TB, o ledger.Options) *ledger.SQLite {
	t.Helper()
	o.ReadOnly = true
	return open(t, o)
}

// hashFiles returns the hashes of the files in a directory, without those that SQLite creates to
// read.
func hashFiles(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		raw, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", d.Name(), sha256.Sum256(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadOnly(t *testing.T) {
	dir := thousandRecords(t)
	before := hashFiles(t, dir)
	c := newClock()
	c.advance(1000 * time.Hour)
	l := openReadOnly(t, ledger.Options{Dir: dir, Now: c.now, Retention: time.Hour})
	if r := verifyClean(t, l); r.Records < 1000 {
		t.Errorf("%+v", r)
	}
	if n := len(records(t, l, ledger.Filter{Phase: ledger.PhaseRead, Limit: 7})); n != 7 {
		t.Errorf("%d reads", n)
	}
	x := call("a")
	_, err := l.Commit(t.Context(), x)
	wantStoreError(t, "commit", err, ledger.ReadOnly)
	_, err = l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "ada"})
	wantStoreError(t, "erase", err, ledger.ReadOnly)
	wantStoreError(t, "stop", l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""), ledger.ReadOnly)
	wantStoreError(t, "reported", l.StoreError(), ledger.ReadOnly)
	if !strings.Contains(err.Error(), "for reading only") {
		t.Errorf("%v", err)
	}
	for range 5000 {
		l.RecordEvent(event("contact:1"))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	wantStoreError(t, "closed", func() error { _, err := l.Verify(t.Context(), ledger.VerifyOptions{}); return err }(), ledger.Closed)
	if after := hashFiles(t, dir); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

func TestReadOnlyWithoutDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, ReadOnly: true})
	wantStoreError(t, "no directory", err, ledger.Broken)
	if _, err := os.Stat(dir); err == nil {
		t.Error("it was created")
	}
}

// TestReadOnlyWhileWritten: a reader sees what another process writes.
func TestReadOnlyWhileWritten(t *testing.T) {
	dir := t.TempDir()
	open(t, ledger.Options{Dir: dir}).Close()
	r := openReadOnly(t, ledger.Options{Dir: dir}) // before another process writes
	l := open(t, ledger.Options{Dir: dir})
	for n := range 5 {
		commit(t, l, call(fmt.Sprint(n)))
		if got := len(records(t, r, ledger.Filter{})); got != n+1 {
			t.Fatalf("%d records, not %d", got, n+1)
		}
	}
	verifyClean(t, r)
}

// TestReadOnlyAbandoned: abandoned intents are shown as unknown, without a finding.
func TestReadOnlyAbandoned(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	in := commit(t, l, call("a"))
	commit(t, l, call("b"))
	l.Close()
	c.advance(time.Hour)
	r := openReadOnly(t, ledger.Options{Dir: dir, Now: c.now})
	if report := verifyClean(t, r); report.InFlight != 2 || report.Unsettled != 2 {
		t.Errorf("%+v", report)
	}
	if got, err := r.Intent(t.Context(), in.ID); err != nil || got.State != ledger.Unknown || got.Payload == nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, f := range []ledger.IntentFilter{{State: ledger.Unknown}, {Open: true}, {}} {
		if all, err := r.Intents(t.Context(), f); err != nil || len(all) != 2 || all[0].State != ledger.Unknown {
			t.Errorf("%+v, %v", all, err)
		}
	}
	if all, err := r.Intents(t.Context(), ledger.IntentFilter{State: ledger.Unknown, Limit: 1}); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := r.Intents(t.Context(), ledger.IntentFilter{State: ledger.Prepared}); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestReadOnlyDamaged: a damaged log can be read, including its damaged lines.
func TestReadOnlyDamaged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	for n := range 6 {
		commit(t, l, call(fmt.Sprint(n)))
	}
	l.Close()
	tamper(t, dir, func(db *sql.DB) {
		run(t, db, "UPDATE records SET body = '{\"seq\":2, evil' WHERE seq = 2")
		run(t, db, "UPDATE records SET body = replace(body, 'ada', 'bob') || ' ' WHERE seq = 3")
		run(t, db, "UPDATE records SET body = (SELECT body FROM records WHERE seq = 1) WHERE seq = 4")
		run(t, db, "UPDATE keys SET wrapped = x'00'")
	})
	l = openReadOnly(t, ledger.Options{Dir: dir})
	all := records(t, l, ledger.Filter{})
	if len(all) != 6 {
		t.Fatalf("%d records", len(all))
	}
	for i, r := range all {
		if r.Seq != int64(i+1) || r.Fault == "" || r.Line == nil || r.Private != nil {
			t.Errorf("%d: %+v", i+1, r)
		}
	}
	if !bytes.Equal(all[1].Line, []byte(`{"seq":2, evil`)) {
		t.Errorf("%s", all[1].Line)
	}
	if n := len(records(t, l, ledger.Filter{Since: time.Unix(0, 0), Until: time.Now().Add(time.Hour)})); n != 6 {
		t.Errorf("%d records in a period", n)
	}
	if n := len(records(t, l, ledger.Filter{Caller: "ada"})); n != 4 {
		t.Errorf("%d records of ada", n)
	}
	if r, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) < 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
