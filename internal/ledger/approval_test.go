package ledger_test

import (
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestApprovalUsedOnce(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	request := createApproval(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "check before the answer", l.CheckApproval(t.Context(), request), ledger.ErrApprovalPending)
	x.ApprovalID = request.ID
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "commit before the answer", err, ledger.ErrApprovalPending)
	answer(t, l, request, ledger.Approved)
	answer(t, l, request, ledger.Approved) // the same answer again
	if err := l.CheckApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	in := commit(t, l, x)
	settle(t, l, in, ledger.Failed)
	_, err = l.Commit(t.Context(), x)
	wantErr(t, "second commit", err, ledger.ErrApprovalUsed)
	wantErr(t, "check after it", l.CheckApproval(t.Context(), request), ledger.ErrApprovalUsed)
	got, err := l.Approval(t.Context(), request.ID)
	if err != nil || got.State != ledger.Used || string(got.Payload) != string(x.Payload) || got.Hash != x.Hash || got.By == (ledger.Actor{}) {
		t.Errorf("request: %+v, %v", got, err)
	}
	verifyClean(t, l)
}

func TestApprovalMismatch(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	request := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	for name, change := range map[string]func(*ledger.ApprovalRequest){
		"requester":    func(request *ledger.ApprovalRequest) { request.Requester = ledger.Actor{Name: "eve"} },
		"credential":   func(request *ledger.ApprovalRequest) { request.Credential = "other" },
		"action":       func(request *ledger.ApprovalRequest) { request.Action = "delete_contact" },
		"organisation": func(request *ledger.ApprovalRequest) { request.Organisation = "another" },
		"hash":         func(request *ledger.ApprovalRequest) { request.Hash = "hash-b" },
	} {
		other := request
		change(&other)
		wantErr(t, name, l.CheckApproval(t.Context(), other), ledger.ErrApprovalMismatch)
		y := x
		y.Caller, y.Credential, y.Organisation, y.Action, y.Hash, y.ApprovalID = other.Requester, other.Credential, other.Organisation, other.Action, other.Hash, request.ID
		_, err := l.Commit(t.Context(), y)
		wantErr(t, name+" at commit", err, ledger.ErrApprovalMismatch)
		wantErr(t, name+" at answer", l.AnswerApproval(t.Context(), other, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "eve"}}), ledger.ErrApprovalMismatch)
	}
	none := request
	none.ID = ledger.NewID()
	wantErr(t, "unknown id", l.CheckApproval(t.Context(), none), ledger.ErrNoApproval)
	c.advance(time.Minute)
	wantErr(t, "late", l.CheckApproval(t.Context(), request), ledger.ErrApprovalExpired)

	request = createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	answer(t, l, request, ledger.Declined) // withdraws the approval
	wantErr(t, "withdrawn", l.CheckApproval(t.Context(), request), ledger.ErrApprovalDeclined)
	wantErr(t, "approved after a decline", l.AnswerApproval(t.Context(), request, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada"}}), ledger.ErrApprovalDeclined)

	first := createApproval(t, l, x, c.now().Add(time.Minute))
	createApproval(t, l, x, c.now().Add(time.Minute))
	wantErr(t, "replaced", l.CheckApproval(t.Context(), first), ledger.ErrApprovalRevoked)
	verifyClean(t, l)
}

// TestRecipientsChanged: an approval counts for the recipients on its card only.
func TestRecipientsChanged(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	x.Recipients, x.Exempted, x.Shadow = "two numbers", []string{"night"}, "deny"
	request := approvalFor(x, c.now().Add(time.Hour))
	request.Recipients = x.Recipients
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Approval(t.Context(), request.ID); err != nil || got.Recipients != request.Recipients {
		t.Errorf("%+v, %v", got, err)
	}
	changed, foreign := request, request
	changed.Recipients, foreign.Recipients, foreign.Requester = "three numbers", "three numbers", ledger.Actor{Name: "bob"}
	wantErr(t, "check", l.CheckApproval(t.Context(), changed), ledger.ErrRecipientsChanged)
	wantErr(t, "an approval", l.AnswerApproval(t.Context(), changed, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada"}}), ledger.ErrRecipientsChanged)
	wantErr(t, "another requester", l.CheckApproval(t.Context(), foreign), ledger.ErrApprovalMismatch)
	answer(t, l, request, ledger.Approved)
	wantErr(t, "check of an approval", l.CheckApproval(t.Context(), changed), ledger.ErrRecipientsChanged)
	y := x
	y.ApprovalID, y.Recipients = request.ID, "three numbers"
	_, err := l.Commit(t.Context(), y)
	wantErr(t, "commit", err, ledger.ErrRecipientsChanged)
	if x.ApprovalID = request.ID; err == nil {
		t.Fatal("it ran")
	}
	in := commit(t, l, x)
	if r := records(t, l, ledger.Filter{Intent: in.ID})[0]; r.Recipients != x.Recipients || len(r.Exempted) != 1 || r.Shadow != "deny" {
		t.Errorf("%+v", r)
	}
	// Other recipients do not change the conflict.
	if p, err := l.FindConflicting(t.Context(), y); err != nil || p == nil || p.ID != in.ID {
		t.Errorf("%+v, %v", p, err)
	}
	wantErr(t, "used", l.CheckApproval(t.Context(), changed), ledger.ErrApprovalUsed)

	// A decline counts for any recipients.
	z := call("b")
	declined := createApproval(t, l, z, c.now().Add(time.Hour))
	declined.Recipients = "somebody"
	answer(t, l, declined, ledger.Declined)
	verifyClean(t, l)
}

func TestNotSentReturnsTheApproval(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	request := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	settle(t, l, commit(t, l, x), ledger.NotSent)
	settle(t, l, commit(t, l, x), ledger.NotSent)
	in := commit(t, l, x)
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	settle(t, l, in, ledger.NotSent)
	wantErr(t, "after an emergency stop", l.CheckApproval(t.Context(), request), ledger.ErrApprovalRevoked)
	verifyClean(t, l)
}
