package policy_test

import (
	"encoding/json"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// recorded returns a record of a call that holds its payload.
func recorded(t *testing.T, phase ledger.Phase, request, action, args string) ledger.Record {
	p := payload(t, action, args)
	return ledger.Record{Phase: phase, Time: noon, Request: request, Caller: ledger.Actor{Name: "ada", Via: "stdio"}, Action: action, Class: p.Action.Class,
		Sealed: &ledger.Sealed{}, Private: &ledger.Private{Payload: json.RawMessage(p.Body)}}
}

func all(records ...ledger.Record) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for i, r := range records {
			r.Seq = int64(i + 1)
			if !yield(r, nil) {
				return
			}
		}
	}
}

// TestCompare checks that a call counts once, whatever the gate read for it and however it ended.
func TestCompare(t *testing.T) {
	old, err := rules.Load("desktop")
	if err != nil {
		t.Fatal(err)
	}
	new, err := rules.Load("desktop", policyFile(t, head+`rules:
  - {id: few, match: {actions: ["start_*"]}, when: recipients.size() > 0, decision: deny, reason: R}
  - {id: hide, match: {actions: [list_calls]}, redact: [Call.recordingUri], reason: R}
  - {id: boss, match: {actions: [create_contact], roles: [boss]}, decision: confirm, reason: R}
`))
	if err != nil {
		t.Fatal(err)
	}
	ring := `{"input":{"contactId":"` + anID + `"}}`
	lookUp := recorded(t, ledger.PhaseRead, "1", "list_contacts", `{}`)
	lookUp.Prefetch = true
	requested := recorded(t, ledger.PhaseRequested, "1", "start_outbound_call", ring)
	requested.ApprovalID = "a1"
	prepared := recorded(t, ledger.PhasePrepared, "2", "start_outbound_call", ring)
	prepared.ApprovalID = "a1"
	failedLookUp := recorded(t, ledger.PhaseRejected, "3", "list_contacts", `{}`)
	failedLookUp.Prefetch, failedLookUp.Outcome = true, schemas.UpstreamUnavailable
	rejected := recorded(t, ledger.PhaseRejected, "3", "start_outbound_call", ring)
	rejected.Outcome = schemas.UpstreamUnavailable
	erased := recorded(t, ledger.PhasePrepared, "5", "create_contact", createArgs)
	erased.Private = nil
	unkept := recorded(t, ledger.PhaseRead, "6", "list_calls", `{}`)
	unkept.Private.Payload = nil
	byToken := recorded(t, ledger.PhasePrepared, "7", "create_contact", createArgs)
	byToken.Credential = "t1"
	byOldToken := recorded(t, ledger.PhasePrepared, "8", "create_contact", createArgs)
	byOldToken.Credential = "t2"

	got, err := policy.Compare(t.Context(), old, new, []ledger.Token{{ID: "t1", Person: "ada", Roles: []string{"boss"}}},
		all(lookUp, requested, ledger.Record{Phase: ledger.PhaseAnswered, ApprovalID: "a1"}, lookUp, prepared, ledger.Record{Phase: ledger.PhaseSettled},
			failedLookUp, rejected, recorded(t, ledger.PhaseRead, "4", "list_calls", `{}`), erased, unkept, byToken, byOldToken,
			ledger.Record{Phase: ledger.PhaseDropped, Count: 3}))
	if err != nil {
		t.Fatal(err)
	}
	denied := policy.DecisionChange{Time: noon, Action: "start_outbound_call", Caller: "ada, via stdio", Old: rules.Confirm, New: rules.Deny, Rule: "house.yaml: few",
		OldWhy: "policy desktop: default for outbound actions is confirm", NewWhy: "policy house.yaml: rule few: R", Uncertain: true}
	confirmed := policy.DecisionChange{Seq: 12, Time: noon, Action: "create_contact", Caller: "ada, via stdio", Old: rules.Validate, New: rules.Confirm,
		Rule: "house.yaml: boss", OldWhy: "policy desktop: default for write actions is validate", NewWhy: "policy house.yaml: rule boss: R"}
	first, second := denied, denied
	first.Seq, second.Seq = 2, 8
	want := policy.Comparison{Calls: 7, Same: 2, Different: 3, Stricter: 3, OtherFields: 1, RolesUnknown: 1, Unrecorded: 3,
		NotCompared: map[string]int{"its content is erased": 1, "its content was not recorded": 1},
		Changes:     []policy.DecisionChange{first, second, confirmed}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCompareFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := policy.Compare(t.Context(), &rules.Policy{}, &rules.Policy{}, nil, func(yield func(ledger.Record, error) bool) { yield(ledger.Record{}, broken) })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestCompareUnreadContacts checks that a call is compared although rules depend on contacts that are
// not recorded, if another rule denies it in any case.
func TestCompareUnreadContacts(t *testing.T) {
	old, err := rules.Parse("old.yaml", []byte(head+"defaults: {class: {write: validate}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	new, err := rules.Load("desktop")
	if err != nil {
		t.Fatal(err)
	}
	const shared = `{"input":{"fullName":"Ada","email":"ada@example.com"`
	got, err := policy.Compare(t.Context(), old, new, nil, all(
		recorded(t, ledger.PhasePrepared, "1", "create_contact", shared+`}}`),
		recorded(t, ledger.PhasePrepared, "2", "create_contact", shared+`,"emailVerifiedAt":"2026-01-07T11:00:00Z"}}`)))
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Comparison{Calls: 2, Different: 1, Stricter: 1,
		NotCompared: map[string]int{"rules depend on what the contacts were, which is not recorded": 1},
		Changes: []policy.DecisionChange{{Seq: 2, Time: noon, Action: "create_contact", Caller: "ada, via stdio", Old: rules.Validate, New: rules.Deny,
			Rule: "desktop: verified-on-create", OldWhy: "policy old.yaml: default for write actions is validate",
			NewWhy: "policy desktop: rule verified-on-create: A new contact is not verified. A person sets the verification by an update"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
