package approval_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestDescribeOutcome(t *testing.T) {
	requested := time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)
	answered, expires, now := requested.Add(time.Minute), requested.Add(15*time.Minute), requested.Add(2*time.Minute)
	bob := ledger.Actor{Name: "bob", Via: "inbox"}
	fault := ledger.EncodeError(&schemas.Error{Outcome: schemas.LimitExceeded, Message: "the budget is exhausted"})
	for name, c := range map[string]struct {
		request ledger.ApprovalRequest
		intent  *ledger.Intent
		now     time.Time
		want    approval.Outcome
	}{
		"pending": {request: ledger.ApprovalRequest{State: ledger.Pending},
			want: approval.Outcome{At: requested, Tone: approval.ToneQuiet, Status: "pending"}},
		"expired": {request: ledger.ApprovalRequest{State: ledger.Pending}, now: expires,
			want: approval.Outcome{At: expires, Tone: approval.ToneQuiet, Status: "expired without an answer"}},
		"approved": {request: ledger.ApprovalRequest{State: ledger.Approved, By: bob, Answered: answered},
			want: approval.Outcome{At: answered, Tone: approval.ToneDone, Status: "bob approved, and it is about to run"}},
		"approved, not run in time": {request: ledger.ApprovalRequest{State: ledger.Approved, By: bob, Answered: answered}, now: expires,
			want: approval.Outcome{At: answered, Tone: approval.ToneWarn, Status: "bob approved, but it did not run in time"}},
		"declined": {request: ledger.ApprovalRequest{State: ledger.Declined, By: bob, Answered: answered, Note: "not\u202etoday"},
			want: approval.Outcome{At: answered, Tone: approval.ToneDeclined, Status: "bob declined", Detail: `not\u{202e}today`}},
		"declined, as a client says": {request: ledger.ApprovalRequest{State: ledger.Declined, By: ledger.Actor{Name: "bob", Via: "client x\u202e 1"}, Answered: answered},
			want: approval.Outcome{At: answered, Tone: approval.ToneDeclined, Status: `bob, via client x\u{202e} 1, declined`}},
		"revoked by a person": {request: ledger.ApprovalRequest{State: ledger.Revoked, By: bob, Answered: answered, Outcome: schemas.Declined},
			want: approval.Outcome{At: answered, Tone: approval.ToneQuiet, Status: "revoked by bob"}},
		"revoked by the program": {request: ledger.ApprovalRequest{State: ledger.Revoked},
			want: approval.Outcome{At: requested, Tone: approval.ToneQuiet, Status: "revoked"}},
		"revoked because it could not run": {request: ledger.ApprovalRequest{State: ledger.Revoked, By: bob, Answered: answered, Outcome: schemas.LimitExceeded, Fault: fault},
			want: approval.Outcome{At: answered, Tone: approval.ToneWarn, Status: "bob approved, but it did not run: limit exceeded", Detail: "the budget is exhausted"}},
		"running": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered}, intent: &ledger.Intent{State: ledger.Sent},
			want: approval.Outcome{At: answered, Tone: approval.ToneDone, Status: "bob approved, and it is running", Running: true}},
		"ran": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered}, intent: &ledger.Intent{State: ledger.Succeeded},
			want: approval.Outcome{At: answered, Tone: approval.ToneDone, Status: "bob approved, and it ran"}},
		"rejected by Sippet": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered}, intent: &ledger.Intent{State: ledger.Failed, Fault: fault},
			want: approval.Outcome{At: answered, Tone: approval.ToneWarn, Status: "bob approved, but Sippet rejected it", Detail: "the budget is exhausted"}},
		"not sent": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered}, intent: &ledger.Intent{State: ledger.NotSent},
			want: approval.Outcome{At: answered, Tone: approval.ToneWarn, Status: "bob approved, but nothing was sent"}},
		"unknown": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered}, intent: &ledger.Intent{ID: "i1", State: ledger.Unknown},
			want: approval.Outcome{At: answered, Tone: approval.ToneWarn, Status: "bob approved; whether it ran is unknown",
				Detail: "Find out whether it took effect, then record it: sippet-mcp audit resolve i1 --as succeeded|failed --note TEXT"}},
		"pruned": {request: ledger.ApprovalRequest{State: ledger.Used, By: bob, Answered: answered},
			want: approval.Outcome{At: answered, Tone: approval.ToneQuiet, Status: "bob approved; the result is not stored any more"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.request.Requested, c.request.Expires = requested, expires
			if c.now.IsZero() {
				c.now = now
			}
			if d := cmp.Diff(c.want, approval.DescribeOutcome(&c.request, c.intent, c.now)); d != "" {
				t.Error(d)
			}
		})
	}
}
