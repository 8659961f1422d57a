package policy_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	ringContact  = `{"input":{"contactId":"` + anID + `"}}`
	eraseContact = `{"input":{"contactId":"` + anID + `"}}`
	budgeted     = house + `budgets: {rings: {key: caller, rate: 1/h, burst: 1, cost: recipients.size()}}
rules:
  - {id: premium-rate, match: {actions: ["start_*"]}, when: "recipients.exists(r, has(r.kind) && r.kind == 'premium_rate')", decision: deny, reason: It charges its callers.}
  - {id: few, match: {actions: ["start_*"]}, limit: rings, reason: One an hour.}
`
)

var unreachable = &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet cannot be reached", Next: "try again later"}

// TestApprovalRevokedWhenRunFails checks calls that cannot run after they were approved: the
// approval is revoked, and the requester gets the reason from the waiting call, from the status and
// from a repeated call.
func TestApprovalRevokedWhenRunFails(t *testing.T) {
	for name, c := range map[string]struct {
		policy, action, args string
		since                func(t *testing.T, o *approvalWorld) // between the request and the approval
		outcome              schemas.Outcome
		says                 string
		runs                 int
		state                ledger.ApprovalState // of the approval; empty means revoked
	}{
		"validate rejects": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) {
				s.invalid = &schemas.Error{Outcome: schemas.ValidationFailed, Message: "the name is taken", Next: "choose another"}
			})
		}, schemas.ValidationFailed, "the name is taken", 0, ""},
		"validate cannot be reached": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.invalid = unreachable })
		}, schemas.UpstreamUnavailable, "cannot be reached", 0, ""},
		"another number": {budgeted, "start_outbound_call", ringContact, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.numbers = map[string]string{anID: "+447700900123"} })
		}, schemas.Denied, "the recipients have changed", 0, ""},
		"a number that is denied": {budgeted, "start_outbound_call", ringContact, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.numbers = map[string]string{anID: "+449098790123"} })
		}, schemas.Denied, "rule premium-rate", 0, ""},
		"no recipient any more": {budgeted, "start_outbound_call", ringContact, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.numbers = nil })
		}, schemas.InvalidArguments, "", 0, ""},
		"the budget is used up": {budgeted, "start_outbound_call", ringContact, func(t *testing.T, o *approvalWorld) {
			// By another call of the requester, which their own client approved.
			c := call(t, adaCaller, "start_outbound_call", ringNumber)
			c.CanAsk = true
			c.ApprovalID = o.Do(t.Context(), c).Pending.ApprovalID
			if event, err := o.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
				t.Fatal(err)
			}
			if a := o.Do(t.Context(), c); a.Outcome() != schemas.Done {
				t.Fatal(a.Err)
			}
		}, schemas.LimitExceeded, "rings", 1, ""},
		"rules about the time": {daytime, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.clock.Add(6 * time.Minute)
		}, schemas.Denied, "the call now needs the approval of another person", 0, ""},
		"nothing leaves": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.fault = unreachable })
		}, schemas.UpstreamUnavailable, "cannot be reached", 1, ""},
		"Sippet rejects": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) {
				s.fault, s.sent = &schemas.Error{Outcome: schemas.UpstreamError, Message: "no more contacts", Next: "tell the person"}, true
			})
		}, schemas.UpstreamError, "no more contacts", 1, ledger.Used},
		"unknown outcome": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.fault, s.sent = lost, true })
		}, schemas.OutcomeUnknown, "its outcome is unknown", 1, ledger.Used},
		"the requester has no access": {house, "create_contact", createArgs, func(_ *testing.T, o *approvalWorld) {
			o.gateFor = func(context.Context, ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
				return nil, policy.Caller{}, errors.New("the token has expired")
			}
		}, schemas.Denied, "no longer has access", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newApprovalWorld(t, c.policy)
			ask := call(t, adaCaller, c.action, c.args)
			id := o.ask(t, ask)
			waiting := o.await(t, id)
			c.since(t, o)
			o.startExecutor(t)
			o.answer(t, id, bobPerson, approves)
			w := <-waiting
			if w.Outcome() != c.outcome || w.Err == nil || !strings.Contains(w.Err.Message, c.says) || w.Err.Next == "" {
				t.Errorf("the waiting call gets %s", brief(w))
			}
			want := c.state
			if want == "" {
				want = ledger.Revoked
			}
			if q := o.request(t, id); q.State != want || want == ledger.Revoked && q.Outcome != c.outcome || q.By.String() != "bob, via inbox" {
				t.Errorf("the approval is %s by %s with outcome %q", q.State, q.By, q.Outcome)
			}
			if s := o.status(t, id); brief(s) != brief(w) {
				t.Errorf("the status is %s, and the waiting call gets %s", brief(s), brief(w))
			}
			r := o.Do(t.Context(), ask)
			if brief(r) != brief(w) || r.Approval.ID != id {
				t.Errorf("the repeated call gets %s, and the waiting call %s", brief(r), brief(w))
			}
			if got := o.up.runs(); len(got) != c.runs {
				t.Errorf("it ran %q", got)
			}
			// Once that is reported, the same call makes a new request.
			o.up.with(func(s *sippet) { s.invalid, s.fault = nil, nil; s.numbers = map[string]string{anID: "+442079460123"} })
			o.MarkReported(t.Context(), r)
			if again := o.Do(t.Context(), ask); again.Pending == nil || !again.Pending.New || again.Pending.ApprovalID == id || len(o.up.runs()) != c.runs {
				t.Errorf("after that: %s, %d runs", brief(again), len(o.up.runs()))
			}
		})
	}
}

// TestPolicyReloaded checks that an approval of a request from before a change of the policy counts
// unless the policy of now is stricter about the call, whether it was given before or after the
// change.
func TestPolicyReloaded(t *testing.T) {
	const denies = "rules: [{id: none, match: {actions: [delete_contact]}, decision: deny, reason: Not today.}]\n"
	for name, c := range map[string]struct {
		first, rule string
		outcome     schemas.Outcome
	}{
		"approved, then another rule":     {"the approval", noNewContacts, schemas.Done},
		"another rule, then approved":     {"the change", noNewContacts, schemas.Done},
		"approved, then a rule denies it": {"the approval", denies, schemas.Denied},
		"a rule denies it, then approved": {"the change", denies, schemas.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			file := policyFile(t, house)
			o := newApprovalWorld(t, house)
			var err error
			if o.Policy, err = policy.LoadPolicySet([]string{file}, nil, ""); err != nil {
				t.Fatal(err)
			}
			id := o.ask(t, call(t, adaCaller, "delete_contact", eraseContact))
			waiting := o.await(t, id)
			if c.first == "the approval" {
				o.answer(t, id, bobPerson, approves)
			}
			if err := os.WriteFile(file, []byte(house+c.rule), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := o.Policy.Reload(); err != nil {
				t.Fatal(err)
			}
			if c.first == "the change" {
				o.answer(t, id, bobPerson, approves)
			}
			o.startExecutor(t)
			runs, state := 1, ledger.Used
			if c.outcome == schemas.Denied {
				runs, state = 0, ledger.Revoked
			}
			if a := <-waiting; a.Outcome() != c.outcome || len(o.up.runs()) != runs {
				t.Errorf("%s, ran %q", brief(a), o.up.runs())
			}
			if q := o.request(t, id); q.State != state {
				t.Errorf("the approval is %s", q.State)
			}
		})
	}
}

// TestConfirmedThenNeedsApprove checks that an approval by the requester's client does not count
// once the rules need another person.
func TestConfirmedThenNeedsApprove(t *testing.T) {
	o := newApprovalWorld(t, daytime)
	o.startExecutor(t)
	c := call(t, adaCaller, "create_contact", createArgs)
	c.CanAsk = true
	a := o.Do(t.Context(), c)
	if a.Pending == nil || a.Pending.Dialogue != policy.FormDialogue {
		t.Fatalf("%+v", a)
	}
	c.ApprovalID = a.Pending.ApprovalID
	o.clock.Add(30 * time.Second)
	if event, err := o.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	// Only the clock of the rules: by the ledger's the request would have expired.
	late := o.clock.Now().Add(time.Hour)
	o.Now = func() time.Time { return late }
	if a := o.Do(t.Context(), c); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "the call now needs") || len(o.up.runs()) != 0 {
		t.Errorf("%s", brief(a))
	}
	if q := o.request(t, c.ApprovalID); q.State != ledger.Revoked {
		t.Errorf("the approval is %s", q.State)
	}
	c.ApprovalID = ""
	id := o.ask(t, c)
	if q := o.request(t, id); q.Needs != "approve" {
		t.Errorf("the new request needs %s", q.Needs)
	}
}

// TestTokenRevoked checks that the requests of a token, approved or not, are revoked together with
// it.
func TestTokenRevoked(t *testing.T) {
	for _, when := range []string{"before the approval", "after the approval", "during validate"} {
		t.Run(when, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			_, token, err := o.Ledger.CreateToken(t.Context(), ledger.Token{Person: "ada", Roles: []string{"agent"}}, ledger.Actor{Name: "root"})
			if err != nil {
				t.Fatal(err)
			}
			revoke := func() {
				if err := o.Ledger.RevokeToken(t.Context(), token.ID, ledger.Actor{Name: "root"}); err != nil {
					t.Error(err)
				}
			}
			who := adaCaller
			who.Credential = token.ID
			id := o.ask(t, call(t, who, "delete_contact", eraseContact))
			waiting := o.await(t, id)
			if when == "before the approval" {
				revoke()
				if got := o.approvals.Answer(t.Context(), []string{id}, bobPerson, approves); got[0].Err == nil {
					t.Error("the answer counted")
				}
			} else {
				if when == "during validate" {
					o.up.with(func(s *sippet) { s.onCheck = revoke })
				}
				o.answer(t, id, bobPerson, approves)
				if when == "after the approval" {
					revoke()
				}
			}
			stop := o.startExecutor(t)
			if a := <-waiting; a.Outcome() != schemas.Denied || a.Pending != nil {
				t.Errorf("%s", brief(a))
			}
			stop()
			if got := o.up.runs(); len(got) != 0 {
				t.Errorf("it ran: %q", got)
			}
		})
	}
}

// TestStopAfterApproval checks that an emergency stop revokes unused approvals for good, and that
// hanging up continues.
func TestStopAfterApproval(t *testing.T) {
	for _, when := range []string{"before the executor runs", "during validate"} {
		t.Run(when, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			admin := approval.Person{Name: "root", Roles: []string{approval.RoleAdmin}, Via: "inbox"}
			emergency := func() {
				if err := o.approvals.Stop(t.Context(), admin, everything, "wrong list"); err != nil {
					t.Error(err)
				}
			}
			id := o.ask(t, call(t, adaCaller, "create_contact", createArgs))
			waiting := o.await(t, id)
			if when == "during validate" {
				o.up.with(func(s *sippet) { s.onCheck = emergency })
			}
			o.answer(t, id, adaPerson, approves)
			if when == "before the executor runs" {
				emergency()
			}
			stop := o.startExecutor(t)
			if a := <-waiting; a.Err == nil || a.Pending != nil {
				t.Errorf("%s", brief(a))
			}
			o.up.with(func(s *sippet) { s.onCheck = nil })
			if a := o.Do(t.Context(), call(t, adaCaller, "create_contact", createArgs)); a.Outcome() != schemas.Stopped {
				t.Errorf("during the stop: %s", brief(a))
			}
			hang := o.ask(t, call(t, adaCaller, "end_call", `{"input":{"callUuid":"c-1"}}`))
			o.answer(t, hang, adaPerson, approves)
			if a := o.outcome(t, hang); a.Outcome() != schemas.Done {
				t.Errorf("hanging up: %s", brief(a))
			}
			if err := o.approvals.Resume(t.Context(), admin, ledger.StopScope{}); err != nil {
				t.Error(err)
			}
			o.watch.Poke()
			stop()
			if got := o.up.runs(); len(got) != 1 || !strings.Contains(got[0], "end_call") {
				t.Errorf("it ran: %q", got)
			}
			if q := o.request(t, id); q.State != ledger.Revoked {
				t.Errorf("the approval is %s after the stop", q.State)
			}
		})
	}
}

// TestSealedPayloadIsWhatRuns checks that the approved bytes run, and that nothing runs if they
// cannot be read.
func TestSealedPayloadIsWhatRuns(t *testing.T) {
	o := newApprovalWorld(t, house)
	c := call(t, adaCaller, "create_contact", `{"input":{"fullName":"Zoë <b>Ω</b>","metadata":{"n":9007199254740993,"d":1.10}},"reason":"because"}`)
	id := o.ask(t, c)
	o.startExecutor(t)
	o.answer(t, id, adaPerson, approves)
	o.outcome(t, id)
	body := string(c.Payload.Body)
	if got := o.up.lifecycle(); len(got) != 3 || got[0] != "validate "+body || got[1] != got[0] || got[2] != "run "+body {
		t.Errorf("%q", got)
	}
	for name, spoil := range map[string][]byte{"none": nil, "another action's": []byte(`{"action":"delete_contact"}`), "with a space": []byte(" " + body), "cut": []byte(body[:20])} {
		o := newApprovalWorld(t, house)
		id := o.ask(t, c)
		o.useLedger(corruptLedger{o.Ledger, spoil})
		o.answer(t, id, adaPerson, approves)
		o.startExecutor(t)
		if a := o.outcome(t, id); a.Outcome() != schemas.Denied || len(o.up.runs()) != 0 {
			t.Errorf("%s: %s, ran %q", name, brief(a), o.up.runs())
		}
	}
}

// corruptLedger is a ledger that returns other payloads than it stored.
type corruptLedger struct {
	ledger.Ledger
	payload []byte
}

func (s corruptLedger) Approval(ctx context.Context, id string) (ledger.ApprovalRequest, error) {
	g, err := s.Ledger.Approval(ctx, id)
	g.Payload = s.payload
	return g, err
}

// TestErasedWhilePending checks that a request with an erased card can be declined and not
// approved.
func TestErasedWhilePending(t *testing.T) {
	o := newApprovalWorld(t, house)
	o.startExecutor(t)
	id := o.ask(t, call(t, adaCaller, "archive_contact", `{"identity":"`+anID+`"}`))
	if known, err := o.Ledger.Erase(t.Context(), "contact:"+anID, ledger.Actor{Name: "root"}); !known || err != nil {
		t.Fatal(known, err)
	}
	if got := o.approvals.Answer(t.Context(), []string{id}, bobPerson, approves); got[0].Err == nil || !strings.Contains(got[0].Err.Message, "erased") {
		t.Errorf("%+v", got)
	}
	if s := o.status(t, id); s.Pending == nil {
		t.Errorf("%s", brief(s))
	}
	o.answer(t, id, bobPerson, approval.Reply{Note: "she is gone"})
	if s := o.status(t, id); s.Outcome() != schemas.Declined || len(o.up.runs()) != 0 {
		t.Errorf("%s", brief(s))
	}
}
