package policy_test

import (
	"log/slog"
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

// newFakeGate is a test gate over a Sippet with state.
func newFakeGate(t *testing.T, profile string) (*testGate, *fakeSippet) {
	t.Helper()
	p, err := rules.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	g := &testGate{clock: ledgertest.NewClock(noon)}
	up := newFakeSippet(1, func(*hijackRun) {})
	g.Gate = &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: up, Ledger: ledgertest.Open(t, ledger.Options{Now: g.clock.Now}), Organisation: "here",
		Lifetime: 15 * time.Minute, Now: g.clock.Now, Log: slog.New(slog.DiscardHandler)}
	return g, up
}

// decision takes a call through the gate, and returns what it decides.
func (s *testGate) decision(t *testing.T, c policy.Call) rules.Decision {
	t.Helper()
	return s.Do(t.Context(), c).Verdict.Decision
}

// TestRenamedInSteps checks that a name is not replaced word by word: a new one shares a word with each
// that the caller replaced in the last day, unless a person approved it.
func TestRenamedInSteps(t *testing.T) {
	s, up := newFakeGate(t, "desktop")
	rename := func(name string) policy.Call {
		return s.call(t, "update_contact", `{"identity":"`+up.id(1)+`","input":{"fullName":"`+name+`"}}`)
	}
	for _, step := range []struct {
		name string
		want rules.Decision
	}{
		{"Eleanor Marsh-Hill", rules.Validate}, {"Eleanor Hill", rules.Validate},
		{"Mallory Hill", rules.Confirm}, // Eleanor Marsh had no Hill
		{"Eleanor Marsh", rules.Validate},
	} {
		if got := s.decision(t, rename(step.name)); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	if res := s.approve(t, s.call(t, "update_contact", `{"identity":"`+up.id(1)+`","input":{"fullName":"Eleanor Marsh","phoneE164":"+447700900555"}}`)); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := s.decision(t, rename("Mallory Marsh")); got != rules.Confirm { // Eleanor Hill had no Marsh
		t.Errorf("after an approval that kept the name: %s", got)
	}
	other := rename("Eleanor Hill-Stranger")
	other.Actor.Name = "bo"
	if got := s.decision(t, other); got != rules.Validate {
		t.Errorf("another caller's rename: %s", got)
	}
	if res := s.approve(t, rename("Mallory Stranger")); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := s.decision(t, rename("Mallory Strange")); got != rules.Validate {
		t.Errorf("after a rename that a person approved: %s", got)
	}
	s.clock.Add(25 * time.Hour)
	if got := s.decision(t, rename("M. Strange")); got != rules.Validate {
		t.Errorf("a day later: %s", got)
	}
}

// TestMetadataEmptiedInSteps checks that several updates do not drop what one could not: what the caller
// dropped in the last day counts, unless a person approved it.
func TestMetadataEmptiedInSteps(t *testing.T) {
	s, up := newFakeGate(t, "desktop")
	set := func(metadata string) policy.Call {
		return s.call(t, "update_contact", `{"identity":"`+up.id(1)+`","input":{"metadata":`+metadata+`}}`)
	}
	if res := s.approve(t, set(`{"a":1,"b":1,"c":1,"d":1,"e":1}`)); res.Err != nil {
		t.Fatal(res.Err)
	}
	for _, step := range []struct {
		metadata string
		want     rules.Decision
	}{
		{`{"a":1,"b":1,"c":1}`, rules.Validate}, // d and e are dropped
		{`{"a":2,"b":1,"c":1}`, rules.Validate}, // nothing is
		{`{"a":2,"b":1}`, rules.Confirm},
		{`{"a":2,"b":1,"d":1}`, rules.Validate}, // d is back, c goes
		{`{}`, rules.Confirm},
	} {
		if got := s.decision(t, set(step.metadata)); got != step.want {
			t.Errorf("%s: %s, want %s", step.metadata, got, step.want)
		}
	}
	res := s.Do(t.Context(), set(`{"a":2}`))
	if res.Pending == nil || !slices.Contains(res.Pending.Card.Warnings, `drops 2 of the 3 keys of metadata: "b", "d"; this assistant dropped 2 more in the last day: "c", "e"`) {
		t.Errorf("%s: %+v", brief(res), res.Pending)
	}
	other := set(`{"a":2,"b":1}`)
	other.Actor.Name = "bo"
	if got := s.decision(t, other); got != rules.Validate {
		t.Errorf("another caller: %s", got)
	}
	s.clock.Add(25 * time.Hour)
	if got := s.decision(t, set(`{"a":2}`)); got != rules.Validate {
		t.Errorf("a day later: %s", got)
	}
}

// TestRenameUnknown checks that a rename needs a person if the ledger does not know what an earlier one
// replaced.
func TestRenameUnknown(t *testing.T) {
	s, up := newFakeGate(t, "desktop")
	for n, want := range []rules.Decision{rules.Validate, rules.Validate, rules.Confirm} {
		c := s.call(t, "update_contact", `{"identity":"`+up.id(1)+`","input":{"fullName":"Eleanor `+strings.Repeat("X", n+2)+`"}}`)
		if got := s.decision(t, c); got != want {
			t.Errorf("rename %d: %s, want %s", n, got, want)
		}
		if n == 1 {
			if _, err := s.Ledger.Erase(t.Context(), "contact:"+up.id(1), ledger.Actor{Name: "bob"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestStrangerMadeContact checks that an email of a contact that the caller itself added, or gave the
// address, is an email of a stranger for a day.
func TestStrangerMadeContact(t *testing.T) {
	const stranger = "eve@example.net"
	mail := `{"input":{"recipientAddress":"hello@harbourlane.example","structuredPayload":{"from":"` + stranger + `","text":"Hello"}},"fields":["id"]}`
	for name, prepare := range map[string]func(*testing.T, *testGate, *fakeSippet){
		"added": func(t *testing.T, s *testGate, _ *fakeSippet) {
			s.Do(t.Context(), s.call(t, "create_contact", `{"input":{"fullName":"Eve","email":"Eve@Example.net"}}`))
		},
		"perhaps added": func(t *testing.T, s *testGate, up *fakeSippet) {
			up.fate = answersLost
			s.Do(t.Context(), s.call(t, "create_contact", `{"input":{"fullName":"Eve","email":"`+stranger+`"}}`))
		},
		"changed": func(t *testing.T, s *testGate, up *fakeSippet) {
			if res := s.approve(t, s.call(t, "update_contact", `{"identity":"`+up.id(1)+`","input":{"email":"`+stranger+`"}}`)); res.Err != nil {
				t.Fatal(res.Err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, up := newFakeGate(t, "team")
			prepare(t, s, up)
			if up.find("list_contacts", "email", stranger) == nil {
				t.Fatal("no contact has the address")
			}
			c := s.call(t, "import_inbound_email", mail)
			if res := s.Do(t.Context(), c); res.Verdict.Decision != rules.Approve || !strings.Contains(res.Verdict.Why, "today") {
				t.Errorf("%s: %s", res.Verdict.Decision, res.Verdict.Why)
			}
			c.Actor.Name = "bo"
			if got := s.decision(t, c); got != rules.Confirm {
				t.Errorf("for another caller: %s", got)
			}
			s.clock.Add(25 * time.Hour)
			if got := s.decision(t, s.call(t, "import_inbound_email", mail)); got != rules.Confirm {
				t.Errorf("a day later: %s", got)
			}
		})
	}
}

// TestRecipientRenamed checks that an approval is bound to the names of the people on its card: they can
// be changed before the card is made, and back after it was approved.
func TestRecipientRenamed(t *testing.T) {
	for name, args := range map[string]string{
		"start_outbound_call":  `{"input":{"contactId":"ID"}}`,
		"import_inbound_email": `{"input":{"recipientAddress":"hello@harbourlane.example","structuredPayload":{"from":"eleanor.marsh@example.com","text":"Hello"}},"fields":["id"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s, up := newFakeGate(t, "desktop")
			ran := false
			up.ran = func(*hijackRun) { ran = true }
			c := s.call(t, name, strings.Replace(args, "ID", up.id(1), 1))
			c.ApprovalID = s.Do(t.Context(), c).Pending.ApprovalID
			if err := s.answerInInbox(t, c.ApprovalID, approves); err != nil {
				t.Fatal(err)
			}
			up.put("list_contacts", with(up.find("list_contacts", "id", up.id(1)), row{"fullName": "Hannah Blythe"}))
			res := s.Do(t.Context(), c)
			if res.Outcome() != schemas.ApprovalPending || ran || !strings.Contains(strings.Join(res.Pending.Card.To, ""), "Hannah Blythe") {
				t.Errorf("ran: %t, %+v", ran, res)
			}
		})
	}
}
