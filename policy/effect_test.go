package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestSameEffect checks, under the profiles that can create a contact, that a call in other words is
// the same call: after an unknown outcome it is not sent without a person, and after a success it is
// recorded.
func TestSameEffect(t *testing.T) {
	rewritten := map[string]string{
		"other fields":   `{"input":{"fullName":"Ada Lovelace"},"fields":["id"]}`,
		"a null":         `{"input":{"fullName":"Ada Lovelace","metadata":null,"email":null}}`,
		"an empty text":  `{"input":{"fullName":"Ada Lovelace","email":" "}}`,
		"spaces":         `{"input":{"fullName":" Ada Lovelace\n"}}`,
		"another reason": `{"input":{"fullName":"Ada Lovelace"},"reason":"again"}`,
	}
	for _, profile := range []string{"desktop", "team", "unattended"} {
		for name, args := range rewritten {
			t.Run(profile+", "+name, func(t *testing.T) {
				s := newTestGate(t, profile)
				s.up.fault, s.up.sent = lost, true
				if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.OutcomeUnknown {
					t.Fatalf("%+v", a)
				}
				s.up.fault = nil
				if a := s.Do(t.Context(), s.call(t, "create_contact", args)); a.Outcome() == schemas.Done || len(s.up.seen) != 1 || a.Pending != nil && !strings.Contains(a.Pending.Card.Earlier, "its outcome is unknown") {
					t.Errorf("it is sent again: %+v, %q", a, s.up.seen)
				}
			})
			t.Run(profile+", recorded, "+name, func(t *testing.T) {
				s := newTestGate(t, profile)
				if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.Done {
					t.Fatalf("%+v", a)
				}
				if a := s.Do(t.Context(), s.call(t, "create_contact", args)); a.Outcome() != schemas.Recorded || len(s.up.seen) != 1 {
					t.Errorf("%s, %q", a.Outcome(), s.up.seen)
				}
			})
		}
	}
	s := newTestGate(t, "desktop")
	s.Do(t.Context(), s.call(t, "create_contact", createArgs))
	if a := s.Do(t.Context(), s.call(t, "create_contact", `{"input":{"fullName":"Ada Lovelace","defaultLanguage":"en"}}`)); a.Outcome() != schemas.Done || len(s.up.seen) != 2 {
		t.Errorf("another effect: %s", a.Outcome())
	}
}

// TestApprovalBindsTheBytes checks that an approval never runs another payload than its card showed,
// though its effect is the same, and that the same call has one open request only.
func TestApprovalBindsTheBytes(t *testing.T) {
	s := newTestGate(t, "desktop")
	erase := s.call(t, "archive_contact", `{"identity":"`+anID+`"}`)
	erase.ApprovalID = s.Do(t.Context(), erase).Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), erase, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	other := s.call(t, "archive_contact", `{"identity":"`+anID+`","fields":["id"]}`)
	other.ApprovalID = erase.ApprovalID
	if a := s.Do(t.Context(), other); a.Outcome() != schemas.Denied || strings.Contains(strings.Join(s.up.seen, " "), "archive_contact") {
		t.Errorf("%+v, %q", a, s.up.seen)
	}
	other.ApprovalID = ""
	if a := s.Do(t.Context(), other); a.Pending == nil || a.Pending.ApprovalID != erase.ApprovalID {
		t.Errorf("the same call is about to run: %+v", a)
	}

	ring := s.call(t, "archive_contact", `{"identity":"`+otherID+`"}`)
	first := s.Do(t.Context(), ring).Pending.ApprovalID
	again := s.Do(t.Context(), s.call(t, "archive_contact", `{"identity":"`+otherID+`","fields":["id"]}`))
	if again.Pending == nil || again.Pending.ApprovalID == first {
		t.Fatalf("other bytes share a request: %+v", again)
	}
	if r, err := s.Ledger.Approval(t.Context(), first); err != nil || r.State != ledger.Revoked {
		t.Errorf("the first request is %s, %v", r.State, err)
	}
}

const otherID = "3b241101-e2bb-4255-8caf-4136c566a962"

// TestUnknownToTheSamePerson checks that while the outcome of a call is unknown, nothing of the same
// kind is done to the same person without a person who is told, whoever calls and in whatever way
// the person is named.
func TestUnknownToTheSamePerson(t *testing.T) {
	change := `{"identity":"` + anID + `","input":{"fullName":"Ada"}}`
	for name, c := range map[string]struct {
		first, firstArgs, second, args string
		asked                          bool
	}{
		"the same number":    {"start_outbound_call", ringNumber, "start_outbound_call", strings.Replace(ringNumber, "}}", `,"aiAgentId":"`+otherID+`"}}`, 1), true},
		"the contact":        {"start_outbound_call", ringContact, "start_outbound_call", ringNumber, true},
		"in a bulk call":     {"start_outbound_call", ringNumber, "start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `"]}}`, true},
		"another change":     {"update_contact", change, "update_contact", `{"identity":"` + anID + `","input":{"defaultLanguage":"en"}}`, true},
		"its erasure":        {"update_contact", change, "delete_contact", `{"input":{"contactId":"` + anID + `"}}`, true},
		"a double":           {"create_contact", `{"input":{"fullName":"Ada","phoneE164":"+442079460123"}}`, "create_contact", `{"input":{"fullName":"Ada L","phoneE164":"+442079460123"}}`, true},
		"another kind":       {"start_outbound_call", ringContact, "update_contact", change, false},
		"a change of nobody": {"update_contact", change, "update_contact", `{"identity":"` + otherID + `","input":{"fullName":"Ada Bo"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, unconfirmed)
			o.up.with(func(s *sippet) {
				s.numbers = map[string]string{anID: "+442079460123", otherID: "+442079460124"}
				s.fault, s.sent = lost, true
			})
			first := o.Do(t.Context(), call(t, adaCaller, c.first, c.firstArgs))
			if first.Outcome() != schemas.OutcomeUnknown {
				t.Fatal(brief(first))
			}
			o.up.with(func(s *sippet) { s.fault = nil })
			o.clock.Add(3 * time.Hour)
			for who, caller := range map[string]policy.Caller{"the same caller": adaCaller, "another": boCaller} {
				a := o.Do(t.Context(), call(t, caller, c.second, c.args))
				switch {
				case !c.asked && a.Outcome() != schemas.Done:
					t.Errorf("%s: %s", who, brief(a))
				case !c.asked:
				case a.Pending == nil:
					t.Errorf("%s: %s", who, brief(a))
				case !strings.Contains(a.Pending.Card.Earlier, c.first+" was sent 3 hours ago for one of the people") || !strings.Contains(a.Pending.Card.Long(), "its outcome is unknown"):
					t.Errorf("%s: the card does not say so: %s", who, a.Pending.Card.Long())
				}
			}
			if !c.asked {
				return
			}
			// Once somebody has found out, nobody is asked.
			if err := o.Ledger.Resolve(t.Context(), first.Err.Intent, ledger.Failed, "it did not ring", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
			if a := o.Do(t.Context(), call(t, adaCaller, c.second, c.args)); a.Outcome() != schemas.Done {
				t.Errorf("after it was resolved: %s", brief(a))
			}
		})
	}
}
