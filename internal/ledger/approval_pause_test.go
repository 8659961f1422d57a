package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestPause: three declines of one action within ten minutes pause new requests for it, for five
// minutes from the last decline.
func TestPause(t *testing.T) {
	type world struct {
		*ledger.SQLite
		c *clock
		n int
	}
	ask := func(w *world, action string) (ledger.ApprovalRequest, error) {
		w.n++
		x := call(fmt.Sprint(w.n))
		x.Action = action
		r := approvalFor(x, w.c.now().Add(24*time.Hour))
		return r, w.CreateApproval(t.Context(), r)
	}
	requests := func(w *world, action string, n int) (all []ledger.ApprovalRequest) {
		for range n {
			r, err := ask(w, action)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		return all
	}
	// decline declines a new request a while after the last one.
	decline := func(w *world, after time.Duration) {
		r := requests(w, "create_contact", 1)[0]
		w.c.advance(after)
		answer(t, w, r, ledger.Declined)
	}
	for name, test := range map[string]struct {
		before func(*world)
		paused time.Duration // from the end of before; 0 if nothing is paused
	}{
		"two":                      {func(w *world) { decline(w, 0); decline(w, 0) }, 0},
		"three":                    {func(w *world) { decline(w, 0); decline(w, 0); decline(w, 0) }, 5 * time.Minute},
		"three within ten minutes": {func(w *world) { decline(w, 0); decline(w, 9*time.Minute); decline(w, time.Minute) }, 5 * time.Minute},
		"three, but too slowly":    {func(w *world) { decline(w, 0); decline(w, 9*time.Minute); decline(w, time.Minute+time.Microsecond) }, 0},
		"the last three count":     {func(w *world) { decline(w, 0); decline(w, time.Hour); decline(w, time.Minute); decline(w, time.Minute) }, 5 * time.Minute},
		"a while ago":              {func(w *world) { decline(w, 0); decline(w, 0); decline(w, 0); w.c.advance(4 * time.Minute) }, time.Minute},
		"many at once": {func(w *world) {
			for _, r := range requests(w, "create_contact", 40) {
				answer(t, w, r, ledger.Declined)
			}
		}, 5 * time.Minute},
		"one more during the pause": {func(w *world) {
			more := requests(w, "create_contact", 1)[0]
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			w.c.advance(2 * time.Minute)
			answer(t, w, more, ledger.Declined)
		}, 5 * time.Minute},
		"one more, later than the window": {func(w *world) {
			more := requests(w, "create_contact", 1)[0]
			decline(w, 0)
			decline(w, time.Second)
			decline(w, 9*time.Minute)
			w.c.advance(4 * time.Minute)
			answer(t, w, more, ledger.Declined)
		}, time.Minute},
		"an approval between": {func(w *world) {
			yes := requests(w, "create_contact", 1)[0]
			decline(w, 0)
			decline(w, 0)
			answer(t, w, yes, ledger.Approved)
			decline(w, 0)
		}, 0},
		"an approval during the pause": {func(w *world) {
			yes := requests(w, "create_contact", 1)[0]
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			answer(t, w, yes, ledger.Approved)
		}, 0},
		"an approval that was used": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			x := call("used")
			r := createApproval(t, w, x, w.c.now().Add(time.Minute))
			answer(t, w, r, ledger.Approved)
			x.ApprovalID = r.ID
			settle(t, w, commit(t, w, x), ledger.Succeeded)
			decline(w, 0)
		}, 0},
		"of several actions": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			answer(t, w, requests(w, "delete_contact", 1)[0], ledger.Declined)
		}, 0},
		"of several callers": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			x := call("bob's")
			x.Caller = ledger.Actor{Name: "bob"}
			answer(t, w, createApproval(t, w, x, w.c.now().Add(time.Minute)), ledger.Declined)
		}, 0},
		"revoked and expired": {func(w *world) {
			for _, r := range requests(w, "create_contact", 3) {
				answer(t, w, r, ledger.Revoked)
			}
			requests(w, "create_contact", 3)
			w.c.advance(24 * time.Hour)
		}, 0},
		"what a client did": {func(w *world) {
			for _, r := range requests(w, "create_contact", 3) {
				if err := w.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: ledger.ClientTooFast}); err != nil {
					t.Fatal(err)
				}
			}
		}, 0},
		"approvals that were taken back": {func(w *world) {
			for _, r := range requests(w, "create_contact", 3) {
				answer(t, w, r, ledger.Approved)
				answer(t, w, r, ledger.Declined)
			}
		}, 5 * time.Minute},
		"one more after the pause": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			w.c.advance(5 * time.Minute)
			decline(w, time.Second)
		}, 5 * time.Minute},
		"one more long after the pause": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			w.c.advance(10 * time.Minute)
			decline(w, time.Second)
		}, 0},
		"lifted": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			lift(t, w, "create_contact")
			decline(w, 0)
			decline(w, 0)
		}, 0},
		"lifted, and three again": {func(w *world) {
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
			lift(t, w, "create_contact")
			decline(w, 0)
			decline(w, 0)
			decline(w, 0)
		}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			o := ledger.Options{Dir: t.TempDir(), Now: c.now}
			w := &world{SQLite: open(t, o), c: c}
			test.before(w)
			check := func() {
				t.Helper()
				other := open(t, o) // another process, or a restart
				defer other.Close()
				for _, l := range []*ledger.SQLite{w.SQLite, other} {
					r, err := ask(&world{SQLite: l, c: c, n: w.n + 1000}, "create_contact")
					var paused *ledger.PausedError
					switch {
					case test.paused == 0:
						if err != nil {
							t.Fatal(err)
						}
						answer(t, l, r, ledger.Revoked)
					case !errors.As(err, &paused) || !errors.Is(err, ledger.ErrRejected) || paused.Until.Sub(c.now()) != test.paused:
						t.Fatalf("%+v, want a pause of %v", err, test.paused)
					}
					all, err := l.Pauses(t.Context())
					if err != nil || len(all) > 0 != (test.paused > 0) || len(all) > 1 {
						t.Fatalf("%+v %v", all, err)
					}
					if len(all) > 0 && (!all[0].Until.Equal(paused.Until) || all[0].Declined.Action != "create_contact" || all[0].Declined.Requester.Name != "ada" || all[0].Declined.State != ledger.Declined) {
						t.Fatalf("%+v", all[0])
					}
				}
			}
			check()
			for _, action := range []string{"update_contact", ledger.HangUp} {
				if _, err := ask(w, action); err != nil {
					t.Errorf("%s: %v", action, err)
				}
			}
			x := call("by another caller")
			x.Caller = ledger.Actor{Name: "eve"}
			createApproval(t, w, x, c.now().Add(time.Minute))
			if test.paused > 0 {
				c.advance(test.paused - time.Microsecond)
				test.paused = time.Microsecond
				check()
				c.advance(time.Microsecond)
				test.paused = 0
				check()
			}
			verifyClean(t, w)
		})
	}
}

func lift(t testing.TB, l ledger.Ledger, action string) {
	t.Helper()
	all, err := l.Pauses(t.Context())
	if err != nil || len(all) != 1 || all[0].Declined.Action != action {
		t.Fatalf("%+v %v", all, err)
	}
	if err := l.LiftPause(t.Context(), all[0].Declined.ID, ledger.Actor{Name: "bob", Via: "inbox"}); err != nil {
		t.Fatal(err)
	}
}

// TestLiftPause: a lift is recorded, and only a pause can be lifted. Hanging up is never paused.
func TestLiftPause(t *testing.T) {
	c := newClock()
	o := ledger.Options{Dir: t.TempDir(), Now: c.now}
	l := open(t, o)
	decline := func(action string) (r ledger.ApprovalRequest) {
		for n := range 3 {
			x := call(fmt.Sprint(action, n))
			x.Action = action
			r = createApproval(t, l, x, c.now().Add(time.Minute))
			answer(t, l, r, ledger.Declined)
		}
		return r
	}
	by := ledger.Actor{Name: "bob", Via: "inbox"}
	wantErr(t, "hanging up", l.LiftPause(t.Context(), decline(ledger.HangUp).ID, by), ledger.ErrNoPause)
	wantErr(t, "no request", l.LiftPause(t.Context(), ledger.NewID(), by), ledger.ErrNoApproval)
	first := decline("create_contact")
	c.advance(time.Second)
	last := decline("delete_contact")
	all, err := l.Pauses(t.Context())
	if err != nil || len(all) != 2 || all[0].Declined.ID != first.ID || all[1].Declined.ID != last.ID {
		t.Fatalf("%+v %v", all, err)
	}
	before, _ := l.ApprovalsVersion(t.Context())
	if err := l.LiftPause(t.Context(), last.ID, by); err != nil {
		t.Fatal(err)
	}
	if after, _ := l.ApprovalsVersion(t.Context()); after == before {
		t.Error("pages do not see it")
	}
	wantErr(t, "again", l.LiftPause(t.Context(), last.ID, by), ledger.ErrNoPause)
	r := records(t, l, ledger.Filter{Phase: ledger.PhaseLifted})
	if len(r) != 1 || r[0].By != by || r[0].Caller.Name != "ada" || r[0].Action != "delete_contact" || r[0].ApprovalID != last.ID || r[0].Summary() != "pause of new requests ended by bob, via inbox" {
		t.Errorf("%+v", r)
	}
	verifyClean(t, l)
	if all, err = open(t, o).Pauses(t.Context()); err != nil || len(all) != 1 || all[0].Declined.ID != first.ID {
		t.Errorf("after a restart: %+v %v", all, err)
	}
	// Whoever changes a table is found out: also who takes back declines to ask again.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, query := range map[string]string{"removed": "DELETE FROM lifts", "moved": "UPDATE lifts SET seq = seq - 1",
		"added": `INSERT INTO lifts VALUES ('{"name":"ada"}', 'create_contact', 5)`, "earlier": "UPDATE approvals SET answered = 1"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, func(db *sql.DB) {
				if _, err := db.Exec(query); err != nil {
					t.Fatal(err)
				}
			})
			l := open(t, ledger.Options{Dir: dir, Now: c.now})
			if name == "earlier" {
				createApproval(t, l, call("again"), c.now().Add(time.Minute))
			}
			if r, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(r.Findings) == 0 || r.Findings[0].Kind != ledger.WrongApproval {
				t.Errorf("%+v %v", r.Findings, err)
			}
		})
	}
}

// TestPauseAndErasure: a pause remains when a person within the declined requests is erased, and the
// retention removes declines and lifts with their records.
func TestPauseAndErasure(t *testing.T) {
	c := newClock()
	o := ledger.Options{Dir: t.TempDir(), Now: c.now, Retention: 48 * time.Hour}
	l := open(t, o)
	decline := func(name string) (r ledger.ApprovalRequest) {
		x := call(name)
		x.Subjects = []string{"contact:" + name}
		r = createApproval(t, l, x, c.now().Add(time.Minute))
		answer(t, l, r, ledger.Declined)
		return r
	}
	decline("a")
	decline("b")
	last := decline("c")
	for _, name := range []string{"a", "b", "c"} {
		if existed, err := l.Erase(t.Context(), "contact:"+name, ledger.Actor{Name: "root"}); err != nil || !existed {
			t.Fatal(existed, err)
		}
	}
	var paused *ledger.PausedError
	if err := l.CreateApproval(t.Context(), approvalFor(call("d"), c.now().Add(time.Minute))); !errors.As(err, &paused) || paused.Declined.ID != last.ID {
		t.Fatal(err)
	}
	verifyClean(t, l)
	lift(t, l, "create_contact")
	decline("d")
	verifyClean(t, l)
	for range 3 {
		c.advance(47 * time.Hour)
		decline("d")
		ledger.Prune(t, l)
		verifyClean(t, l)
	}
	if r := records(t, l, ledger.Filter{Phase: ledger.PhaseLifted}); len(r) != 0 {
		t.Errorf("%+v", r)
	}
	if all, err := open(t, o).Pauses(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}
