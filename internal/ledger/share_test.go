package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// size returns the bytes of a ledger's files, without the reserve.
func size(t *testing.T, dir string) (sum int64) {
	t.Helper()
	for _, name := range []string{ledger.File, ledger.File + "-wal", ledger.File + "-shm", ledger.CheckpointFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// text is a JSON text of about n bytes that compresses badly.
func text(n int) []byte { return []byte(`"` + strings.Repeat(ledger.NewID(), n/32) + `"`) }

// TestFlood makes the ledger grow in each way that a caller has, until its share is used up and for a
// while longer.
func TestFlood(t *testing.T) {
	const share, atMost = 512 << 10, 1 << 20 // of the test; the true share is 128 times that
	flooder := func(n int) ledger.Txn {
		x := call(fmt.Sprintf("%d", n))
		x.Caller.Name = "mallory"
		return x
	}
	request := func(l *ledger.SQLite, x ledger.Txn) (string, error) {
		r := approvalFor(x, l.Now().Add(time.Hour))
		return r.ID, l.CreateApproval(t.Context(), r)
	}
	succeed := func(l *ledger.SQLite, in ledger.Intent, result []byte) {
		if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: result}); err != nil {
			t.Fatal(err)
		}
	}
	for _, flood := range []struct {
		name string
		// rejects is true if the calls of this way are rejected in the end.
		rejects bool
		n       int
		do      func(l *ledger.SQLite, n int) error
	}{
		{"payloads", true, 60, func(l *ledger.SQLite, n int) error {
			x := flooder(n)
			x.Payload = text(60 << 10)
			_, err := l.Commit(t.Context(), x)
			return err
		}},
		{"replaced values", true, 60, func(l *ledger.SQLite, n int) error {
			x := flooder(n)
			x.Replaced = text(4 << 20)
			if n%2 == 0 {
				x.Replaced = text(60 << 10)
			}
			_, err := l.Commit(t.Context(), x)
			return err
		}},
		{"results", true, 60, func(l *ledger.SQLite, n int) error {
			in, err := l.Commit(t.Context(), flooder(n))
			if err == nil {
				result := text(60 << 10)
				if n%2 == 0 {
					result = text(4 << 20)
				}
				succeed(l, in, result)
			}
			return err
		}},
		{"small calls", true, 800, func(l *ledger.SQLite, n int) error {
			in, err := l.Commit(t.Context(), flooder(n))
			if err == nil {
				succeed(l, in, []byte("{}"))
			}
			return err
		}},
		{"people", true, 60, func(l *ledger.SQLite, n int) error {
			x := flooder(n)
			for i := range 200 {
				x.Subjects = append(x.Subjects, fmt.Sprintf("contact:%d-%d", n, i))
			}
			_, err := l.Commit(t.Context(), x)
			return err
		}},
		{"cards", true, 60, func(l *ledger.SQLite, n int) error {
			r := approvalFor(flooder(n%7), l.Now().Add(time.Hour)) // each replaces an earlier one
			r.Card, r.Hash = text(30<<10), fmt.Sprint(n)
			return l.CreateApproval(t.Context(), r)
		}},
		{"requests to hang up", true, 800, func(l *ledger.SQLite, n int) error {
			x := flooder(n % 7)
			x.Action, x.Hash = ledger.HangUp, fmt.Sprint(n)
			_, err := request(l, x)
			return err
		}},
		{"hanging up the same call", true, 1200, func(l *ledger.SQLite, n int) error {
			x := flooder(n % 7)
			x.Action, x.Class = ledger.HangUp, schemas.Destructive
			in, err := l.Commit(t.Context(), x)
			if err == nil {
				succeed(l, in, nil)
			}
			return err
		}},
		{"events of a client", true, 600, func(l *ledger.SQLite, n int) error {
			x := flooder(0)
			r, err := l.LatestApproval(t.Context(), approvalFor(x, time.Time{}))
			if errors.Is(err, ledger.ErrNoApproval) {
				r.ID, err = request(l, x)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := l.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: ledger.ClientCancelled, Via: "client"}); err != nil {
				t.Fatal(err)
			}
			if n == 599 { // all the rest of the share
				x := flooder(1)
				x.Payload = text(512 << 10)
				_, err := l.Commit(t.Context(), x)
				return err
			}
			return nil
		}},
		{"reads", false, 12, func(l *ledger.SQLite, n int) error {
			var batch []ledger.Event
			for i := range 100 {
				e := event(fmt.Sprintf("contact:%d-%d", n, i))
				e.Caller.Name, e.Payload = "mallory", text(10<<10)
				batch = append(batch, e)
			}
			ledger.WriteEvents(l, batch)
			return nil
		}},
		{"denied calls", false, 12, func(l *ledger.SQLite, n int) error {
			var batch []ledger.Event
			for i := range 100 {
				e := ledger.Event{Call: flooder(100*n + i).Call, Outcome: schemas.Denied}
				if e.Payload = text(20 << 10); i%2 == 0 {
					e.Replaced = text(60 << 10)
				}
				batch = append(batch, e)
			}
			ledger.WriteEvents(l, batch)
			return nil
		}},
	} {
		t.Run(flood.name, func(t *testing.T) {
			dir, c := filepath.Join(t.TempDir(), "state"), newClock()
			ledger.LimitShare(t, share)
			l := open(t, ledger.Options{Dir: dir, Now: c.now})
			var last error
			rejected := 0
			for n := range flood.n {
				if n == flood.n/2 { // another process changes nothing
					l.Close()
					l = open(t, ledger.Options{Dir: dir, Now: c.now})
				}
				var limit *ledger.LimitError
				if last = flood.do(l, n); errors.As(last, &limit) {
					rejected++
				} else if last != nil {
					t.Fatal(last)
				}
			}
			if t.Logf("%d of %d rejected, at last: %v", rejected, flood.n, last); flood.rejects != (last != nil) {
				t.Error("the last call")
			}
			// Others go on, and so do the stop and hanging up.
			settle(t, l, commit(t, l, call("ada")), ledger.Succeeded)
			x := flooder(1 << 20)
			x.Action, x.Class = ledger.HangUp, schemas.Destructive
			settle(t, l, commit(t, l, x), ledger.Succeeded)
			if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "mallory", Via: "terminal"}, ""); err != nil {
				t.Error(err)
			}
			if _, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "mallory", Via: "terminal"}); err != nil {
				t.Error(err)
			}
			l.Close()
			n := size(t, dir)
			if t.Logf("the ledger has %.1f MB", float64(n)/1e6); n > atMost {
				t.Errorf("the ledger has %d bytes, more than %d", n, atMost)
			}
			l = open(t, ledger.Options{Dir: dir, Now: c.now})
			counted := int64(0)
			for _, r := range records(t, l, ledger.Filter{Phase: ledger.PhaseCounted}) {
				counted += r.Count
				if r.Caller.Name != "mallory" || r.Action == "" {
					t.Errorf("counted: %s of %+v", r.Action, r.Caller)
				}
			}
			if all := len(records(t, l, ledger.Filter{Caller: "mallory"})); !flood.rejects && counted == 0 {
				t.Errorf("%d recorded, %d counted", all, counted)
			}
			verifyClean(t, l)
			// The share grows back.
			c.advance(5 * time.Hour)
			settle(t, l, commit(t, l, flooder(1<<21)), ledger.Succeeded)
		})
	}
}
