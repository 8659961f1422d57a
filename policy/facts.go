package policy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const maxFactNumbers = 5

// readFacts reads what a person must know in addition to the payload and the record: the agent that
// speaks, the operator, who has a number, other texts with what is replaced, and what an erasure
// leaves. It is only for a card, which says what could not be read.
func (at *attempt) readFacts(ctx context.Context, card *approval.Call) {
	ctx, cancel := context.WithTimeout(ctx, recordDeadline) // for all of them
	defer cancel()
	lookups := at.Payload.References()
	if l := at.Payload.Operator(); l != nil {
		lookups = append(lookups, *l)
	}
	for _, l := range lookups {
		r := approval.Reference{Lookup: l, Hidden: at.Hidden(at.Caller, l.Read.Action)}
		if data, fault := at.readFact(ctx, l.Read); fault == nil {
			r.Data = data
		}
		card.References = append(card.References, r)
	}
	card.Owners = at.readOwners(ctx)
	card.Similar = at.readSimilar(ctx)
	card.Kept = at.readKept(ctx)
}

// readFact is prefetch for a fact.
func (at *attempt) readFact(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
	return at.prefetch(ctx, read, "facts of "+at.Payload.Action.Name)
}

// readOwners reads which contacts have the numbers that the call names, and seals the card for them;
// nil if it names none.
func (at *attempt) readOwners(ctx context.Context) *approval.Owners {
	o := new(approval.Owners)
	for _, subject := range at.Payload.Subjects() {
		if number, ok := strings.CutPrefix(subject, string(schemas.PhoneSubject)+":"); ok {
			o.Numbers = append(o.Numbers, number)
		}
	}
	if len(o.Numbers) == 0 {
		return nil
	}
	hidden := at.hiddenContactFields()
	if o.Hidden, o.HideNames = hidden["phoneE164"], hidden["fullName"]; o.Hidden {
		return o
	}
	read := o.Numbers[:min(maxFactNumbers, len(o.Numbers))]
	o.Numbers, o.More = read, len(o.Numbers)-len(read)
	owners, fault := recipients.FindOwners(ctx, o.Numbers, at.readFact)
	if fault != nil {
		return o
	}
	at.owners, o.By = owners, owners
	for _, number := range o.Numbers {
		for _, owner := range owners[number] {
			subject := string(schemas.ContactSubject) + ":" + owner.Contact
			at.txn.RecipientList = append(at.txn.RecipientList, ledger.Recipient{Subject: subject, Names: []string{owner.Name}})
			if !slices.Contains(at.txn.Subjects, subject) {
				at.txn.Subjects = append(at.txn.Subjects, subject)
			}
		}
	}
	return o
}

// readSimilar reads the other records that may have what the call takes out of a text that is sent,
// such as templates with the same number; nil if it takes out nothing.
func (at *attempt) readSimilar(ctx context.Context) *approval.Similar {
	read := at.Payload.SimilarRead()
	if read == nil || len(at.Hidden(at.Caller, read.Action)) > 0 {
		return nil
	}
	removed := approval.FindRemoved(at.Payload, at.readRecord(ctx))
	if removed == nil {
		return nil
	}
	data, fault := at.prefetch(ctx, read, "texts like that of "+at.Payload.Action.Name)
	records, whole, ok := at.Payload.Similar(data)
	return &approval.Similar{Removed: removed, What: strings.TrimPrefix(read.Action.Title, "List "), Records: records, Whole: whole,
		Unreadable: fault != nil || !ok}
}

// readKept counts what stays at Sippet of a person who is erased.
func (at *attempt) readKept(ctx context.Context) (out []approval.Kept) {
	if at.Payload.Erases() == nil {
		return nil
	}
	var erased json.RawMessage
	if record := at.readRecord(ctx); record != nil {
		erased = record.Erased
	}
	for _, read := range at.Payload.Kept(erased) {
		data, fault := at.readFact(ctx, read)
		n, more, ok := schemas.CountRows(data)
		out = append(out, approval.Kept{Resource: read.Action.Resource, Count: n, More: more, Unknown: fault != nil || !ok})
	}
	return out
}
