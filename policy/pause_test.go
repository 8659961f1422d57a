package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestPause checks that three declines of an action end in a pause of new requests for it, whichever
// way people declined, and that nothing else does.
func TestPause(t *testing.T) {
	ring := func(n int) string { return fmt.Sprintf(`{"input":{"phoneNumber":"+4420794601%02d"}}`, n) }
	dialogue := func(action policy.ClientAction, after time.Duration) func(*testing.T, *approvalWorld, string, string) {
		return func(t *testing.T, o *approvalWorld, id, args string) {
			c := call(t, adaCaller, "start_outbound_call", args)
			c.CanAsk, c.ApprovalID = true, id
			if _, fault := o.RecordReply(t.Context(), c, policy.ClientReply{Action: action, After: after}); fault != nil {
				t.Fatal(fault)
			}
		}
	}
	inbox := func(t *testing.T, o *approvalWorld, id, _ string) { o.answer(t, id, bobPerson, approval.Reply{}) }
	revoked := func(t *testing.T, o *approvalWorld, id, _ string) {
		if fault := o.approvals.Revoke(t.Context(), id, bobPerson); fault != nil {
			t.Fatal(fault)
		}
	}
	for name, c := range map[string]struct {
		decline func(*testing.T, *approvalWorld, string, string)
		pauses  bool
	}{
		"in the inbox":        {inbox, true},
		"in a dialogue":       {dialogue(policy.ClientDeclines, policy.SoonestAnswer), true},
		"too fast":            {dialogue(policy.ClientDeclines, policy.SoonestAnswer-1), false},
		"cancelled":           {dialogue(policy.ClientCancels, time.Minute), false},
		"a failure":           {dialogue(policy.ClientFails, time.Minute), false},
		"revoked by a person": {revoked, false},
		"nobody answers":      {func(_ *testing.T, o *approvalWorld, _, _ string) { o.clock.Add(15 * time.Minute) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			for n := range 3 {
				first := call(t, adaCaller, "start_outbound_call", ring(n))
				first.CanAsk = true
				a := o.Do(t.Context(), first)
				if a.Pending == nil {
					t.Fatal(brief(a))
				}
				c.decline(t, o, a.Pending.ApprovalID, ring(n))
			}
			before, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{})
			if err != nil {
				t.Fatal(err)
			}
			again := call(t, adaCaller, "start_outbound_call", ring(50))
			again.Client, again.Request = "another program 2", "another session"
			a := o.Do(t.Context(), again)
			if !c.pauses {
				if a.Pending == nil {
					t.Error(brief(a))
				}
				return
			}
			until := o.clock.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)
			if a.Outcome() != schemas.LimitExceeded || a.Pending != nil || a.Err.RetryAfter != 5*time.Minute || !strings.Contains(a.Err.Message, "no more are made until "+until+"; nothing ran") ||
				!strings.Contains(a.Err.Next, "they can lift the pause in the inbox") {
				t.Errorf("%s %+v", brief(a), a.Err)
			}
			if after, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{}); err != nil || len(after) != len(before) {
				t.Errorf("%d requests, %d before, %v", len(after), len(before), err)
			}
			o.ask(t, call(t, boCaller, "start_outbound_call", ring(50)))
			o.ask(t, call(t, adaCaller, "create_contact", createArgs))
			o.clock.Add(5*time.Minute - time.Microsecond)
			if a := o.Do(t.Context(), again); a.Outcome() != schemas.LimitExceeded {
				t.Error(brief(a))
			}
			o.clock.Add(time.Microsecond)
			o.ask(t, again)
		})
	}
}

// TestPauseKeepsSafeDirection checks that nothing keeps a person from being asked to hang up.
func TestPauseKeepsSafeDirection(t *testing.T) {
	o := newApprovalWorld(t, house)
	for n := range 5 {
		id := o.ask(t, call(t, adaCaller, "end_call", fmt.Sprintf(`{"input":{"callUuid":"c-%d"}}`, n)))
		o.answer(t, id, bobPerson, approval.Reply{})
	}
}

// TestPausedBesidePending checks that the answer during a pause repeats no note of a decline, and that a
// request which was pending before can still be approved, which ends the pause.
func TestPausedBesidePending(t *testing.T) {
	o := newApprovalWorld(t, house)
	o.startExecutor(t)
	args := func(n int) string { return fmt.Sprintf(`{"input":{"fullName":"%d"}}`, n) }
	first := o.ask(t, call(t, adaCaller, "create_contact", args(0)))
	for n := range 3 {
		id := o.ask(t, call(t, adaCaller, "create_contact", args(n+1)))
		o.answer(t, id, adaPerson, approval.Reply{Note: "not this one"})
	}
	a := o.Do(t.Context(), call(t, adaCaller, "create_contact", args(9)))
	if a.Outcome() != schemas.LimitExceeded || strings.Contains(a.Err.Message+a.Err.Next, "not this one") {
		t.Errorf("%s %+v", brief(a), a.Err)
	}
	if a := o.Do(t.Context(), call(t, adaCaller, "create_contact", args(0))); a.Pending == nil || a.Pending.ApprovalID != first {
		t.Errorf("what is pending is not found: %s", brief(a))
	}
	o.answer(t, first, adaPerson, approves)
	if a := o.outcome(t, first); a.Outcome() != schemas.Done {
		t.Error(brief(a))
	}
	o.ask(t, call(t, adaCaller, "create_contact", args(9)))
}
