package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestRecordChanged checks that an approval runs only with the record that its card showed: a caller
// could rename a contact, ask to erase it, and rename it back after the approval.
func TestRecordChanged(t *testing.T) {
	const erase, update = "delete_contact", "update_contact"
	renames := `{"identity":"` + anID + `","input":{"email":"new@example.com"}}`
	row := func(name, email string) string {
		return `[{"id":"` + anID + `","fullName":"` + name + `","phoneE164":"+447700900107","email":"` + email + `"}]`
	}
	for name, c := range map[string]struct {
		action, args, before, after string
		unread                      bool // at the run
		runs                        bool
	}{
		"as it was":        {erase, eraseContact, row("Test Entry", ""), row("Test Entry", ""), false, true},
		"renamed back":     {erase, eraseContact, row("Test Entry", ""), row("Eleanor Marsh", ""), false, false},
		"replaced value":   {update, renames, row("Eleanor Marsh", "a@example.com"), row("Eleanor Marsh", "b@example.com"), false, false},
		"after the cut":    {erase, eraseContact, row(strings.Repeat("x", 400)+"a", ""), row(strings.Repeat("x", 400)+"b", ""), false, false},
		"gone":             {erase, eraseContact, row("Test Entry", ""), `[]`, false, false},
		"found later":      {erase, eraseContact, `[]`, row("Eleanor Marsh", ""), false, false},
		"still not found":  {erase, eraseContact, `[]`, `[]`, false, true},
		"unreadable":       {erase, eraseContact, row("Test Entry", ""), row("Test Entry", ""), true, false},
		"more to erase":    {erase, eraseContact, row("Test Entry", ""), strings.Replace(row("Test Entry", ""), `"phone`, `"metadata":{"notes":"x"},"phone`, 1), false, false},
		"its email is new": {erase, eraseContact, row("Test Entry", ""), row("Test Entry", "x@example.com"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			o.up.with(func(s *sippet) { s.record = c.before })
			id := o.ask(t, call(t, adaCaller, c.action, c.args))
			o.up.with(func(s *sippet) {
				if s.record = c.after; c.unread {
					s.unread = &schemas.Error{Outcome: schemas.Unavailable, Message: "no connection"}
				}
			})
			o.answer(t, id, bobPerson, approves)
			o.runOnce(t)
			if got := len(o.up.runs()) == 1; got != c.runs {
				t.Fatalf("ran %v: %+v", got, o.status(t, id).Err)
			}
			pending, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
			if err != nil || (c.runs || c.unread) != (len(pending) == 0) {
				t.Fatalf("%d new requests, %v", len(pending), err)
			}
			if c.unread {
				if s := o.status(t, id); s.Outcome() != schemas.UpstreamUnavailable {
					t.Errorf("%+v", s.Err)
				}
			}
			if c.runs || c.unread {
				return
			}
			if s := o.status(t, id); s.Outcome() != schemas.Denied || !strings.Contains(s.Err.Message, "not as the card showed it") {
				t.Errorf("%+v", s.Err)
			}
			// The new card shows the record as it is, and its approval counts.
			o.answer(t, pending[0].ID, bobPerson, approves)
			if o.runOnce(t); len(o.up.runs()) != 1 {
				t.Errorf("the approval of the new card: %+v", o.status(t, pending[0].ID).Err)
			}
		})
	}
}

// TestPassingValues checks that an approval holds when a value changed that changes by itself.
func TestPassingValues(t *testing.T) {
	o := newApprovalWorld(t, house)
	row := func(status string) string {
		return `[{"id":"` + anID + `","callUuid":"c-1","fromNumber":"+447700900107","status":"` + status + `"}]`
	}
	o.up.with(func(s *sippet) { s.record = row("ringing") })
	id := o.ask(t, call(t, adaCaller, "barge_call", `{"input":{"callUuid":"c-1"}}`))
	if card := o.Do(t.Context(), call(t, adaCaller, "barge_call", `{"input":{"callUuid":"c-1"}}`)).Pending.Card; !strings.Contains(card.Long(), "ringing") {
		t.Error(card.Long())
	}
	o.up.with(func(s *sippet) { s.record = row("answered") })
	o.answer(t, id, bobPerson, approves)
	if o.runOnce(t); len(o.up.runs()) != 1 {
		t.Errorf("%+v", o.status(t, id).Err)
	}
}

// TestHiddenRecordIsNotBound checks that a card tells nothing about a value that the requester must not
// see, not even its digest.
func TestHiddenRecordIsNotBound(t *testing.T) {
	digest := func(email string) string {
		o := newApprovalWorld(t, house+"rules: [{id: hide, match: {roles: [\"!admin\"]}, redact: [Contact.email], reason: Private.}]\n")
		o.up.with(func(s *sippet) {
			s.record = `[{"id":"` + anID + `","fullName":"Ada","email":"` + email + `"}]`
		})
		return o.Do(t.Context(), call(t, adaCaller, "delete_contact", eraseContact)).Pending.Card.Record
	}
	if a, b := digest("a@example.com"), digest("b@example.com"); a != b || a == "" {
		t.Errorf("%q %q", a, b)
	}
}

// TestErasedCard checks that an approval is void when a person on its card was erased, and that no new
// card is made by itself.
func TestErasedCard(t *testing.T) {
	for name, run := range map[string]func(*approvalWorld, policy.Call){
		"executor": func(o *approvalWorld, _ policy.Call) { o.runOnce(t) },
		"repeated": func(o *approvalWorld, c policy.Call) { o.Do(t.Context(), c) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, house)
			c := call(t, adaCaller, "archive_contact", `{"identity":"`+anID+`"}`)
			c.ApprovalID = o.ask(t, c)
			o.answer(t, c.ApprovalID, bobPerson, approves)
			if existed, err := o.Ledger.Erase(t.Context(), "contact:"+anID, ledger.Actor{Name: "root"}); !existed || err != nil {
				t.Fatal(existed, err)
			}
			run(o, c)
			open, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
			if err != nil || len(open) > 0 || len(o.up.runs()) > 0 {
				t.Errorf("%d new requests, %d runs, %v", len(open), len(o.up.runs()), err)
			}
		})
	}
}

// TestRungSinceShown checks that an approval is not used if the person was rung after its card was made,
// and that the new card says so. A caller could else ask for several cards before the first one is
// answered, none of which tells of the others.
func TestRungSinceShown(t *testing.T) {
	for name, c := range map[string]struct {
		second string
		again  bool
	}{
		"the number":    {strings.Replace(ringNumber, "}}", `,"aiAgentId":"`+otherID+`"}}`, 1), true},
		"its contact":   {ringContact, true},
		"other numbers": {strings.Replace(ringNumber, "460123", "460199", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, dailyWork)
			first, second := o.ask(t, call(t, adaCaller, "start_outbound_call", ringNumber)), o.ask(t, call(t, adaCaller, "start_outbound_call", c.second))
			for _, id := range []string{first, second} {
				o.clock.Add(time.Minute)
				o.answer(t, id, bobPerson, approves)
				o.runOnce(t)
			}
			if s := o.status(t, second); len(o.up.runs()) == 1 != c.again || c.again && !strings.Contains(s.Err.Message, "start_outbound_call rang one of these people") {
				t.Fatalf("%d calls ran: %+v", len(o.up.runs()), s.Err)
			}
			pending, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
			if err != nil || len(pending) == 1 != c.again {
				t.Fatalf("%d new requests, %v", len(pending), err)
			}
			for _, r := range pending {
				asked, err := o.Ledger.Approval(t.Context(), r.ID)
				if err != nil {
					t.Fatal(err)
				}
				if card, err := approval.ReadCard(asked.Card); err != nil || !slices.ContainsFunc(card.Warnings, func(w string) bool { return strings.HasPrefix(w, "rung ") }) {
					t.Errorf("%q, %v", card.Warnings, err)
				}
				o.clock.Add(time.Minute)
				o.answer(t, r.ID, bobPerson, approves)
				if o.runOnce(t); len(o.up.runs()) != 2 {
					t.Errorf("the approval of the new card: %+v", o.status(t, r.ID).Err)
				}
			}
		})
	}
}

// TestUnknownSinceShown checks that an approval is not used if the outcome of another call for the same
// person is unknown and its card does not say so, and that the new card does.
func TestUnknownSinceShown(t *testing.T) {
	o := newApprovalWorld(t, strings.Replace(unconfirmed, "destructive: validate", "destructive: confirm", 1))
	o.up.with(func(s *sippet) {
		s.record = `[{"id":"` + anID + `","fullName":"Eleanor Marsh","phoneE164":"+447700900107"}]`
		s.numbers = map[string]string{anID: "+447700900107"}
	})
	id := o.ask(t, call(t, adaCaller, "delete_contact", eraseContact))
	o.up.with(func(s *sippet) { s.fault, s.sent = lost, true })
	if a := o.Do(t.Context(), call(t, boCaller, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"E. Marsh"}}`)); a.Outcome() != schemas.OutcomeUnknown {
		t.Fatal(brief(a))
	}
	o.up.with(func(s *sippet) { s.fault = nil })
	o.answer(t, id, bobPerson, approves)
	o.runOnce(t)
	if runs := o.up.runs(); len(runs) != 1 {
		t.Fatalf("%d calls ran: %v", len(runs), runs)
	}
	if s := o.status(t, id); s.Outcome() != schemas.Denied || !strings.Contains(s.Err.Message, "the outcome of update_contact for one of these people is unknown, and the card does not say so") {
		t.Errorf("%+v", s.Err)
	}
	pending, err := o.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
	if err != nil || len(pending) != 1 {
		t.Fatalf("%d new requests, %v", len(pending), err)
	}
	asked, err := o.Ledger.Approval(t.Context(), pending[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if card, err := approval.ReadCard(asked.Card); err != nil || !strings.Contains(card.Earlier, "update_contact was sent") {
		t.Errorf("%+v, %v", card, err)
	}
	o.answer(t, pending[0].ID, bobPerson, approves)
	if o.runOnce(t); len(o.up.runs()) != 2 {
		t.Errorf("the approval of the new card: %+v", o.status(t, pending[0].ID).Err)
	}
}
