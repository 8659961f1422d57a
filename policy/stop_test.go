package policy_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

var (
	everything = ledger.StopScope{Kind: ledger.StopEverything}
	ringing    = ledger.StopScope{Kind: ledger.StopRinging}
	assistants = func(person string) ledger.StopScope {
		return ledger.StopScope{Kind: ledger.StopAssistant, Person: person}
	}
	adminPerson = approval.Person{Name: "root", Roles: []string{approval.RoleAdmin}, Via: "inbox"}
)

// TestStopScopes: a stop covers the calls of its scope only, whether it is there before the call, is
// made between its check and its commit, or after its approval. Others run.
func TestStopScopes(t *testing.T) {
	for name, c := range map[string]struct {
		scope ledger.StopScope
		// rings and creates are true if such calls of ada are stopped.
		rings, creates bool
		says           string
	}{
		"everything":      {everything, true, true, "grace stopped everything just now: only reads and hanging up go on; nothing ran"},
		"ringing":         {ringing, true, false, "grace stopped ringing just now: everything but ringing goes on; nothing ran"},
		"ada's":           {assistants("ADA"), true, true, "grace stopped the assistants of ADA just now: for them only reads and hanging up go on; nothing ran"},
		"somebody else's": {assistants("bo"), false, false, ""},
	} {
		for action, args := range map[string]string{"start_outbound_call": ringNumber, "create_contact": createArgs} {
			stopped := c.rings
			if action == "create_contact" {
				stopped = c.creates
			}
			for _, when := range []string{"before", "between", "between, without an approval", "after the approval"} {
				t.Run(name+", "+action+", "+when, func(t *testing.T) {
					rules := house
					if when == "between, without an approval" {
						rules = strings.ReplaceAll(house, "write: confirm, outbound: confirm", "write: validate, outbound: validate")
					}
					o := newApprovalWorld(t, rules)
					emergency := func() {
						if err := o.Ledger.Stop(t.Context(), c.scope, ledger.Actor{Name: "grace"}, ""); err != nil {
							t.Error(err)
						}
					}
					ada := call(t, adaCaller, action, args)
					switch when {
					case "before":
						emergency()
						a := o.Do(t.Context(), ada)
						if got := a.Outcome() == schemas.Stopped; got != stopped || got && a.Err.Message != c.says || !got && a.Pending == nil {
							t.Errorf("%s", brief(a))
						}
						if e := o.Explain(t.Context(), ada).Fault; (e != nil && e.Outcome == schemas.Stopped) != stopped {
							t.Errorf("explained: %v", e)
						}
						return
					case "between, without an approval":
						o.up.with(func(s *sippet) { s.onCheck = emergency })
						a := o.Do(t.Context(), ada)
						if got := a.Outcome() == schemas.Stopped; got != stopped || got == (len(o.up.runs()) > 0) {
							t.Errorf("%s; ran %q", brief(a), o.up.runs())
						}
						return
					}
					id := o.ask(t, ada)
					o.answer(t, id, bobPerson, approves)
					if when == "between" { // the gate has checked for a stop when it validates
						o.up.with(func(s *sippet) { s.onCheck = emergency })
					} else {
						emergency()
					}
					o.startExecutor(t)
					a := o.outcome(t, id)
					if ran := a.Outcome() == schemas.Done; ran == stopped || len(o.up.runs()) != map[bool]int{true: 1}[ran] {
						t.Errorf("%s; ran %q", brief(a), o.up.runs())
					}
					if q := o.request(t, id); (q.State == ledger.Revoked) != stopped {
						t.Errorf("the approval is %s", q.State)
					}
				})
			}
		}
	}
}

// TestStopLeavesOthers: pending requests and approvals that a stop does not cover stay, and are
// answered and run during it.
func TestStopLeavesOthers(t *testing.T) {
	o := newApprovalWorld(t, house)
	ada := o.ask(t, call(t, adaCaller, "create_contact", createArgs))
	bo := o.ask(t, call(t, boCaller, "create_contact", createArgs))
	boRings := o.ask(t, call(t, boCaller, "start_outbound_call", ringNumber))
	if err := o.approvals.Stop(t.Context(), adaPerson, adaPerson.OwnAssistants(), "it loops"); err != nil {
		t.Fatal(err)
	}
	if err := o.approvals.Stop(t.Context(), bobPerson, ringing, ""); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]ledger.ApprovalState{ada: ledger.Revoked, boRings: ledger.Revoked, bo: ledger.Pending} {
		if q := o.request(t, id); q.State != want {
			t.Errorf("the %s of %s is %s, not %s", q.Action, q.Requester, q.State, want)
		}
	}
	o.startExecutor(t)
	o.answer(t, bo, bobPerson, approves)
	if a := o.outcome(t, bo); a.Outcome() != schemas.Done {
		t.Errorf("%s", brief(a))
	}
	// Nobody below an admin ends one, and one that ends leaves the other.
	for _, who := range []approval.Person{adaPerson, bobPerson} {
		if err := o.approvals.Resume(t.Context(), who, ledger.StopScope{}); err == nil || err.Outcome != schemas.Denied {
			t.Errorf("%s resumes: %v", who.Name, err)
		}
	}
	if err := o.approvals.Resume(t.Context(), adminPerson, ringing); err != nil {
		t.Fatal(err)
	}
	if a := o.Do(t.Context(), call(t, adaCaller, "create_contact", createArgs)); a.Outcome() != schemas.Stopped || !strings.Contains(a.Err.Message, "it loops") {
		t.Errorf("ada's: %s", brief(a))
	}
	if a := o.Do(t.Context(), call(t, adaCaller, "list_contacts", `{}`)); a.Outcome() != schemas.Done {
		t.Errorf("a read of ada's: %s", brief(a))
	}
	o.ask(t, call(t, boCaller, "start_outbound_call", ringNumber))
	o.ask(t, call(t, adaCaller, "end_call", `{"input":{"callUuid":"c-1"}}`))
}

// TestStopOfNobody: nobody without a role stops others, and a name that is not known stops nobody.
func TestStopOfNobody(t *testing.T) {
	o := newApprovalWorld(t, house)
	o.ask(t, call(t, boCaller, "create_contact", createArgs))
	for _, scope := range []ledger.StopScope{everything, ringing, assistants("bo"), {}} {
		if err := o.approvals.Stop(t.Context(), adaPerson, scope, ""); err == nil || err.Outcome != schemas.Denied {
			t.Errorf("ada stops %+v: %v", scope, err)
		}
	}
	if err := o.approvals.Stop(t.Context(), bobPerson, assistants("boo"), ""); err == nil || !strings.Contains(err.Next, "known: bo, bob") {
		t.Errorf("%+v", err)
	}
	if s, err := o.Ledger.CurrentStops(t.Context()); err != nil || len(s) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := o.approvals.Stop(t.Context(), bobPerson, assistants("BO"), ""); err != nil {
		t.Error(err)
	}
}
