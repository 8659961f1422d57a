package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// phonebook answers looks at contacts from what it holds, and counts what was rung.
type phonebook struct {
	scripted
	numbers map[string]string // by contact id
	rung    int
}

func (b *phonebook) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	var body struct {
		Filter struct{ ID struct{ In []string } }
	}
	if r.Action == "list_contacts" && json.Unmarshal(r.Body, &body) == nil && body.Filter.ID.In != nil {
		var rows []map[string]any
		for _, id := range body.Filter.ID.In {
			rows = append(rows, map[string]any{"id": id, "fullName": "Ada \u202eLovelace", "phoneE164": b.numbers[id], "erasedAt": nil, "deletedAt": nil})
		}
		raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "limit": 250, "type": "keyset"})
		return rpc.Result{Data: raw, Sent: true}, nil
	}
	if strings.HasPrefix(r.Action, "start_") {
		b.rung++
	}
	return b.scripted.Run(ctx, r)
}

// newPhonebookGate is a gate under a policy of its own, before a phone book of so many contacts.
func newPhonebookGate(t *testing.T, policyText string, contacts int) (*testGate, *phonebook, string) {
	t.Helper()
	s := newTestGate(t, "desktop")
	if policyText != "" {
		p, err := rules.Parse("house.yaml", []byte(policyText))
		if err != nil {
			t.Fatal(err)
		}
		s.Policy = policy.FixedPolicySet(p)
	}
	book := &phonebook{numbers: map[string]string{}}
	var ids []string
	for n := range contacts {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
		book.numbers[id] = fmt.Sprintf("+442079460%03d", n)
		ids = append(ids, `"`+id+`"`)
	}
	s.Upstream = book
	return s, book, `{"input":{"contactIds":[` + strings.Join(ids, ",") + `]}}`
}

// TestNumbersOfContacts: a rule about numbers holds for the contact that has one.
func TestNumbersOfContacts(t *testing.T) {
	s, book, _ := newPhonebookGate(t, "", 0)
	book.numbers[anID] = "+449098790123"
	a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`))
	if a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "rule premium-rate") || book.rung != 0 {
		t.Errorf("%+v", a.Err)
	}
	book.numbers[anID] = "+442079460123"
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); a.Pending == nil || !strings.Contains(a.Pending.Card.Text(), `+44 20 7946 0123 (GB, fixed line)`) ||
		strings.ContainsRune(a.Pending.Card.Text(), 0x202e) {
		t.Errorf("%+v", a)
	}
	// Who cannot be rung, or found, is not asked about.
	delete(book.numbers, anID)
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); a.Pending != nil || a.Err == nil {
		t.Errorf("%+v", a)
	}
}

// TestHiddenFieldsOnCard: what a caller must not see of contacts is not on the card that goes to
// their client.
func TestHiddenFieldsOnCard(t *testing.T) {
	s, book, _ := newPhonebookGate(t, plain+"rules: [{id: hide, match: {roles: [\"!admin\"]}, redact: [Contact.phoneE164, Contact.fullName], reason: None of theirs.}]\n", 0)
	book.numbers[anID] = "+442079460123"
	a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`))
	if text := a.Pending.Card.Text(); strings.Contains(text, "7946") || strings.Contains(text, "Ada") || !strings.Contains(text, "contact "+anID+" (GB, fixed line)") {
		t.Errorf("%s", text)
	}
	book.numbers[anID] = "020 7946"
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); len(a.Err.Details) != 1 || a.Err.Details[0].Message != "cannot be rung" {
		t.Errorf("%+v", a.Err)
	}
}

// TestSpellingOfIDs: an id in capitals is the same id, to rules and to what ran before.
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

// TestReadResultsNotStored: what a read told of others is not in the ledger, also where it spent a
// yes.
func TestReadResultsNotStored(t *testing.T) {
	s, _, _ := newPhonebookGate(t, head+"defaults: {class: {read: confirm}}\n", 0)
	a := s.Do(t.Context(), s.call(t, "list_calls", `{"filter":{"contactId":{"eq":"`+anID+`"}}}`))
	if text := a.Pending.Card.Text(); !strings.Contains(text, "List calls.") || !strings.Contains(text, anID) {
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

// TestRecipientsChanged: a yes to ring somebody is void once their number is another one.
func TestRecipientsChanged(t *testing.T) {
	s, book, args := newPhonebookGate(t, "", 2)
	c := s.call(t, "start_bulk_outbound_call", args)
	a := s.Do(t.Context(), c)
	c.ApprovalID = a.Pending.ApprovalID
	if err := s.RecordReply(t.Context(), c, clientApproves); err != nil {
		t.Fatal(err)
	}
	book.numbers["00000000-0000-4000-8000-000000000001"] = "+447700900123"
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "the recipients have changed") {
		t.Errorf("%+v", a.Err)
	}
	book.numbers["00000000-0000-4000-8000-000000000001"] = "+442079460001"
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Denied || book.rung != 0 {
		t.Errorf("the yes lives on: %+v", a)
	}
}

const plain = head + "defaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}\n"

// TestStatedNumber: a yes for more than ten must state how many, neither fewer nor more.
func TestStatedNumber(t *testing.T) {
	for _, c := range []struct {
		contacts, stated int
		want             schemas.Outcome
	}{{10, 0, schemas.Done}, {11, 11, schemas.Done}, {11, 0, schemas.Declined}, {11, 10, schemas.Declined}, {11, 12, schemas.Declined}, {400, 4, schemas.Declined}, {400, 4000, schemas.Declined}, {400, 400, schemas.Done}} {
		s, book, args := newPhonebookGate(t, plain, c.contacts)
		call := s.call(t, "start_bulk_outbound_call", args)
		a := s.Do(t.Context(), call)
		if (a.Pending.Card.StateNumber > 0) != (c.contacts > 10) || !strings.Contains(a.Pending.Card.Text(), fmt.Sprintf("%d people in GB", c.contacts)) {
			t.Errorf("%d contacts: %s", c.contacts, a.Pending.Card.Text())
		}
		call.ApprovalID = a.Pending.ApprovalID
		got := schemas.Done
		if err := s.RecordReply(t.Context(), call, approval.Reply{Approve: true, StatedNumber: c.stated, By: ledger.Actor{Name: "ada"}}); err != nil {
			got = err.Outcome
		} else if a := s.Do(t.Context(), call); a.Err != nil {
			got = a.Err.Outcome
		}
		if got != c.want || (book.rung == 1) != (c.want == schemas.Done) {
			t.Errorf("%+v: %s, rung %d", c, got, book.rung)
		}
		if c.want == schemas.Declined {
			// The right number afterwards does not help: the question is gone.
			if err := s.RecordReply(t.Context(), call, approval.Reply{Approve: true, StatedNumber: c.contacts}); err == nil {
				t.Errorf("%+v: answered once more", c)
			}
		}
	}
}

// TestBudget: what is spent is refused until it has grown back, on every process, and what was not
// sent costs nothing.
func TestBudget(t *testing.T) {
	s, book, args := newPhonebookGate(t, plain+`budgets: {rings: {key: caller, rate: 20/h, burst: 5, cost: "recipients.size()"}}
rules: [{id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: Twenty an hour.}]
`, 4)
	if a := s.approve(t, s.call(t, "start_bulk_outbound_call", args)); a.Outcome() != schemas.Done {
		t.Fatalf("%+v", a.Err)
	}
	one := func(n int) policy.Call {
		return s.call(t, "start_outbound_call", fmt.Sprintf(`{"input":{"phoneNumber":"+44207946%04d"}}`, n))
	}
	book.fault = &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet cannot be reached"}
	if a := s.approve(t, one(1)); a.Outcome() != schemas.UpstreamUnavailable {
		t.Fatalf("%+v", a)
	}
	book.fault = nil
	if a := s.approve(t, one(2)); a.Outcome() != schemas.Done {
		t.Fatalf("what was not sent was paid for: %+v", a.Err)
	}
	c := one(3)
	a := s.approve(t, c)
	if a.Outcome() != schemas.LimitExceeded || !strings.Contains(a.Err.Message, "rings") || a.Err.RetryAfter <= 0 || a.Err.RetryAfter > 3*time.Minute {
		t.Errorf("%+v", a.Err)
	}
	s.clock.Add(a.Err.RetryAfter)
	if a := s.approve(t, c); a.Outcome() != schemas.Done {
		t.Errorf("after it has grown back: %+v", a.Err)
	}
	big, _, many := newPhonebookGate(t, plain+`budgets: {rings: {key: organisation, rate: 20/h, burst: 5, cost: "recipients.size()"}}
rules: [{id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: Twenty an hour.}]
`, 9)
	if a := big.approve(t, big.call(t, "start_bulk_outbound_call", many)); a.Outcome() != schemas.LimitExceeded || a.Err.RetryAfter != 0 {
		t.Errorf("more than it ever holds: %+v", a.Err)
	}
}

// TestBudgetOfReads: a budget holds for reads as for all else.
func TestBudgetOfReads(t *testing.T) {
	s, _, _ := newPhonebookGate(t, plain+`budgets: {looks: {key: caller, rate: 1/h, burst: 2}}
rules: [{id: few-looks, match: {classes: [read]}, limit: looks, reason: Two an hour.}]
`, 0)
	for n, want := range []schemas.Outcome{schemas.Done, schemas.Done, schemas.LimitExceeded} {
		if a := s.Do(t.Context(), s.call(t, "list_calls", `{}`)); a.Outcome() != want {
			t.Errorf("look %d: %s", n+1, a.Outcome())
		}
	}
}

// TestShadow: a policy that is only watched changes nothing, and what it would have done is on
// record.
func TestShadow(t *testing.T) {
	dir := t.TempDir()
	shadow := filepath.Join(dir, "strict.yaml")
	if err := os.WriteFile(shadow, []byte(head+"defaults: {class: {read: allow, write: deny}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestGate(t, "desktop")
	var err error
	if s.Policy, err = policy.LoadPolicySet([]string{"desktop"}, nil, shadow); err != nil {
		t.Fatal(err)
	}
	s.Ledger = ledgertest.Open(t, ledger.Options{Dir: filepath.Join(dir, "ledger"), Now: s.Now})
	if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.Done || a.Verdict.Decision != rules.Validate {
		t.Errorf("%+v", a)
	}
	records, err := s.Ledger.Records(t.Context(), ledger.Filter{Action: "create_contact", Phase: ledger.PhasePrepared})
	if err != nil || len(records) != 1 || !strings.HasPrefix(records[0].Shadow, "deny: policy strict.yaml") {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestShadowWithoutDefaults: a file that is meant to be added is watched as if it were.
func TestShadowWithoutDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(file, []byte(head+"rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := policy.LoadPolicySet([]string{"desktop"}, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]rules.Decision{"create_contact": rules.Deny, "list_contacts": rules.Allow} {
		p := payload(t, action, map[string]string{"create_contact": createArgs, "list_contacts": "{}"}[action])
		if v := book.Shadow().Decide(rules.Facts{Payload: p, Now: noon}); v.Decision != want {
			t.Errorf("%s: %+v", action, v)
		}
	}
}

// TestReload: a changed file holds from then on, a faulty one does not, and questions from before
// are void.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "house.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(plain)
	s := newTestGate(t, "desktop")
	book, err := policy.LoadPolicySet([]string{file}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Policy = book
	told, done := make(chan error), make(chan struct{})
	defer close(done)
	hup := make(chan os.Signal)
	go book.Poll(done, hup, func(err error) { told <- err })
	ring := s.call(t, "start_outbound_call", ringNumber)
	a := s.Do(t.Context(), ring)
	ring.ApprovalID = a.Pending.ApprovalID
	if err := s.RecordReply(t.Context(), ring, clientApproves); err != nil {
		t.Fatal(err)
	}
	write(plain + "rulez: []\n")
	if err := <-told; err == nil || !strings.Contains(err.Error(), "rulez") {
		t.Errorf("a faulty file: %v", err)
	}
	if a := s.Do(t.Context(), s.call(t, "create_contact", createArgs)); a.Outcome() != schemas.Done {
		t.Errorf("the policy before it does not hold on: %+v", a)
	}
	write(plain + "rules: [{id: none, match: {actions: [create_contact]}, decision: deny, reason: Not today.}]\n")
	hup <- os.Interrupt
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t.Context(), s.call(t, "create_contact", `{"input":{"fullName":"Bo"}}`)); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "rule none: Not today") {
		t.Errorf("the new policy does not hold: %+v", a)
	}
	if a := s.Do(t.Context(), ring); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "policy differ") {
		t.Errorf("a yes under the policy before: %+v", a.Err)
	}
}

// TestOvertakenApproval: a yes that was given before the same call ran elsewhere is withdrawn, not
// kept for later.
func TestOvertakenApproval(t *testing.T) {
	s, book, _ := newPhonebookGate(t, "", 0)
	c := s.call(t, "start_outbound_call", ringNumber)
	c.ApprovalID = s.Do(t.Context(), c).Pending.ApprovalID
	if err := s.RecordReply(t.Context(), c, clientApproves); err != nil {
		t.Fatal(err)
	}
	mine := s.Policy
	p, err := rules.Parse("other.yaml", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	s.Policy = policy.FixedPolicySet(p) // asked under another policy, the question of the first stays open
	if a := s.approve(t, s.call(t, "start_outbound_call", ringNumber)); a.Outcome() != schemas.Done {
		t.Fatalf("%+v", a.Err)
	}
	s.Policy = mine
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Recorded || book.rung != 1 {
		t.Errorf("%s, rung %d", a.Outcome(), book.rung)
	}
	if g, err := s.Ledger.Approval(t.Context(), c.ApprovalID); err != nil || g.State != ledger.Revoked {
		t.Errorf("the yes is %s, %v", g.State, err)
	}
}
