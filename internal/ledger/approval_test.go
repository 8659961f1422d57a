package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestApprovalIsUsedOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "check before the answer", l.CheckApproval(t.Context(), g), ledger.ErrApprovalPending)
	x.ApprovalID = g.ID
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "commit before the answer", err, ledger.ErrApprovalPending)
	answer(t, l, g, ledger.Approved)
	answer(t, l, g, ledger.Approved) // twice is once
	if err := l.CheckApproval(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	in := commit(t, l, x)
	settle(t, l, in, ledger.Failed)
	_, err = l.Commit(t.Context(), x)
	wantErr(t, "second commit", err, ledger.ErrApprovalUsed)
	wantErr(t, "check after it", l.CheckApproval(t.Context(), g), ledger.ErrApprovalUsed)
	got, err := l.Approval(t.Context(), g.ID)
	if err != nil || got.State != ledger.Used || string(got.Payload) != string(x.Payload) || got.Hash != x.Hash || got.By == (ledger.Actor{}) {
		t.Errorf("the grant reads %+v, %v", got, err)
	}
	clean(t, l)
}

func TestApprovalMismatch(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	for name, change := range map[string]func(*ledger.ApprovalRequest){
		"principal":  func(g *ledger.ApprovalRequest) { g.Requester = ledger.Actor{Name: "eve"} },
		"credential": func(g *ledger.ApprovalRequest) { g.Credential = "other" },
		"action":     func(g *ledger.ApprovalRequest) { g.Action = "delete_contact" },
		"upstream":   func(g *ledger.ApprovalRequest) { g.Organisation = "another" },
		"hash":       func(g *ledger.ApprovalRequest) { g.Hash = "hash-b" },
		"policy":     func(g *ledger.ApprovalRequest) { g.Policy = "v2" },
	} {
		other := g
		change(&other)
		wantErr(t, name, l.CheckApproval(t.Context(), other), ledger.ErrApprovalMismatch)
		y := x
		y.Caller, y.Credential, y.Organisation, y.Action, y.Hash, y.Policy, y.ApprovalID = other.Requester, other.Credential, other.Organisation, other.Action, other.Hash, other.Policy, g.ID
		_, err := l.Commit(t.Context(), y)
		wantErr(t, name+" at commit", err, ledger.ErrApprovalMismatch)
		wantErr(t, name+" at answer", l.AnswerApproval(t.Context(), other, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "eve"}}), ledger.ErrApprovalMismatch)
	}
	none := g
	none.ID = ledger.NewID()
	wantErr(t, "unknown id", l.CheckApproval(t.Context(), none), ledger.ErrNoApproval)
	c.pass(time.Minute)
	wantErr(t, "late", l.CheckApproval(t.Context(), g), ledger.ErrApprovalExpired)

	g = ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	answer(t, l, g, ledger.Declined) // a no takes back a yes
	wantErr(t, "taken back", l.CheckApproval(t.Context(), g), ledger.ErrApprovalDeclined)
	wantErr(t, "yes after no", l.AnswerApproval(t.Context(), g, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada"}}), ledger.ErrApprovalDeclined)

	first := ask(t, l, x, c.now().Add(time.Minute))
	ask(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "asked anew", l.CheckApproval(t.Context(), first), ledger.ErrApprovalRevoked)
	clean(t, l)
}

func TestTooManyPending(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	for i := range ledger.MaxPending {
		ask(t, l, call(fmt.Sprint(i)), c.now().Add(time.Minute))
	}
	wantErr(t, "one more", l.CreateApproval(t.Context(), approvalFor(call("more"), c.now().Add(time.Minute))), ledger.ErrTooManyPending)
	ask(t, l, call("3"), c.now().Add(time.Minute)) // takes the place of its elder
	if w, err := l.Approvals(t.Context(), ledger.ApprovalFilter{Open: true}); err != nil || len(w) != ledger.MaxPending {
		t.Errorf("waiting: %d, %v", len(w), err)
	}
	x := call("another's")
	x.Caller = ledger.Actor{Name: "bob"}
	ask(t, l, x, c.now().Add(time.Minute)) // one caller does not fill the room of all
	y := call("hang up")
	y.Action = ledger.HangUp
	ask(t, l, y, c.now().Add(time.Minute)) // nothing keeps a call from being hung up
	if testing.Short() {
		t.Skip("filling the room of all is not done with -short")
	}
	c.pass(time.Hour)
	ask(t, l, call("more"), c.now().Add(time.Minute))
	for i := 1; i < ledger.MaxPendingTotal; i++ {
		x := call(fmt.Sprint(i))
		x.Caller = ledger.Actor{Name: fmt.Sprint("caller ", i)}
		ask(t, l, x, c.now().Add(time.Minute))
	}
	wantErr(t, "one more than all", l.CreateApproval(t.Context(), approvalFor(x, c.now().Add(time.Minute))), ledger.ErrTooManyPending)
}

// A yes counts for those whom the card named and for nobody else.
func TestDrift(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	x.Recipients, x.Exempted, x.Shadow = "two numbers", []string{"night"}, "deny"
	g := approvalFor(x, c.now().Add(time.Hour))
	g.Recipients = x.Recipients
	if err := l.CreateApproval(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Approval(t.Context(), g.ID); err != nil || got.Recipients != g.Recipients {
		t.Errorf("%+v, %v", got, err)
	}
	drifted, foreign := g, g
	drifted.Recipients, foreign.Recipients, foreign.Requester = "three numbers", "three numbers", ledger.Actor{Name: "bob"}
	wantErr(t, "check", l.CheckApproval(t.Context(), drifted), ledger.ErrRecipientsChanged)
	wantErr(t, "a yes", l.AnswerApproval(t.Context(), drifted, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada"}}), ledger.ErrRecipientsChanged)
	wantErr(t, "another's", l.CheckApproval(t.Context(), foreign), ledger.ErrApprovalMismatch)
	answer(t, l, g, ledger.Approved)
	wantErr(t, "check of a yes", l.CheckApproval(t.Context(), drifted), ledger.ErrRecipientsChanged)
	y := x
	y.ApprovalID, y.Recipients = g.ID, "three numbers"
	_, err := l.Commit(t.Context(), y)
	wantErr(t, "commit", err, ledger.ErrRecipientsChanged)
	if x.ApprovalID = g.ID; err == nil {
		t.Fatal("it ran")
	}
	in := commit(t, l, x)
	if r := records(t, l, ledger.Filter{Intent: in.ID})[0]; r.Recipients != x.Recipients || len(r.Exempted) != 1 || r.Shadow != "deny" {
		t.Errorf("%+v", r)
	}
	// What was known of the payload before is known of it wherever it reaches now.
	if p, err := l.FindConflicting(t.Context(), y); err != nil || p == nil || p.ID != in.ID {
		t.Errorf("%+v, %v", p, err)
	}
	wantErr(t, "spent", l.CheckApproval(t.Context(), drifted), ledger.ErrApprovalUsed)

	// A no counts even so.
	z := call("b")
	h := ask(t, l, z, c.now().Add(time.Hour))
	h.Recipients = "somebody"
	answer(t, l, h, ledger.Declined)
	clean(t, l)
}

func TestNotSentReturnsTheApproval(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	g := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	x.ApprovalID = g.ID
	settle(t, l, commit(t, l, x), ledger.NotSent)
	settle(t, l, commit(t, l, x), ledger.NotSent)
	in := commit(t, l, x)
	if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	settle(t, l, in, ledger.NotSent)
	wantErr(t, "after a freeze", l.CheckApproval(t.Context(), g), ledger.ErrApprovalRevoked)
	clean(t, l)
}

func TestEmergencyStop(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	waiting, x := ask(t, l, call("w"), c.now().Add(time.Minute)), call("g")
	granted := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, granted, ledger.Approved)
	if f, err := l.CurrentStop(t.Context()); err != nil || f != nil {
		t.Fatal(f, err)
	}
	if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, "lunch"); err != nil {
		t.Fatal(err)
	}
	if f, err := l.CurrentStop(t.Context()); err != nil || f == nil || f.By.String() != "ada" || f.Note != "lunch" {
		t.Fatalf("frozen: %+v, %v", f, err)
	}
	wantErr(t, "waiting", l.CheckApproval(t.Context(), waiting), ledger.ErrApprovalRevoked)
	wantErr(t, "granted", l.CheckApproval(t.Context(), granted), ledger.ErrApprovalRevoked)
	var stop *ledger.StoppedError
	if _, err := l.Commit(t.Context(), x); !errors.As(err, &stop) || stop.Note != "lunch" {
		t.Errorf("commit while frozen: %v", err)
	}
	if err := l.CreateApproval(t.Context(), approvalFor(x, c.now().Add(time.Minute))); !errors.As(err, &stop) {
		t.Errorf("ask while frozen: %v", err)
	}
	up := call("up")
	up.Action, up.Class = ledger.HangUp, "destructive"
	commit(t, l, up)
	commit(t, l, up) // also while the first is in flight
	if was, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil || !was {
		t.Fatal(was, err)
	}
	if was, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil || was {
		t.Fatal(was, err)
	}
	wantErr(t, "after the freeze", l.CheckApproval(t.Context(), granted), ledger.ErrApprovalRevoked)
	commit(t, l, x)
	clean(t, l)
}
