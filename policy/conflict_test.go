package policy_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestRecorded checks that a repeated call gets the recorded result for ten minutes, and only for
// the same caller and organisation.
func TestRecorded(t *testing.T) {
	s := newTestGate(t, "desktop")
	c := s.call(t, "create_contact", createArgs)
	first := s.Do(t.Context(), c)
	s.clock.Add(4 * time.Minute)
	again := s.Do(t.Context(), c)
	if first.Outcome() != schemas.Done || again.Outcome() != schemas.Recorded || string(again.Data) != string(first.Data) || len(s.up.seen) != 1 {
		t.Errorf("%+v then %+v, %q", first, again, s.up.seen)
	}
	other := c
	other.Actor = ledger.Actor{Name: "bo"}
	if a := s.Do(t.Context(), other); a.Outcome() != schemas.Done {
		t.Errorf("another caller: %s", a.Outcome())
	}
	s.Organisation = "elsewhere"
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Done {
		t.Errorf("another organisation: %s", a.Outcome())
	}
	s.Organisation = "here"
	s.clock.Add(7 * time.Minute)
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Done {
		t.Errorf("after the window: %s", a.Outcome())
	}
	for range 2 {
		if a := s.Do(t.Context(), s.call(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Ada"}}`)); a.Outcome() != schemas.Done {
			t.Errorf("an idempotent call: %s", a.Outcome())
		}
	}
}

// TestRunAgain checks that a call that is meant again needs a person, and that the card mentions
// the first run.
func TestRunAgain(t *testing.T) {
	s := newTestGate(t, "desktop")
	c := s.call(t, "create_contact", createArgs)
	s.Do(t.Context(), c)
	s.clock.Add(4 * time.Minute)
	c.Again = true
	a := s.Do(t.Context(), c)
	if a.Pending == nil || !strings.Contains(a.Pending.Card.Long(), "The same call ran 4 minutes ago. Approving runs it once more.") {
		t.Fatalf("%+v", a)
	}
	if a := s.approve(t, c); a.Outcome() != schemas.Done || len(s.up.seen) != 2 {
		t.Errorf("%s, %q", a.Outcome(), s.up.seen)
	}
	// The card of a call that needs confirm anyway mentions it too.
	ring := s.call(t, "start_outbound_call", ringNumber)
	if a := s.approve(t, ring); a.Outcome() != schemas.Done {
		t.Fatal(a.Outcome())
	}
	s.clock.Add(time.Minute)
	if a := s.Do(t.Context(), ring); a.Pending == nil || !strings.Contains(a.Pending.Card.Earlier, "The same call ran a minute ago") {
		t.Errorf("%+v", a)
	}
}

// TestUnknown checks that a call with an unknown outcome does not run again without a person,
// whatever the policy needs.
func TestUnknown(t *testing.T) {
	s := newTestGate(t, "desktop")
	c := s.call(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Ada"}}`)
	s.up.fault, s.up.sent = lost, true
	first := s.Do(t.Context(), c)
	if first.Outcome() != schemas.OutcomeUnknown || first.Err.Intent == "" || !strings.Contains(first.Err.Next, "list_contacts") {
		t.Fatalf("%+v", first.Err)
	}
	s.up.fault = nil
	s.clock.Add(3 * time.Hour)
	a := s.Do(t.Context(), c)
	if a.Pending == nil || !strings.Contains(a.Pending.Card.Earlier, "its outcome is unknown") || !strings.Contains(a.Pending.Card.Earlier, "list_contacts") {
		t.Fatalf("%+v", a)
	}
	c.ApprovalID = a.Pending.ApprovalID
	// If somebody declines, the outcome is still unknown.
	if _, e := s.RecordReply(t.Context(), c, clientDeclines); e != nil {
		t.Fatal(e)
	}
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.OutcomeUnknown || a.Err.Intent != first.Err.Intent {
		t.Errorf("declined: %+v", a.Err)
	}
	s.report(t, c.ApprovalID)
	c.ApprovalID = ""
	if a := s.approve(t, c); a.Outcome() != schemas.Done {
		t.Errorf("approved: %+v", a.Err)
	}
	runs := 0
	for _, name := range s.up.seen {
		if name == "update_contact" {
			runs++
		}
	}
	if runs != 2 {
		t.Errorf("it was sent %d times", runs)
	}
}

// TestResolved checks that a call may run again once a person has recorded its outcome.
func TestResolved(t *testing.T) {
	s := newTestGate(t, "desktop")
	c := s.call(t, "create_contact", createArgs)
	s.up.fault, s.up.sent = lost, true
	first := s.Do(t.Context(), c)
	s.up.fault = nil
	if err := s.Ledger.Resolve(t.Context(), first.Err.Intent, ledger.Failed, "not in the list", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Done {
		t.Errorf("%+v", a.Err)
	}
}

// TestInFlight checks that the same call is not sent while one is running, and that nobody is
// asked.
func TestInFlight(t *testing.T) {
	s := newTestGate(t, "desktop")
	s.up.hold = make(chan struct{})
	c := s.call(t, "create_contact", createArgs)
	done := make(chan policy.Result)
	go func() { done <- s.Do(t.Context(), c) }()
	waitFor(t, func() bool {
		in, err := s.Ledger.Intents(t.Context(), ledger.IntentFilter{Open: true})
		return err != nil || len(in) == 1
	})
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.OutcomeUnknown || !strings.Contains(a.Err.Message, "still running") || a.Pending != nil {
		t.Errorf("%+v", a)
	}
	close(s.up.hold)
	if a := <-done; a.Outcome() != schemas.Done || len(s.up.seen) != 1 {
		t.Errorf("%+v, %q", a, s.up.seen)
	}
}

// TestNotSent checks that an approval is returned if nothing was sent.
func TestNotSent(t *testing.T) {
	s := newTestGate(t, "desktop")
	c := s.call(t, "start_outbound_call", ringNumber)
	s.up.fault, s.up.sent = &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet cannot be reached"}, false
	a := s.Do(t.Context(), c)
	c.ApprovalID = a.Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.UpstreamUnavailable {
		t.Fatalf("%+v", a)
	}
	s.up.fault = nil
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Done {
		t.Errorf("%+v", a.Err)
	}
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Recorded || len(s.up.seen) != 3 { // with the read for the card
		t.Errorf("%s, %q", a.Outcome(), s.up.seen)
	}
}

// TestEmergencyStop checks that only reads and hanging up run during a stop.
func TestEmergencyStop(t *testing.T) {
	s := newTestGate(t, "desktop")
	ring := s.call(t, "start_outbound_call", ringNumber)
	a := s.Do(t.Context(), ring)
	ring.ApprovalID = a.Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), ring, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	if err := s.Ledger.Stop(t.Context(), everything, ledger.Actor{Name: "grace"}, "it rings the wrong people"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []policy.Call{ring, s.call(t, "start_outbound_call", ringNumber), s.call(t, "create_contact", createArgs)} {
		if a := s.Do(t.Context(), c); a.Outcome() != schemas.Stopped || !strings.Contains(a.Err.Message, "grace") || !strings.Contains(a.Err.Message, "wrong people") {
			t.Errorf("%s: %+v", c.Payload.Action.Name, a)
		}
	}
	if e := s.Explain(t.Context(), s.call(t, "create_contact", createArgs)).Fault; e == nil || e.Outcome != schemas.Stopped {
		t.Errorf("explained as %+v", e)
	}
	if a := s.Do(t.Context(), s.call(t, "list_contacts", `{}`)); a.Outcome() != schemas.Done {
		t.Errorf("a read: %+v", a)
	}
	if a := s.approve(t, s.call(t, "end_call", `{"input":{"callUuid":"c-1"}}`)); a.Outcome() != schemas.Done {
		t.Errorf("hanging up: %+v", a)
	}
	if _, err := s.Ledger.Resume(t.Context(), everything, ledger.Actor{Name: "grace"}); err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t.Context(), ring); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "revoked") {
		t.Errorf("an approval from before the stop: %+v", a)
	}
	if slices.Contains(s.up.seen, "start_outbound_call") {
		t.Error("it rang")
	}
}

// TestRecords checks that every call leaves a record, with what it was about and what it replaced.
func TestRecords(t *testing.T) {
	s := newTestGate(t, "desktop")
	dir := filepath.Join(t.TempDir(), "ledger")
	s.Ledger = ledgertest.Open(t, ledger.Options{Dir: dir, Now: s.Now})
	update := s.call(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Ada Grace"}}`)
	store := s.Ledger.(*ledger.SQLite)
	for _, c := range []policy.Call{s.call(t, "list_contacts", `{}`), update, s.call(t, "create_contact", createArgs),
		s.call(t, "issue_operator_access_token", `{"input":{"operatorEmail":"o@example.com"}}`)} {
		s.Do(t.Context(), c)
	}
	if old := replacedValues(t, store); len(old) != 1 || old[0] != `{"fullName":"Ada"}` {
		t.Errorf("what the update replaced: %q", old)
	}
	s.approve(t, s.call(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`))
	if old := replacedValues(t, store); len(old) != 0 {
		t.Errorf("after the contact was erased its record can still be read: %q", old)
	}
	if err := store.Close(); err != nil { // writes pending events
		t.Fatal(err)
	}
	again, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	records, err := again.Records(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	for _, r := range records {
		phases = append(phases, string(r.Phase)+" "+r.Action+" "+string(r.Outcome))
	}
	want := []string{"answered delete_contact ", "requested delete_contact ", "erased  ", "prepared create_contact ", "prepared delete_contact ", "prepared update_contact ",
		"read list_contacts done", "rejected issue_operator_access_token denied", "settled create_contact done", "settled delete_contact done", "settled update_contact done"}
	for _, w := range want {
		if !slices.Contains(phases, w) {
			t.Errorf("no record %q among %q", w, phases)
		}
	}
}

// replacedValues returns what updates replaced, as far as it can be read.
func replacedValues(t *testing.T, l *ledger.SQLite) (old []string) {
	t.Helper()
	records, err := l.Records(t.Context(), ledger.Filter{Action: "update_contact"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Private != nil && r.Private.Replaced != nil {
			old = append(old, string(r.Private.Replaced))
		}
	}
	return old
}

// TestOvertakenApproval checks that an approval is revoked if the same call ran after it was given.
func TestOvertakenApproval(t *testing.T) {
	s, book, _ := newPhonebookGate(t, "", 0)
	c := s.call(t, "start_outbound_call", ringNumber)
	c.ApprovalID = s.Do(t.Context(), c).Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	first := s.Policy
	p, err := rules.Parse("other.yaml", []byte(head+"defaults: {class: {read: allow, write: validate, outbound: validate, destructive: confirm, credential: deny}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.Policy = policy.FixedPolicySet(p) // it needs nobody
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", ringNumber)); a.Outcome() != schemas.Done {
		t.Fatalf("%+v", a.Err)
	}
	s.Policy = first
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Recorded || book.rung != 1 {
		t.Errorf("%s, rung %d", a.Outcome(), book.rung)
	}
	if g, err := s.Ledger.Approval(t.Context(), c.ApprovalID); err != nil || g.State != ledger.Revoked {
		t.Errorf("the approval is %s, %v", g.State, err)
	}
}
