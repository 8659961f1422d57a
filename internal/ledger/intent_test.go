package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func conflictOf(t *testing.T, err error) ledger.Intent {
	t.Helper()
	var p *ledger.ConflictError
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a *ConflictError", err)
	}
	return p.Intent
}

func TestIdenticalPayload(t *testing.T) {
	for _, test := range []struct {
		name       string
		end        ledger.IntentState
		idempotent bool
		after      time.Duration
		rejected   bool
	}{
		{"in flight", "", false, 0, true},
		{"in flight, idempotent", "", true, 0, true},
		{"on the wire", ledger.Sent, true, 0, true},
		{"unknown", ledger.Unknown, false, time.Hour, true},
		{"unknown, idempotent", ledger.Unknown, true, time.Hour, true},
		{"succeeded", ledger.Succeeded, false, 9 * time.Minute, true},
		{"succeeded long ago", ledger.Succeeded, false, 11 * time.Minute, false},
		{"succeeded, idempotent", ledger.Succeeded, true, 0, false},
		{"failed", ledger.Failed, false, 0, false},
		{"not sent", ledger.NotSent, false, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			l := open(t, ledger.Options{Now: c.now, Stale: 24 * time.Hour})
			x := call("a")
			x.Repeats = !test.idempotent
			in := commit(t, l, x)
			if test.end == ledger.Sent {
				if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Sent}); err != nil {
					t.Fatal(err)
				}
			} else if test.end != "" {
				settle(t, l, in, test.end)
			}
			c.advance(test.after)
			found, err := l.FindConflicting(t.Context(), x)
			if err != nil || (found != nil) != test.rejected {
				t.Fatalf("conflict: %+v, %v", found, err)
			}
			_, err = l.Commit(t.Context(), x)
			if !test.rejected {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if p := conflictOf(t, err); p.ID != in.ID || found.ID != in.ID {
				t.Errorf("conflict with %s, want %s", p.ID, in.ID)
			}
			if test.end == ledger.Succeeded && string(found.Result) != `{"id":"r1"}` || string(found.Payload) != string(x.Payload) {
				t.Errorf("stored: %s, %s", found.Payload, found.Result)
			}
			other := x
			other.Caller = ledger.Actor{Name: "bob"}
			commit(t, l, other)
			otherOrganisation := x
			otherOrganisation.Organisation = "another"
			if p, err := l.FindConflicting(t.Context(), otherOrganisation); err != nil || p != nil {
				t.Errorf("conflict in another organisation: %+v, %v", p, err)
			}
			if in := commit(t, l, otherOrganisation); in.Organisation != "another" {
				t.Errorf("organisation: %q", in.Organisation)
			}
			// An approval whose card showed the intent lets it run again, once.
			request := approvalFor(x, c.now().Add(time.Minute))
			request.Repeats = in.ID
			if err := l.CreateApproval(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			answer(t, l, request, ledger.Approved)
			x.ApprovalID = request.ID
			again := commit(t, l, x)
			settle(t, l, again, ledger.Unknown)
			if _, err = l.Commit(t.Context(), x); conflictOf(t, err).ID != again.ID {
				t.Errorf("the second repeat: %v", err)
			}
			verifyClean(t, l)
		})
	}
}

func TestConflictKeepsApproval(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	request := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	in := commit(t, l, x) // ran without the approval meanwhile
	settle(t, l, in, ledger.Succeeded)
	x.ApprovalID = request.ID
	if _, err := l.Commit(t.Context(), x); conflictOf(t, err).ID != in.ID {
		t.Error("ran twice")
	}
	if err := l.CheckApproval(t.Context(), request); err != nil {
		t.Errorf("the rejected commit changed the approval: %v", err)
	}
}

func TestSettle(t *testing.T) {
	l := open(t, ledger.Options{})
	in := commit(t, l, call("a"))
	wantErr(t, "unknown id", l.Settle(t.Context(), ledger.Settlement{Intent: "x", State: ledger.Failed}), ledger.ErrNoIntent)
	settle(t, l, in, ledger.Succeeded)
	wantErr(t, "twice", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Failed}), ledger.ErrAlreadySettled)
	wantErr(t, "known", l.Resolve(t.Context(), in.ID, ledger.Failed, "", ledger.Actor{Name: "ada"}), ledger.ErrOutcomeKnown)
	if l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: "perhaps"}) == nil {
		t.Error("an invalid state was accepted")
	}

	token := call("token")
	token.Action, token.Class = "issue_widget_token", schemas.Credential
	in = commit(t, l, token)
	settle(t, l, in, ledger.Succeeded)
	got, err := l.Intent(t.Context(), in.ID)
	if err != nil || got.Result != nil || got.State != ledger.Succeeded || got.Latency != 5*time.Millisecond {
		t.Errorf("%+v, %v", got, err)
	}
	verifyClean(t, l)
}

func TestSweepAndResolve(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	o := ledger.Options{Dir: dir, Now: c.now}
	l := open(t, o)
	in := commit(t, l, call("a"))
	late := commit(t, l, call("late"))
	l.Close()
	if _, err := l.Commit(t.Context(), call("b")); err == nil {
		t.Error("a closed ledger accepted a commit")
	}
	l = open(t, o)
	if got, _ := l.Intent(t.Context(), in.ID); got.State != ledger.Prepared {
		t.Errorf("abandoned too early: %s", got.State)
	}
	l.Close()
	c.advance(2 * time.Minute)
	l = open(t, o)
	if got, _ := l.Intents(t.Context(), ledger.IntentFilter{State: ledger.Unknown}); len(got) != 2 {
		t.Errorf("unknown: %+v", got)
	}
	settle(t, l, late, ledger.Unknown)   // no change
	settle(t, l, late, ledger.Succeeded) // it was only slow
	if err := l.Resolve(t.Context(), in.ID, ledger.Failed, "not in the list", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "after a person", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true}), ledger.ErrAlreadySettled)
	commit(t, l, call("a"))
	verifyClean(t, l)
}

func TestHangUpIsAnAction(t *testing.T) {
	if a, err := schemas.Find(ledger.HangUp); err != nil || !a.Idempotent {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestCommitMisuse(t *testing.T) {
	l := open(t, ledger.Options{})
	for name, change := range map[string]func(*ledger.Txn){
		"a read":         func(x *ledger.Txn) { x.Class = schemas.Read },
		"no hash":        func(x *ledger.Txn) { x.Hash = "" },
		"no class":       func(x *ledger.Txn) { x.Class = "" },
		"debits":         func(x *ledger.Txn) { x.Debits = []ledger.Debit{{Budget: "calls", Cost: 1, Burst: 1}} },
		"not JSON":       func(x *ledger.Txn) { x.Payload = []byte("{") },
		"a bad approval": func(x *ledger.Txn) { x.ApprovalID = "'; DROP TABLE approvals; --" },
	} {
		x := call("a")
		change(&x)
		if _, err := l.Commit(t.Context(), x); err == nil {
			t.Errorf("%s was committed", name)
		}
	}
	for _, id := range []string{"", "x", "000000000001", "zzzzzzzzzzzz11111111111111111111", "ffffffffffffffffffffffffffffffff"} {
		if _, err := l.Intent(t.Context(), id); !errors.Is(err, ledger.ErrNoIntent) {
			t.Errorf("intent %q: %v", id, err)
		}
		wantErr(t, id, l.Settle(t.Context(), ledger.Settlement{Intent: id, State: ledger.Failed}), ledger.ErrNoIntent)
	}
	// Hostile text is stored as text.
	x := call("a")
	x.Client, x.Why, x.Caller = "evil\x00\xff\u202e\n\"", strings.Repeat("é", 1000), ledger.Actor{Name: "ada"}
	settle(t, l, commit(t, l, x), ledger.Failed)
	if r := verifyClean(t, l); r.Records != 2 {
		t.Errorf("%+v", r)
	}
}
