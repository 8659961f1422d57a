package policy_test

import (
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
