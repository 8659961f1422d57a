package policy_test

import (
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestCardText checks the card of a call that needs confirm: its record was read, and nothing ran.
func TestCardText(t *testing.T) {
	g, u := gate(t, "desktop")
	p := payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"},"reason":"asked to be forgotten"}`)
	res := g.Do(t.Context(), policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: p})
	if res.Pending == nil || u.runs != 0 || res.Outcome() != schemas.ApprovalPending {
		t.Fatalf("%+v", res)
	}
	got := res.Pending.Card.Long()
	want := `Erase the contact "Ada" for good.
Name, number, email and all other personal data of the contact are gone; nobody
    can restore them.

About this:
  fullName: Ada
  goes: name
  stays at Sippet: nothing that this API finds by its id or number
  stays here: when it was erased and who did it, in the audit log, without name
    and number

What is sent:
  input.contactId: ` + anID + `

Action delete_contact, requested by ada. policy desktop: default for destructive
    actions is confirm.

Written by the AI as its reason: asked to be forgotten`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestErasedRecord checks that nothing changes an erased record, also if it was erased after a person
// approved.
func TestErasedRecord(t *testing.T) {
	const alive, erased = `[{"id":"` + anID + `","fullName":"Ada","erasedAt":null}]`, `[{"id":"` + anID + `","fullName":null,"erasedAt":"2026-01-01T00:00:00Z"}]`
	for action, args := range map[string]string{"delete_contact": eraseContact, "archive_contact": `{"identity":"` + anID + `"}`} {
		o := newApprovalWorld(t, house)
		o.up.record = erased
		asks := call(t, adaCaller, action, args)
		if res := o.Do(t.Context(), asks); res.Outcome() != schemas.Denied || res.Pending != nil || !strings.Contains(res.Err.Message, "the record is erased") {
			t.Errorf("%s of an erased record: %s", action, brief(res))
		}
		o.up.record = alive
		id := o.ask(t, asks)
		o.answer(t, id, bobPerson, approves)
		o.up.record = erased
		o.runOnce(t)
		if s := o.status(t, id); s.Outcome() != schemas.Denied || len(o.up.runs()) != 0 || !strings.Contains(s.Err.Message, "the record is erased") {
			t.Errorf("%s after an approval: %s, and it ran %d times", action, brief(s), len(o.up.runs()))
		}
	}
}
