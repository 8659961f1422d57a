package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// phonebook is an upstream with contacts. It counts the calls that it starts.
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
			rows = append(rows, map[string]any{"id": id, "fullName": "Ada \u202eLovelace", "phoneE164": b.numbers[id], "erasedAt": nil, "deletedAt": nil, "metadata": nil})
		}
		raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "limit": 250, "type": "keyset"})
		return rpc.Result{Data: raw, Sent: true}, nil
	}
	if strings.HasPrefix(r.Action, "start_") {
		b.rung++
	}
	return b.scripted.Run(ctx, r)
}

// newPhonebookGate returns a gate under a policy, over a phonebook of so many contacts, and the
// arguments of a bulk call to all of them.
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

// TestNumbersOfContacts checks that a rule about numbers applies to the number of a contact.
func TestNumbersOfContacts(t *testing.T) {
	s, book, _ := newPhonebookGate(t, "", 0)
	book.numbers[anID] = "+449098790123"
	a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`))
	if a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "rule premium-rate") || book.rung != 0 {
		t.Errorf("%+v", a.Err)
	}
	book.numbers[anID] = "+442079460123"
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); a.Pending == nil || !strings.Contains(a.Pending.Card.Long(), `+44 20 7946 0123 (GB, fixed line)`) ||
		strings.ContainsRune(a.Pending.Card.Long(), 0x202e) {
		t.Errorf("%+v", a)
	}
	// Nobody is asked about a contact that cannot be rung or found.
	delete(book.numbers, anID)
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); a.Pending != nil || a.Err == nil {
		t.Errorf("%+v", a)
	}
}

// TestHiddenFieldsOnCard checks that hidden fields of contacts are neither on the card nor in an
// error, because both go to the caller's client.
func TestHiddenFieldsOnCard(t *testing.T) {
	s, book, _ := newPhonebookGate(t, plain+"rules: [{id: hide, match: {roles: [\"!admin\"]}, redact: [Contact.phoneE164, Contact.fullName], reason: Private.}]\n", 0)
	book.numbers[anID] = "+442079460123"
	a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`))
	if text := a.Pending.Card.Long(); strings.Contains(text, "7946") || strings.Contains(text, "Ada") || !strings.Contains(text, "(GB, fixed line) contact "+anID) {
		t.Errorf("%s", text)
	}
	book.numbers[anID] = "020 7946"
	if a := s.Do(t.Context(), s.call(t, "start_outbound_call", `{"input":{"contactId":"`+anID+`"}}`)); len(a.Err.Details) != 1 || a.Err.Details[0].Message != "cannot be rung" {
		t.Errorf("%+v", a.Err)
	}
}

// TestRecipientsChanged checks that an approval does not count once a recipient has another number.
func TestRecipientsChanged(t *testing.T) {
	s, book, args := newPhonebookGate(t, "", 2)
	c := s.call(t, "start_bulk_outbound_call", args)
	a := s.Do(t.Context(), c)
	c.ApprovalID = a.Pending.ApprovalID
	if event, err := s.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
		t.Fatal(err)
	}
	book.numbers["00000000-0000-4000-8000-000000000001"] = "+447700900123"
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "the recipients have changed") {
		t.Errorf("%+v", a.Err)
	}
	book.numbers["00000000-0000-4000-8000-000000000001"] = "+442079460001"
	if a := s.Do(t.Context(), c); a.Outcome() != schemas.Denied || book.rung != 0 {
		t.Errorf("the approval still counts: %+v", a)
	}
}

const plain = head + "defaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}\n"

// TestStatedNumber checks that an approval of a call to more than ten people must state exactly
// their number.
func TestStatedNumber(t *testing.T) {
	for _, c := range []struct {
		contacts, stated int
		want             schemas.Outcome
	}{{10, 0, schemas.Done}, {11, 11, schemas.Done}, {11, 0, schemas.Denied}, {11, 10, schemas.Denied}, {11, 12, schemas.Denied}, {400, 4, schemas.Denied}, {400, 4000, schemas.Denied}, {400, 400, schemas.Done}} {
		s, book, args := newPhonebookGate(t, plain, c.contacts)
		call := s.call(t, "start_bulk_outbound_call", args)
		a := s.Do(t.Context(), call)
		if (a.Pending.Card.StateNumber > 0) != (c.contacts > 10) || !strings.Contains(a.Pending.Card.Long(), fmt.Sprintf("%d people in GB", c.contacts)) {
			t.Errorf("%d contacts: %s", c.contacts, a.Pending.Card.Long())
		}
		call.ApprovalID = a.Pending.ApprovalID
		got := schemas.Done
		if err := s.answerInInbox(t, call.ApprovalID, approval.Reply{Approve: true, StatedNumber: c.stated}); err != nil {
			got = err.Outcome
		} else if a := s.Do(t.Context(), call); a.Err != nil {
			got = a.Err.Outcome
		}
		if got != c.want || (book.rung == 1) != (c.want == schemas.Done) {
			t.Errorf("%+v: %s, rung %d", c, got, book.rung)
		}
		if c.want == schemas.Denied {
			// The request is still pending, so the right number counts afterwards.
			if err := s.answerInInbox(t, call.ApprovalID, approval.Reply{Approve: true, StatedNumber: c.contacts}); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			if a := s.Do(t.Context(), call); a.Err != nil || book.rung != 1 {
				t.Errorf("%+v: %v, rung %d", c, a.Err, book.rung)
			}
		}
	}
}
