package ledger_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

const day = 24 * time.Hour

// runDaily runs an approved call a day, each for another contact, and returns the intents.
func runDaily(t *testing.T, l ledger.Ledger, c *clock, n int) (ran []ledger.Intent) {
	t.Helper()
	for range n {
		x := call(ledger.NewID())
		x.Subjects = []string{"contact:" + x.Hash}
		request := createApproval(t, l, x, c.now().Add(time.Minute))
		answer(t, l, request, ledger.Approved)
		x.ApprovalID = request.ID
		in := commit(t, l, x)
		settle(t, l, in, ledger.Succeeded)
		ran = append(ran, in)
		c.advance(day)
	}
	return ran
}

func TestRetention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	ran := runDaily(t, l, c, 10)
	var wrapped []byte
	tamper(t, dir, func(db *sql.DB) {
		key := records(t, l, ledger.Filter{Intent: ran[0].ID})[0].Sealed.Keys[0]
		if err := db.QueryRow("SELECT wrapped FROM keys WHERE id = ?", key).Scan(&wrapped); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := l.Erase(t.Context(), "contact:nobody", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if r := verify(t, dir, ledger.VerifyOptions{}); r.Pruned != 0 || len(r.Findings) != 0 {
		t.Fatalf("removed without a retention: %+v", r)
	}

	l = open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour})
	within(t, "Open removes old records", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhasePruned})) == 1 })
	within(t, "the time of the pruning is stored", func() bool {
		ledger.Prune(t, l) // a second time within the hour, which does nothing
		return verifyClean(t, l).Pruned == 20
	})
	r := verifyClean(t, l)
	if r.Pruned != 20 || r.Records != 21 || r.Intents != 5 {
		t.Errorf("%+v", r)
	}
	for i, in := range ran {
		got, err := l.Intent(t.Context(), in.ID)
		if i < 5 {
			wantErr(t, fmt.Sprint("day ", i), err, ledger.ErrNoIntent)
			_, err = l.Approval(t.Context(), in.ApprovalID)
			wantErr(t, fmt.Sprint("the request of day ", i), err, ledger.ErrNoApproval)
		} else if err != nil || got.Payload == nil || got.Result == nil {
			t.Errorf("day %d: %+v, %v", i, got, err)
		}
	}
	within(t, "keys without records are destroyed", func() bool { return !bytes.Contains(readFiles(t, dir), wrapped) })

	// Day by day: the records of prunings are pruned too.
	for range 8 {
		runDaily(t, l, c, 1)
		ledger.Prune(t, l)
		verifyClean(t, l)
	}
	if n := len(records(t, l, ledger.Filter{Phase: ledger.PhasePruned})); n > 6 {
		t.Errorf("%d records of prunings", n)
	}
	// An idle ledger stops to write records of prunings.
	for range 20 {
		c.advance(day)
		ledger.Prune(t, l)
	}
	end := verifyClean(t, l)
	c.advance(day)
	ledger.Prune(t, l)
	if r := verifyClean(t, l); r.Hash != end.Hash || r.Records > 10 {
		t.Errorf("%+v", r)
	}
	runDaily(t, l, c, 1)
	verifyClean(t, l)
}

// TestRetentionKeepsUnfinished: records of unfinished calls are kept, however old, with all that
// they need.
func TestRetentionKeepsUnfinished(t *testing.T) {
	for name, test := range map[string]struct {
		// begin starts something and returns how to end it.
		begin func(t *testing.T, l ledger.Ledger, c *clock) (end func())
	}{
		"an unknown intent": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			x := call("unknown")
			request := createApproval(t, l, x, c.now().Add(time.Minute))
			answer(t, l, request, ledger.Approved)
			x.ApprovalID = request.ID
			in := commit(t, l, x)
			settle(t, l, in, ledger.Unknown)
			return func() {
				if p, err := l.FindConflicting(t.Context(), x); err != nil || p == nil || p.Payload == nil {
					t.Errorf("conflict: %+v, %v", p, err)
				}
				if _, err := l.Commit(t.Context(), x); conflictOf(t, err).ID != in.ID {
					t.Error("it may run again")
				}
				if got, err := l.Approval(t.Context(), request.ID); err != nil || got.Card == nil {
					t.Errorf("its request: %+v, %v", got, err)
				}
				if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "", ledger.Actor{Name: "ada"}); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"an intent in flight": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			in := commit(t, l, call("flying"))
			return func() { settle(t, l, in, ledger.Succeeded) }
		}},
		"a pending request": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			request := createApproval(t, l, call("open"), c.now().Add(100*day))
			return func() {
				open, err := l.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
				if err != nil || len(open) != 1 || open[0].ID != request.ID {
					t.Errorf("%+v, %v", open, err)
				}
				if got, err := l.Approval(t.Context(), request.ID); err != nil || got.Card == nil {
					t.Errorf("%+v, %v", got, err)
				}
				answer(t, l, request, ledger.Declined)
			}
		}},
		"an approval": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			x := call("approved")
			request := createApproval(t, l, x, c.now().Add(100*day))
			answer(t, l, request, ledger.Approved)
			x.ApprovalID = request.ID
			return func() { settle(t, l, commit(t, l, x), ledger.Failed) }
		}},
		"an emergency stop": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
				t.Fatal(err)
			}
			return func() {
				if s, err := l.CurrentStops(t.Context()); err != nil || len(s) != 1 {
					t.Errorf("%+v, %v", s, err)
				}
				if _, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			l := open(t, ledger.Options{Now: c.now, Retention: 2 * day, Stale: 1000 * day})
			runDaily(t, l, c, 2)
			end := test.begin(t, l, c)
			c.advance(20 * day)
			ledger.Prune(t, l)
			if r := verifyClean(t, l); r.Pruned != 8 {
				t.Errorf("while it is open: %+v", r)
			}
			end()
			verifyClean(t, l)
			c.advance(20 * day)
			ledger.Prune(t, l)
			if r := verifyClean(t, l); r.Pruned <= 8 || r.Records != 1 {
				t.Errorf("when it has ended: %+v", r)
			}
		})
	}
}

// TestRetentionTampered: only the ledger can remove records from the start, and it keeps changed
// ones.
func TestRetentionTampered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	o := ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour}
	l := open(t, o)
	runDaily(t, l, c, 5)
	l.Close()
	whole := copyDir(t, dir)
	l = open(t, o)
	runDaily(t, l, c, 2)
	ledger.Prune(t, l)
	if r := verifyClean(t, l); r.Pruned != 8 {
		t.Fatalf("%+v", r)
	}
	l.Close()
	early := copyDir(t, dir)
	var old string
	tamper(t, early, func(db *sql.DB) {
		if err := db.QueryRow("SELECT value FROM meta WHERE name = 'anchor'").Scan(&old); err != nil {
			t.Fatal(err)
		}
	})
	l = open(t, o)
	runDaily(t, l, c, 2)
	ledger.Prune(t, l)
	verifyClean(t, l)
	l.Close()

	all := []string{"records", "intents", "approvals"}
	cut := func(t *testing.T, db *sql.DB, n int) {
		for _, table := range all {
			run(t, db, "DELETE FROM "+table+" WHERE seq <= ?", n)
		}
	}
	for name, test := range map[string]struct {
		dir    string
		change func(t *testing.T, db *sql.DB)
	}{
		"the first day of a complete log":      {whole, func(t *testing.T, db *sql.DB) { cut(t, db, 4) }},
		"one record of a complete log":         {whole, func(t *testing.T, db *sql.DB) { cut(t, db, 1) }},
		"more than was pruned":                 {dir, func(t *testing.T, db *sql.DB) { cut(t, db, 20) }},
		"more, with a forged anchor":           {dir, func(t *testing.T, db *sql.DB) { cut(t, db, 20); forgeAnchor(t, db, 20) }},
		"a complete log, with a forged anchor": {whole, func(t *testing.T, db *sql.DB) { forgeAnchor(t, db, 4); cut(t, db, 4) }},
		"an earlier anchor":                    {dir, func(t *testing.T, db *sql.DB) { run(t, db, "UPDATE meta SET value = ? WHERE name = 'anchor'", old) }},
		"a missing anchor":                     {dir, func(t *testing.T, db *sql.DB) { run(t, db, "DELETE FROM meta WHERE name = 'anchor'") }},
		"an invalid anchor":                    {dir, func(t *testing.T, db *sql.DB) { run(t, db, "UPDATE meta SET value = 'x' WHERE name = 'anchor'") }},
		"an anchor in a complete log":          {whole, func(t *testing.T, db *sql.DB) { run(t, db, "INSERT INTO meta VALUES ('anchor', ?)", old) }},
		"a complete log, pruned with a valid anchor": {whole, func(t *testing.T, db *sql.DB) {
			cut(t, db, 8)
			run(t, db, "INSERT INTO meta VALUES ('anchor', ?)", old)
		}},
		"an intent without its record": {dir, func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE intents SET seq = 1 WHERE seq = (SELECT max(seq) FROM intents)")
		}},
		"an outcome without its intent": {dir, func(t *testing.T, db *sql.DB) {
			run(t, db, "DELETE FROM intents WHERE seq = (SELECT min(seq) FROM intents)")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			copied := copyDir(t, test.dir)
			tamper(t, copied, func(db *sql.DB) { test.change(t, db) })
			if r := verify(t, copied, ledger.VerifyOptions{}); len(r.Findings) == 0 {
				t.Errorf("not found: %+v", r)
			}
		})
	}
	for name, query := range map[string]string{
		"changed": "UPDATE records SET body = replace(body, 'ada', 'eve') WHERE seq = (SELECT min(seq) FROM records) + 3",
		"missing": "DELETE FROM records WHERE seq = (SELECT min(seq) FROM records)",
	} {
		t.Run(name+" and then old", func(t *testing.T) {
			copied := copyDir(t, dir)
			tamper(t, copied, func(db *sql.DB) { run(t, db, query) })
			later := newClock()
			later.advance(100 * day)
			l, err := ledger.Open(t.Context(), ledger.Options{Dir: copied, Now: later.now, Retention: day})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := ledger.PruneError(l); err == nil || !strings.Contains(err.Error(), "verify") {
				t.Errorf("the evidence was removed: %v", err)
			}
			if err := l.StoreError(); err != nil {
				t.Errorf("store error: %v", err)
			}
			if r, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) == 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// forgeAnchor writes an anchor without the key.
func forgeAnchor(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	run(t, db, "INSERT OR REPLACE INTO meta VALUES ('anchor', ?)", fmt.Sprintf("%d %064x %032x", n, 1, 1))
}

// TestCheckpointsAfterPruning: checkpoints of removed records are not checked, all others are.
func TestCheckpointsAfterPruning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	o := ledger.Options{Dir: dir, Now: c.now, Retention: 2*day + time.Hour}
	var kept [][]byte // one checkpoint a day
	for range 4 {
		l := open(t, o)
		runDaily(t, l, c, 1)
		l.Close()
		raw, err := os.ReadFile(filepath.Join(dir, ledger.CheckpointFile))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, raw[bytes.LastIndex(raw, []byte("\nsippet-mcp/internal/ledger/"))+1:])
	}
	l := open(t, o)
	ledger.Prune(t, l)
	within(t, "pruned", func() bool { return verifyClean(t, l).Pruned > 0 })
	l.Close()
	os.Remove(filepath.Join(dir, ledger.CheckpointFile))
	at := verify(t, dir, ledger.VerifyOptions{}).Pruned
	counts := [3]int{}
	for i, raw := range kept {
		var seq int64
		fmt.Sscan(strings.Split(string(raw), "\n")[1], &seq)
		r := verify(t, dir, ledger.VerifyOptions{Checkpoint: raw})
		if len(r.Findings) != 0 {
			t.Errorf("day %d: %+v", i, r.Findings)
		}
		if before := seq < at; before != (r.Unchecked == 1) || before == (r.Signed >= seq) {
			t.Errorf("checkpoint of record %d, the log begins after %d: %+v", seq, at, r)
		}
		switch {
		case seq < at:
			counts[0]++
		case seq == at:
			counts[1]++
		default:
			counts[2]++
		}
	}
	if counts[0] == 0 || counts[1] == 0 || counts[2] == 0 {
		t.Errorf("checkpoints before, at and after the anchor: %v", counts)
	}
	// A fork up to the anchor, signed with the key.
	id, _, _ := strings.Cut(strings.TrimPrefix(string(kept[0]), "sippet-mcp/internal/ledger/"), "\n")
	raw := ledger.SignAs(t, dir, id, at, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	if r := verify(t, dir, ledger.VerifyOptions{Checkpoint: raw}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongCheckpoint {
		t.Errorf("another log up to the anchor: %+v", r)
	}
}
