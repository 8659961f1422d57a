package ledger_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const day = 24 * time.Hour

// days runs a call a day, each for another contact and with a person's yes, and gives the intents.
func days(t *testing.T, l ledger.Ledger, c *clock, n int) (ran []ledger.Intent) {
	t.Helper()
	for range n {
		x := call(ledger.NewID())
		x.Subjects = []string{"contact:" + x.Hash}
		g := ask(t, l, x, c.now().Add(time.Minute))
		answer(t, l, g, ledger.Approved)
		x.ApprovalID = g.ID
		in := commit(t, l, x)
		settle(t, l, in, ledger.Succeeded)
		ran = append(ran, in)
		c.pass(day)
	}
	return ran
}

func TestRetention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	ran := days(t, l, c, 10)
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
		t.Fatalf("nothing says that it may be removed: %+v", r)
	}

	l = open(t, ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour})
	within(t, "Open removes what is old", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhasePruned})) == 1 })
	within(t, "it is remembered when", func() bool {
		ledger.Prune(t, l) // a second time in the hour, which does nothing
		return clean(t, l).Pruned == 20
	})
	r := clean(t, l)
	if r.Pruned != 20 || r.Records != 21 || r.Intents != 5 {
		t.Errorf("%+v", r)
	}
	for i, in := range ran {
		got, err := l.Intent(t.Context(), in.ID)
		if i < 5 {
			wantErr(t, fmt.Sprint("day ", i), err, ledger.ErrNoIntent)
			_, err = l.Approval(t.Context(), in.ApprovalID)
			wantErr(t, fmt.Sprint("the question of day ", i), err, ledger.ErrNoApproval)
		} else if err != nil || got.Payload == nil || got.Result == nil {
			t.Errorf("day %d: %+v, %v", i, got, err)
		}
	}
	within(t, "the keys that nothing names are destroyed", func() bool { return !bytes.Contains(everyByte(t, dir), wrapped) })

	// Day by day, and the record of the pruning goes in its turn.
	for range 8 {
		days(t, l, c, 1)
		ledger.Prune(t, l)
		clean(t, l)
	}
	if n := len(records(t, l, ledger.Filter{Phase: ledger.PhasePruned})); n > 6 {
		t.Errorf("%d records tell of prunings", n)
	}
	// An idle ledger comes to rest.
	for range 20 {
		c.pass(day)
		ledger.Prune(t, l)
	}
	end := clean(t, l)
	c.pass(day)
	ledger.Prune(t, l)
	if r := clean(t, l); r.Hash != end.Hash || r.Records > 10 {
		t.Errorf("%+v", r)
	}
	days(t, l, c, 1)
	clean(t, l)
}

// TestRetentionKeepsWhatIsNotOver: however old, and with all that it needs.
func TestRetentionKeepsWhatIsNotOver(t *testing.T) {
	for name, test := range map[string]struct {
		// begin opens something and gives what ends it.
		begin func(t *testing.T, l ledger.Ledger, c *clock) (end func())
	}{
		"an unknown intent": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			x := call("unknown")
			g := ask(t, l, x, c.now().Add(time.Minute))
			answer(t, l, g, ledger.Approved)
			x.ApprovalID = g.ID
			in := commit(t, l, x)
			settle(t, l, in, ledger.Unknown)
			return func() {
				if p, err := l.FindConflicting(t.Context(), x); err != nil || p == nil || p.Payload == nil {
					t.Errorf("prior: %+v, %v", p, err)
				}
				if _, err := l.Commit(t.Context(), x); conflicting(t, err).ID != in.ID {
					t.Error("it may run again")
				}
				if g, err := l.Approval(t.Context(), g.ID); err != nil || g.Card == nil {
					t.Errorf("its question: %+v, %v", g, err)
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
		"an open question": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			g := ask(t, l, call("open"), c.now().Add(100*day))
			return func() {
				w, err := l.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
				if err != nil || len(w) != 1 || w[0].ID != g.ID {
					t.Errorf("%+v, %v", w, err)
				}
				if g, err := l.Approval(t.Context(), g.ID); err != nil || g.Card == nil {
					t.Errorf("%+v, %v", g, err)
				}
				answer(t, l, g, ledger.Declined)
			}
		}},
		"a yes": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			x := call("yes")
			g := ask(t, l, x, c.now().Add(100*day))
			answer(t, l, g, ledger.Approved)
			x.ApprovalID = g.ID
			return func() { settle(t, l, commit(t, l, x), ledger.Failed) }
		}},
		"a freeze": {func(t *testing.T, l ledger.Ledger, c *clock) func() {
			if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, ""); err != nil {
				t.Fatal(err)
			}
			return func() {
				if f, err := l.CurrentStop(t.Context()); err != nil || f == nil {
					t.Errorf("%+v, %v", f, err)
				}
				if _, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			l := open(t, ledger.Options{Now: c.now, Retention: 2 * day, Stale: 1000 * day})
			days(t, l, c, 2)
			end := test.begin(t, l, c)
			c.pass(20 * day)
			ledger.Prune(t, l)
			if r := clean(t, l); r.Pruned != 8 {
				t.Errorf("while it is open: %+v", r)
			}
			end()
			clean(t, l)
			c.pass(20 * day)
			ledger.Prune(t, l)
			if r := clean(t, l); r.Pruned <= 8 || r.Records != 1 {
				t.Errorf("when it is over: %+v", r)
			}
		})
	}
}

// TestRetentionHidesNothing: nobody but the ledger can remove records from the start, and it does not remove what was changed.
func TestRetentionHidesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	o := ledger.Options{Dir: dir, Now: c.now, Retention: 5*day + time.Hour}
	l := open(t, o)
	days(t, l, c, 5)
	l.Close()
	whole := copyDir(t, dir)
	l = open(t, o)
	days(t, l, c, 2)
	ledger.Prune(t, l)
	if r := clean(t, l); r.Pruned != 8 {
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
	days(t, l, c, 2)
	ledger.Prune(t, l)
	clean(t, l)
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
		"the first day of a whole chain": {whole, func(t *testing.T, db *sql.DB) { cut(t, db, 4) }},
		"one record of it":               {whole, func(t *testing.T, db *sql.DB) { cut(t, db, 1) }},
		"more than was pruned":           {dir, func(t *testing.T, db *sql.DB) { cut(t, db, 20) }},
		"more, with an anchor made up":   {dir, func(t *testing.T, db *sql.DB) { cut(t, db, 20); forge(t, db, 20) }},
		"of a whole chain, and made up":  {whole, func(t *testing.T, db *sql.DB) { forge(t, db, 4); cut(t, db, 4) }},
		"an anchor that was":             {dir, func(t *testing.T, db *sql.DB) { run(t, db, "UPDATE meta SET value = ? WHERE name = 'anchor'", old) }},
		"an anchor that is gone":         {dir, func(t *testing.T, db *sql.DB) { run(t, db, "DELETE FROM meta WHERE name = 'anchor'") }},
		"an anchor that is nonsense":     {dir, func(t *testing.T, db *sql.DB) { run(t, db, "UPDATE meta SET value = 'x' WHERE name = 'anchor'") }},
		"an anchor in a whole chain":     {whole, func(t *testing.T, db *sql.DB) { run(t, db, "INSERT INTO meta VALUES ('anchor', ?)", old) }},
		"pruned as the other one was": {whole, func(t *testing.T, db *sql.DB) {
			cut(t, db, 8)
			run(t, db, "INSERT INTO meta VALUES ('anchor', ?)", old)
		}},
		"an intent whose record is gone": {dir, func(t *testing.T, db *sql.DB) {
			run(t, db, "UPDATE intents SET seq = 1 WHERE seq = (SELECT max(seq) FROM intents)")
		}},
		"a later outcome without a start": {dir, func(t *testing.T, db *sql.DB) {
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
		"gone":    "DELETE FROM records WHERE seq = (SELECT min(seq) FROM records)",
	} {
		t.Run(name+" and then too old", func(t *testing.T) {
			copied := copyDir(t, dir)
			tamper(t, copied, func(db *sql.DB) { run(t, db, query) })
			later := newClock()
			later.pass(100 * day)
			l, err := ledger.Open(t.Context(), ledger.Options{Dir: copied, Now: later.now, Retention: day})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := ledger.PruneError(l); err == nil || !strings.Contains(err.Error(), "verify") {
				t.Errorf("the evidence was removed: %v", err)
			}
			if err := l.StoreError(); err != nil {
				t.Errorf("the store can be written: %v", err)
			}
			if r, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) == 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// forge writes an anchor as one does who has not the key.
func forge(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	run(t, db, "INSERT OR REPLACE INTO meta VALUES ('anchor', ?)", fmt.Sprintf("%d %064x %032x", n, 1, 1))
}

// TestCheckpointsOfWhatIsPruned: of what is gone nothing can be said, of what is there everything.
func TestCheckpointsOfWhatIsPruned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	o := ledger.Options{Dir: dir, Now: c.now, Retention: 2*day + time.Hour}
	var kept [][]byte // one a day
	for range 4 {
		l := open(t, o)
		days(t, l, c, 1)
		l.Close()
		raw, err := os.ReadFile(filepath.Join(dir, ledger.CheckpointFile))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, raw[bytes.LastIndex(raw, []byte("\nsippet-mcp/internal/ledger/"))+1:])
	}
	l := open(t, o)
	ledger.Prune(t, l)
	within(t, "pruned", func() bool { return clean(t, l).Pruned > 0 })
	l.Close()
	os.Remove(filepath.Join(dir, ledger.CheckpointFile))
	at := verify(t, dir, ledger.VerifyOptions{}).Pruned
	seen := [3]int{}
	for i, raw := range kept {
		var seq int64
		fmt.Sscan(strings.Split(string(raw), "\n")[1], &seq)
		r := verify(t, dir, ledger.VerifyOptions{Checkpoint: raw})
		if len(r.Findings) != 0 {
			t.Errorf("day %d: %+v", i, r.Findings)
		}
		if before := seq < at; before != (r.Unchecked == 1) || before == (r.Signed >= seq) {
			t.Errorf("the checkpoint of %d, the chain begins after %d: %+v", seq, at, r)
		}
		switch {
		case seq < at:
			seen[0]++
		case seq == at:
			seen[1]++
		default:
			seen[2]++
		}
	}
	if seen[0] == 0 || seen[1] == 0 || seen[2] == 0 {
		t.Errorf("checkpoints before, at and after the anchor: %v", seen)
	}
	// A fork up to the anchor, signed by somebody who has the key.
	id, _, _ := strings.Cut(strings.TrimPrefix(string(kept[0]), "sippet-mcp/internal/ledger/"), "\n")
	raw := ledger.SignAs(t, dir, id, at, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	if r := verify(t, dir, ledger.VerifyOptions{Checkpoint: raw}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongSigned {
		t.Errorf("another chain up to the anchor: %+v", r)
	}
}

// TestRetentionAtRandom: whatever happens, and whenever the ledger forgets, it verifies and no unknown runs again.
func TestRetentionAtRandom(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		r := rand.New(rand.NewPCG(seed, 1))
		c := newClock()
		l := open(t, ledger.Options{Now: c.now, Retention: 3 * time.Hour, Stale: 1000 * day, Records: 20})
		var open []ledger.Intent
		var approvals []ledger.ApprovalRequest
		unknown := map[string]ledger.Txn{}
		for range 300 {
			c.pass(time.Duration(r.Int64N(int64(10 * time.Minute))))
			x := call(fmt.Sprint(r.IntN(30)))
			x.Subjects = []string{fmt.Sprint("contact:", r.IntN(10)), fmt.Sprint("new:", r.IntN(5))}[r.IntN(2):]
			switch r.IntN(11) {
			case 0, 1:
				g := approvalFor(x, c.now().Add(time.Hour))
				if p, err := l.FindConflicting(t.Context(), x); err == nil && p != nil {
					g.Repeats = p.ID
				}
				if err := l.CreateApproval(t.Context(), g); err == nil {
					approvals = append(approvals, g)
				}
			case 2, 3:
				if len(approvals) > 0 {
					_ = l.AnswerApproval(t.Context(), approvals[r.IntN(len(approvals))], ledger.Reply{State: []ledger.ApprovalState{ledger.Approved, ledger.Approved, ledger.Declined}[r.IntN(3)], By: ledger.Actor{Name: "ada"}})
				}
			case 4, 5, 6:
				if len(approvals) > 0 && r.IntN(2) == 0 {
					g := approvals[r.IntN(len(approvals))]
					x.Hash, x.ApprovalID = g.Hash, g.ID
				}
				in, err := l.Commit(t.Context(), x)
				if err != nil {
					continue
				}
				for id, u := range unknown {
					if u.Hash == x.Hash {
						if x.ApprovalID == "" {
							t.Fatalf("seed %d: %s ran again", seed, id)
						}
					}
				}
				open = append(open, in)
				unknown[in.ID] = x
			case 7, 8:
				if len(open) == 0 {
					continue
				}
				i := r.IntN(len(open))
				in := open[i]
				open = append(open[:i], open[i+1:]...)
				s := ledger.Settlement{Intent: in.ID, State: []ledger.IntentState{ledger.Succeeded, ledger.Failed, ledger.NotSent, ledger.Unknown}[r.IntN(4)],
					Result: []byte(`{}`), Outcome: schemas.Done}
				s.Sent = s.State != ledger.NotSent
				if r.IntN(2) == 0 {
					s.CreatedSubject = fmt.Sprint("contact:", r.IntN(10))
				}
				if r.IntN(4) == 0 {
					s.Erased = []string{fmt.Sprint("contact:", r.IntN(10))}
				}
				if err := l.Settle(t.Context(), s); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if s.State != ledger.Unknown {
					delete(unknown, in.ID)
				} else if r.IntN(2) == 0 {
					c.pass(time.Duration(r.Int64N(int64(4 * time.Hour))))
					if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "", ledger.Actor{Name: "ada"}); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					delete(unknown, in.ID)
				}
			case 9:
				switch r.IntN(8) {
				case 0:
					_ = l.Stop(t.Context(), ledger.Actor{Name: "ada"}, "")
				case 1, 2, 3, 4:
					_, _ = l.Resume(t.Context(), ledger.Actor{Name: "ada"})
				case 5:
					_, _ = l.Erase(t.Context(), fmt.Sprint("contact:", r.IntN(10)), ledger.Actor{Name: "ada"})
				default:
					l.RecordEvent(event(x.Subjects...))
				}
			case 10:
				ledger.Prune(t, l)
			}
		}
		ledger.Prune(t, l)
		got := clean(t, l)
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, got)
		}
		for id := range unknown {
			if in, err := l.Intent(t.Context(), id); err != nil || in.State == "" {
				t.Fatalf("seed %d: intent %s is not over and gone: %v", seed, id, err)
			}
		}
		t.Logf("%d records, %d removed, %d unknown", got.Records, got.Pruned, got.Unknown)
		l.Close()
	}
}
