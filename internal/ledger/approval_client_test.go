package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestRecordUnanswered: what a client did without its person changes no state, is in the log, and
// an approver's view is told that the program left and came back.
func TestRecordUnanswered(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	x := call("a")
	r := approvalFor(x, c.now().Add(time.Hour))
	r.Shown = c.now().Add(15 * time.Second)
	if err := l.CreateApproval(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	departed := time.Time{}
	for _, kind := range []ledger.ClientEventKind{ledger.ClientCancelled, ledger.ClientTooFast, ledger.ClientUnclear, ledger.ClientFailed, ledger.ClientDeparted, ledger.ClientCancelled, ledger.ClientReturned} {
		version, err := l.ApprovalsVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: kind, Via: "client robot 1"}); err != nil {
			t.Fatal(err)
		}
		switch kind {
		case ledger.ClientDeparted:
			departed = c.now()
		case ledger.ClientReturned:
			departed = time.Time{}
		}
		got := readApproval(t, l, r.ID)
		if got.State != ledger.Pending || !got.Departed.Equal(departed) || got.By != (ledger.Actor{}) || !got.Shown.Equal(r.Shown) {
			t.Errorf("after %s: %+v", kind, got)
		}
		if now, err := l.ApprovalsVersion(t.Context()); err != nil || now == version {
			t.Errorf("%s did not change the version, %v", kind, err)
		}
		c.advance(time.Second)
	}
	if err := l.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: "approved"}); err == nil {
		t.Error("an unknown kind was recorded")
	}
	answer(t, l, readApproval(t, l, r.ID), ledger.Declined)
	if err := l.RecordUnanswered(t.Context(), r.ID, ledger.ClientEvent{Kind: ledger.ClientCancelled}); !errors.Is(err, ledger.ErrNoApproval) {
		t.Errorf("a declined request: %v", err)
	}
	verifyClean(t, l)
}
