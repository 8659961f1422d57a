package ledger_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestApprovalStates: in each state CheckApproval and Commit return the same error.
func TestApprovalStates(t *testing.T) {
	type world struct {
		*ledger.SQLite
		c       *clock
		request ledger.ApprovalRequest
		x       ledger.Txn
	}
	answerWith := func(s ledger.ApprovalState) func(*world) {
		// Some answers are rejected, as the cases expect.
		return func(w *world) {
			_ = w.AnswerApproval(t.Context(), w.request, ledger.Reply{State: s, By: ledger.Actor{Name: "ada"}})
		}
	}
	approve, decline, revoke := answerWith(ledger.Approved), answerWith(ledger.Declined), answerWith(ledger.Revoked)
	use := func(w *world) { settle(t, w, commit(t, w, w.x), ledger.Failed) }
	expire := func(w *world) { w.c.advance(time.Minute) }
	for name, test := range map[string]struct {
		before []func(*world)
		want   error
	}{
		"pending":                 {nil, ledger.ErrApprovalPending},
		"approved":                {[]func(*world){approve}, nil},
		"approved twice":          {[]func(*world){approve, approve}, nil},
		"declined":                {[]func(*world){decline}, ledger.ErrApprovalDeclined},
		"approved, then declined": {[]func(*world){approve, decline}, ledger.ErrApprovalDeclined},
		"declined, then approved": {[]func(*world){decline, approve}, ledger.ErrApprovalDeclined},
		"revoked":                 {[]func(*world){revoke}, ledger.ErrApprovalRevoked},
		"revoked, then approved":  {[]func(*world){revoke, approve}, ledger.ErrApprovalRevoked},
		"used":                    {[]func(*world){approve, use}, ledger.ErrApprovalUsed},
		"used, then approved":     {[]func(*world){approve, use, approve}, ledger.ErrApprovalUsed},
		"expired":                 {[]func(*world){expire}, ledger.ErrApprovalExpired},
		"expired, then approved":  {[]func(*world){expire, approve}, ledger.ErrApprovalExpired},
		"approved, then expired":  {[]func(*world){approve, expire}, ledger.ErrApprovalExpired},
		"just in time":            {[]func(*world){approve, func(w *world) { w.c.advance(time.Minute - time.Microsecond) }}, nil},
		"created as approved": {[]func(*world){func(w *world) {
			w.request.ID, w.request.State = ledger.NewID(), ledger.Approved
			if err := w.CreateApproval(t.Context(), w.request); err != nil {
				t.Fatal(err)
			}
			w.x.ApprovalID = w.request.ID
		}}, ledger.ErrApprovalPending},
		"claimed to be approved":          {[]func(*world){func(w *world) { w.request.State = ledger.Approved }}, ledger.ErrApprovalPending},
		"no id":                           {[]func(*world){approve, func(w *world) { w.request.ID, w.x.ApprovalID = "", "none" }}, ledger.ErrNoApproval},
		"replaced":                        {[]func(*world){func(w *world) { createApproval(t, w, w.x, w.c.now().Add(time.Minute)) }}, ledger.ErrApprovalRevoked},
		"approved, then replaced":         {[]func(*world){approve, func(w *world) { createApproval(t, w, w.x, w.c.now().Add(time.Minute)) }}, ledger.ErrApprovalRevoked},
		"approved beside another request": {[]func(*world){func(w *world) { createApproval(t, w, call("b"), w.c.now().Add(time.Minute)) }, approve}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			w := &world{SQLite: open(t, ledger.Options{Now: c.now}), c: c, x: call("a")}
			w.request = createApproval(t, w, w.x, c.now().Add(time.Minute))
			w.x.ApprovalID = w.request.ID
			for _, f := range test.before {
				f(w)
			}
			wantErr(t, "check", w.CheckApproval(t.Context(), w.request), test.want)
			_, err := w.Commit(t.Context(), w.x)
			wantErr(t, "commit", err, test.want)
			if test.want == nil {
				wantErr(t, "check after it", w.CheckApproval(t.Context(), w.request), ledger.ErrApprovalUsed)
			}
			verifyClean(t, w)
		})
	}
}

// TestNewRequestRevokesApproval: a new request revokes an earlier approval for the same call, even
// if that is returned later.
func TestNewRequestRevokesApproval(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	first := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, first, ledger.Approved)
	x.ApprovalID = first.ID
	second := createApproval(t, l, x, c.now().Add(time.Minute))
	_, err := l.Commit(t.Context(), x)
	wantErr(t, "the first approval", err, ledger.ErrApprovalRevoked)
	answer(t, l, second, ledger.Declined)
	_, err = l.Commit(t.Context(), x)
	wantErr(t, "the first approval after a decline", err, ledger.ErrApprovalRevoked)

	third := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, third, ledger.Approved)
	x.ApprovalID = third.ID
	in := commit(t, l, x)
	fourth := createApproval(t, l, x, c.now().Add(time.Minute))
	settle(t, l, in, ledger.NotSent)
	wantErr(t, "returned", l.CheckApproval(t.Context(), third), ledger.ErrApprovalRevoked)
	wantErr(t, "the new request", l.CheckApproval(t.Context(), fourth), ledger.ErrApprovalPending)
	verifyClean(t, l)
}

func TestApprovalUsedOnceConcurrently(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Class, x.Action = schemas.Read, "get_contact" // only the approval can reject it
	request := createApproval(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	var wg sync.WaitGroup
	commits := make(chan bool, 50)
	for range cap(commits) {
		wg.Go(func() {
			if _, err := l.Commit(t.Context(), x); err == nil {
				commits <- true
			} else if !errors.Is(err, ledger.ErrApprovalUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(commits) != 1 {
		t.Errorf("used %d times", len(commits))
	}
}

// TestApprovedRead: a read that a person approved uses its approval as a write does, and conflicts
// with nothing.
func TestApprovedRead(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Class, x.Action = schemas.Read, "get_contact"
	for range 2 {
		x.ApprovalID = ""
		if _, err := l.Commit(t.Context(), x); err == nil {
			t.Fatal("a read without an approval was committed")
		}
		request := createApproval(t, l, x, time.Now().Add(time.Minute))
		x.ApprovalID = request.ID
		_, err := l.Commit(t.Context(), x)
		wantErr(t, "before the answer", err, ledger.ErrApprovalPending)
		answer(t, l, request, ledger.Approved)
		in := commit(t, l, x)
		_, err = l.Commit(t.Context(), x)
		wantErr(t, "again", err, ledger.ErrApprovalUsed)
		if p, err := l.FindConflicting(t.Context(), x); err != nil || p != nil {
			t.Errorf("conflict of a read: %+v, %v", p, err)
		}
		settle(t, l, in, ledger.Succeeded)
	}
	verifyClean(t, l)
}
