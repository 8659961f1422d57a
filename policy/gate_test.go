package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// brokenStore is a ledger that fails at one step.
type brokenStore struct {
	ledger.Ledger
	at string
}

var errDisk = &ledger.StoreError{Kind: ledger.DiskFull, Path: "/var/lib/ledger.db", Err: errors.New("no space")}

func (b brokenStore) CurrentStops(ctx context.Context) ([]ledger.EmergencyStop, error) {
	if b.at == "stop" {
		return nil, errDisk
	}
	return b.Ledger.CurrentStops(ctx)
}

func (b brokenStore) FindConflicting(ctx context.Context, x ledger.Txn) (*ledger.Intent, error) {
	if b.at == "conflict" {
		return nil, errDisk
	}
	return b.Ledger.FindConflicting(ctx, x)
}

func (b brokenStore) CreateApproval(ctx context.Context, g ledger.ApprovalRequest) error {
	if b.at == "create" {
		return errDisk
	}
	return b.Ledger.CreateApproval(ctx, g)
}

func (b brokenStore) AnswerApproval(ctx context.Context, g ledger.ApprovalRequest, r ledger.Reply) error {
	if b.at == "answer" {
		return errDisk
	}
	return b.Ledger.AnswerApproval(ctx, g, r)
}

func (b brokenStore) CheckApproval(ctx context.Context, g ledger.ApprovalRequest) error {
	if b.at == "check" {
		return errDisk
	}
	return b.Ledger.CheckApproval(ctx, g)
}

func (b brokenStore) Commit(ctx context.Context, x ledger.Txn) (ledger.Intent, error) {
	if b.at == "commit" {
		return ledger.Intent{}, errDisk
	}
	return b.Ledger.Commit(ctx, x)
}

func (b brokenStore) Settle(ctx context.Context, s ledger.Settlement) error {
	if b.at == "settle" {
		return errDisk
	}
	return b.Ledger.Settle(ctx, s)
}

func (b brokenStore) StoreError() error {
	if b.at == "store" {
		return errDisk
	}
	return b.Ledger.StoreError()
}

var (
	clientApproves = policy.ClientReply{Action: policy.ClientAccepts, Ticked: true, After: time.Minute}
	clientDeclines = policy.ClientReply{Action: policy.ClientDeclines, After: time.Minute}
)

// TestStoreFails checks that nothing runs that changes anything while the ledger fails, at
// whichever step.
func TestStoreFails(t *testing.T) {
	for _, at := range []string{"stop", "conflict", "create", "answer", "check", "commit"} {
		g, u := gate(t, "desktop")
		g.Ledger = brokenStore{g.Ledger, at}
		c := policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`), CanAsk: true}
		err := func() *schemas.Error {
			a := g.Do(t.Context(), c)
			if a.Pending == nil {
				return a.Err
			}
			c.ApprovalID = a.Pending.ApprovalID
			if _, err := g.RecordReply(t.Context(), c, clientApproves); err != nil {
				return err
			}
			return g.Do(t.Context(), c).Err
		}()
		if err == nil || err.Outcome != schemas.Unavailable || u.runs != 0 {
			t.Errorf("%s fails: %v, %d runs", at, err, u.runs)
		} else if err.Next == "" || strings.Contains(err.Message+err.Next, "/var/lib") || !strings.Contains(err.Message, "disk full") {
			t.Errorf("%s fails: %q, next %q", at, err.Message, err.Next)
		}
	}
}

// TestOutcomeUnrecorded checks that a call does not count as done if its outcome could not be
// recorded.
func TestOutcomeUnrecorded(t *testing.T) {
	g, u := gate(t, "desktop")
	g.Ledger = brokenStore{g.Ledger, "settle"}
	a := g.Do(t.Context(), policy.Call{Payload: payload(t, "create_contact", `{"input":{"fullName":"Ada"}}`)})
	if a.Outcome() != schemas.OutcomeUnknown || a.Data != nil || a.Err.Intent == "" || u.runs != 1 {
		t.Errorf("%+v, %d runs", a, u.runs)
	}
}

func (b brokenStore) FailingSince() time.Time {
	if b.at == "store" {
		return noon
	}
	return b.Ledger.FailingSince()
}

// TestUnrecordedReadsEnd checks that reads run without a record for five minutes, and that the
// error after them says what to do.
func TestUnrecordedReadsEnd(t *testing.T) {
	s := newTestGate(t, "desktop")
	s.Gate.Ledger = brokenStore{s.Gate.Ledger, "store"}
	read := func(want schemas.Outcome) policy.Result {
		t.Helper()
		a := s.Do(t.Context(), s.call(t, "list_contacts", `{}`))
		if a.Outcome() != want {
			t.Fatalf("%s, want %s: %v", a.Outcome(), want, a.Err)
		}
		return a
	}
	s.clock.Add(5*time.Minute - time.Second)
	read(schemas.Done)
	s.clock.Add(time.Second)
	a := read(schemas.Unavailable)
	if len(s.up.seen) != 1 || !strings.Contains(a.Err.Message, "five minutes") || !strings.Contains(a.Err.Message, "nothing ran") || a.Err.Next == "" {
		t.Errorf("%d reads; %q, next %q", len(s.up.seen), a.Err.Message, a.Err.Next)
	}
}

// TestUnrecordedReads checks that reads run without a ledger only if the policy says so.
func TestUnrecordedReads(t *testing.T) {
	for name, want := range map[string]schemas.Outcome{"desktop": schemas.Done, "team": schemas.Unavailable, "unattended": schemas.Unavailable} {
		g, u := gate(t, name)
		g.Ledger = brokenStore{g.Ledger, "store"}
		a := g.Do(t.Context(), policy.Call{Payload: payload(t, "list_contacts", `{}`)})
		if a.Outcome() != want || (u.runs == 1) != (want == schemas.Done) {
			t.Errorf("%s: %s, %d runs", name, a.Outcome(), u.runs)
		}
	}
}

// TestApprovalOverridesNoDenial checks that an approval has no effect on a call that the policy
// denies, or that needs another person.
func TestApprovalOverridesNoDenial(t *testing.T) {
	for _, name := range []string{"team", "unattended", "read-only"} {
		g, u := gate(t, name)
		c := policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`), ApprovalID: ledger.NewID(), CanAsk: true}
		open := ledger.ApprovalRequest{ID: c.ApprovalID, Requester: ledger.Actor{Name: "ada"}, Organisation: g.Organisation, Action: "delete_contact", Hash: c.Payload.Hash(), EffectKey: c.Payload.EffectKey(), Policy: g.Policy.Own().Version(), Needs: "confirm", Card: []byte(`{"title":"Erase","needs":"confirm","deed":["Erase"]}`), Expires: noon.Add(g.Lifetime)}
		if err := g.Ledger.CreateApproval(t.Context(), open); err != nil {
			t.Fatal(err)
		}
		if event, err := g.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
			t.Fatal(err)
		}
		if a := g.Do(t.Context(), c); a.Outcome() != schemas.Denied || u.runs+u.validates != 0 {
			t.Errorf("%s: %s, %d validates, %d runs", name, a.Outcome(), u.validates, u.runs)
		}
	}
}

// TestNoPolicy checks that the zero policy denies everything.
func TestNoPolicy(t *testing.T) {
	g, u := gate(t, "desktop")
	g.Policy = policy.FixedPolicySet(&rules.Policy{})
	for _, a := range schemas.Actions() {
		if got := g.Do(t.Context(), policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: &schemas.Payload{Action: a, Body: []byte("{}")}}); got.Outcome() != schemas.Denied {
			t.Errorf("%s: %s", a.Name, got.Outcome())
		}
	}
	if u.runs+u.validates != 0 {
		t.Errorf("%d validates, %d runs", u.validates, u.runs)
	}
}

// TestReadResultsNotStored checks that the result of a read is not in the ledger, even if it used
// an approval.
func TestReadResultsNotStored(t *testing.T) {
	s, _, _ := newPhonebookGate(t, head+"defaults: {class: {read: confirm}}\n", 0)
	a := s.Do(t.Context(), s.call(t, "list_calls", `{"filter":{"contactId":{"eq":"`+anID+`"}}}`))
	if text := a.Pending.Card.Long(); !strings.Contains(text, "List calls.") || !strings.Contains(text, anID) {
		t.Errorf("the card does not say what is read: %s", text)
	}
	if a := s.approve(t, s.call(t, "list_calls", `{}`)); a.Outcome() != schemas.Done {
		t.Fatalf("%+v", a.Err)
	}
	in, err := s.Ledger.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil || len(in) != 1 {
		t.Fatalf("%d intents, %v", len(in), err)
	}
	if one, err := s.Ledger.Intent(t.Context(), in[0].ID); err != nil || one.Result != nil {
		t.Errorf("%s, %v", one.Result, err)
	}
}

// TestSpellingOfIDs checks that an id in capitals is the same id, for rules and for previous runs.
func TestSpellingOfIDs(t *testing.T) {
	s, _, _ := newPhonebookGate(t, plain+"lists: {blocked: [\""+anID+"\"]}\nrules: [{id: no, match: {actions: [update_contact]}, when: identity in lists.blocked, decision: deny, reason: Blocked.}]\n", 0)
	if a := s.Do(t.Context(), s.call(t, "update_contact", `{"identity":"`+strings.ToUpper(anID)+`","input":{"fullName":"Ada"}}`)); a.Outcome() != schemas.Denied {
		t.Errorf("%s", a.Outcome())
	}
	for _, pair := range [][2]string{
		{`{"input":{"contactId":"` + anID + `"}}`, "start_outbound_call"}, {`{"input":{"contactIds":["` + anID + `"]}}`, "start_bulk_outbound_call"},
		{`{"fields":["id"],"filter":{"not":[{"or":[{"id":{"in":["` + anID + `"]}}]}]}}`, "list_contacts"},
	} {
		if payload(t, pair[1], pair[0]).Hash() != payload(t, pair[1], strings.ReplaceAll(pair[0], anID, strings.ToUpper(anID))).Hash() {
			t.Errorf("%s in capitals is another call", pair[0])
		}
	}
}
