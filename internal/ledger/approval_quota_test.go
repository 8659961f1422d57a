package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestQuotas: requests of one class are bounded by themselves, for one requester. Requests to hang
// up are counted apart.
func TestQuotas(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	ask := func(action, n string) error {
		x := call(n)
		x.Action = action
		return l.CreateApproval(t.Context(), approvalFor(x, c.now().Add(time.Minute)))
	}
	all := 0
	full := func(action string, most int, others ...string) {
		t.Helper()
		for i := range most {
			if err := ask(append(others, action)[i%(len(others)+1)], fmt.Sprint(action, i)); err != nil {
				t.Fatalf("%s %d: %v", action, i, err)
			}
		}
		all += most
		var pending *ledger.PendingError
		if err := ask(action, "more"); !errors.As(err, &pending) || !pending.Requester || pending.Pending != most || !errors.Is(err, ledger.ErrRejected) {
			t.Fatalf("one more %s: %v", action, err)
		}
	}
	full("delete_contact", 50, "archive_contact")
	if err := ask("delete_contact", "delete_contact1"); err != nil { // replaces the earlier request
		t.Fatal(err)
	}
	full("start_outbound_call", 50)
	full("create_contact", 50, "update_contact")
	full("list_contacts", 20)
	full("issue_operator_access_token", 10)
	full(ledger.HangUp, 50)
	if open, err := l.Approvals(t.Context(), ledger.ApprovalFilter{Open: true}); err != nil || len(open) != all {
		t.Errorf("pending: %d of %d, %v", len(open), all, err)
	}
	x := call("another's")
	x.Caller = ledger.Actor{Name: "bob"}
	createApproval(t, l, x, c.now().Add(time.Minute)) // the bound of one requester does not affect another
	verifyClean(t, l)
}

// TestQuotaOfAll: the requests of all requesters together are bounded, those to hang up apart.
func TestQuotaOfAll(t *testing.T) {
	if testing.Short() {
		t.Skip("creating 2,000 requests takes too long with -short")
	}
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("last")
	for i := range ledger.MaxPendingTotal {
		x := call(fmt.Sprint(i))
		x.Caller = ledger.Actor{Name: fmt.Sprint("caller ", i)}
		createApproval(t, l, x, c.now().Add(time.Minute))
	}
	var pending *ledger.PendingError
	if err := l.CreateApproval(t.Context(), approvalFor(x, c.now().Add(time.Minute))); !errors.As(err, &pending) || pending.Requester {
		t.Fatalf("one more: %v", err)
	}
	x.Action = ledger.HangUp
	createApproval(t, l, x, c.now().Add(time.Minute))
	c.advance(time.Minute)
	createApproval(t, l, call("after they have expired"), c.now().Add(time.Minute))
}
