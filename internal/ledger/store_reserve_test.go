package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// disk is a small disk that tests fill.
type disk struct{ dir string }

func (d disk) fillingFile() string { return filepath.Join(d.dir, "other program's log") }

// fill takes all room of the disk.
func (d disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(d.fillingFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if os.WriteFile(f.Name()+".more", []byte("x"), 0o600) == nil {
		t.Error("the disk is not full")
	}
	os.Remove(f.Name() + ".more")
}

// free gives it back.
func (d disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.fillingFile()); err != nil {
		t.Fatal(err)
	}
}

func (d disk) state() string { return filepath.Join(d.dir, "state") }

func (d disk) reserve(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(d.state(), ledger.ReserveFile))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestStopOnFullDisk fills the disk beside running calls.
func TestStopOnFullDisk(t *testing.T) { onSmallDisk(t, 16<<20, testStopOnFullDisk) }

func testStopOnFullDisk(t *testing.T, d disk) {
	l := open(t, ledger.Options{Dir: d.state()})
	other := open(t, ledger.Options{Dir: d.state()}) // as another process has it
	whole := d.reserve(t)
	// A call in flight, and one with a large answer.
	running, large := commit(t, l, call("running")), commit(t, l, call("large"))
	for _, n := range strings.Fields("a b c d e f") { // requests that the stop revokes
		createApproval(t, l, call(n), time.Now().Add(time.Hour))
	}
	d.fill(t)

	// Ordinary changes fail sooner or later: the write-ahead log has some room.
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		_, err = l.Commit(t.Context(), call("full"+strings.Repeat("x", n)))
	}
	wantStoreError(t, "an ordinary change", err, ledger.DiskFull)

	settle(t, l, running, ledger.Succeeded)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: large.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done,
		Result: []byte(`"` + strings.Repeat("x", 60<<10) + `"`)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, "the disk is full"); err != nil {
		t.Fatal(err)
	}
	if stops, err := l.CurrentStops(t.Context()); err != nil || len(stops) != 1 {
		t.Fatalf("stops: %v, %v", stops, err)
	}
	if size := d.reserve(t); size >= whole || size < whole/2 {
		t.Errorf("the reserve has %d bytes of %d", size, whole)
	}
	wantStoreError(t, "the ledger says so", l.StoreError(), ledger.DiskFull)
	if stops, err := other.CurrentStops(t.Context()); err != nil || len(stops) != 1 {
		t.Errorf("another process does not see the stop: %v", err)
	}
	// What was freed for the stop is for no other change, of any process.
	for _, l := range []*ledger.SQLite{l, other} {
		_, err = l.Commit(t.Context(), call("after"))
		wantStoreError(t, "after the stop", err, ledger.DiskFull)
	}
	d.fill(t)
	// Hanging up works, as often as half of the reserve allows, and the stop can still be ended.
	hangUp := call("hang up")
	hangUp.Action, hangUp.Class = ledger.HangUp, schemas.Destructive
	settle(t, l, commit(t, l, hangUp), ledger.Succeeded)
	if ended, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil || len(ended) != 1 {
		t.Fatal(ended, err)
	}
	verifyClean(t, l)

	// Another program starts, makes a stop, and takes all the room that it leaves: first beside the
	// write-ahead log, for which the file had no room, then without one.
	other.Close()
	for _, clean := range []bool{false, true} {
		l.Close()
		if clean {
			d.free(t)
			open(t, ledger.Options{Dir: d.state()}).Close()
		}
		d.fill(t)
		if _, err := os.Stat(filepath.Join(d.state(), ledger.File+"-shm")); (err != nil) != clean {
			t.Errorf("shared memory: %v", err)
		}
		l = open(t, ledger.Options{Dir: d.state()})
		if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
			t.Fatal(err)
		}
		d.fill(t)
		if ended, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil || len(ended) != 1 {
			t.Fatal(ended, err)
		}
		verifyClean(t, l)
	}
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: running.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done}); !errors.Is(err, ledger.ErrAlreadySettled) {
		t.Errorf("the outcome was lost: %v", err)
	}

	d.free(t)
	within(t, "the ledger continues by itself", func() bool { _, err := l.Commit(t.Context(), call("again")); return err == nil })
	if size := d.reserve(t); size != whole {
		t.Errorf("the reserve has %d bytes of %d", size, whole)
	}
	verifyClean(t, l)
}
