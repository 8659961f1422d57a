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

const maxHistoryRead = 200 // changes

// readHistory reads from the ledger what a card tells of the record and the recipients of the call. It
// leaves out the calls of which earlier tells. The record has been read.
func (at *attempt) readHistory(ctx context.Context, earlier approval.Earlier) approval.History {
	var told []string
	for _, in := range []*ledger.Intent{earlier.Run, earlier.Unknown, earlier.ApprovedRun} {
		if in != nil {
			told = append(told, in.ID)
		}
	}
	return approval.History{Caller: at.Actor, Now: at.Now(), Record: at.recordHistory(ctx, told),
		Recipients: at.recipientHistory(ctx, told), Rung: at.rung(ctx, told)}
}

// recordHistory reads what the caller changed of the record that the call is about.
func (at *attempt) recordHistory(ctx context.Context, told []string) *approval.Changes {
	about := at.Payload.AboutRead()
	if about == nil {
		return nil
	}
	person := at.Payload.AboutPerson()
	f := ledger.ChangeFilter{Actions: at.Payload.Changers()}
	if person != "" {
		f = ledger.ChangeFilter{Subjects: append(at.recordSubjects(), person)}
	}
	changes := at.findChanges(ctx, told, f)
	changes.Hidden = at.Gate.Hidden(at.Caller, about.Action)
	for _, name := range about.Action.Resource.CardFields() {
		if !about.Action.Resource.Changes(name) {
			changes.Fields = append(changes.Fields, name)
		}
	}
	changes.Found = slices.DeleteFunc(changes.Found, func(c ledger.Change) bool { // those of another record
		if person != "" {
			return c.Subject != person && !isLostCreate(&c)
		}
		earlier, fault := schemas.ParsePayload(c.Action, c.Payload)
		return fault != nil || !at.Payload.IsAbout(earlier, c.Result)
	})
	return changes
}

// recipientHistory reads what the caller changed of the contacts of the recipients.
func (at *attempt) recipientHistory(ctx context.Context, told []string) *approval.Changes {
	if at.recipients == nil {
		return nil
	}
	var f ledger.ChangeFilter
	visible := at.visibleRecipients().List
	who := map[string]recipients.Recipient{}
	for i, r := range at.recipients.List {
		add := func(kind schemas.SubjectKind, id string) {
			if subject := string(kind) + ":" + id; id != "" {
				f.Subjects, who[subject] = append(f.Subjects, subject), visible[i]
			}
		}
		if r.Contact == "" && at.owners[r.Number] == nil {
			continue
		}
		for _, o := range at.owners[r.Number] { // the card names them
			add(schemas.ContactSubject, o.Contact)
		}
		add(schemas.ContactSubject, r.Contact)
		add(schemas.PhoneSubject, r.Number)
		add(schemas.EmailSubject, r.Address)
	}
	if f.Subjects == nil {
		return nil
	}
	changes := at.findChanges(ctx, told, f)
	changes.Fields, changes.Hidden = []string{"fullName", "phoneE164"}, at.hiddenContactFields()
	changes.Who, changes.Of = who, len(visible)
	if at.recipients.IsMail() {
		changes.Fields[1] = "email"
	}
	changes.Found = slices.DeleteFunc(changes.Found, func(c ledger.Change) bool {
		return !strings.HasPrefix(c.Subject, string(schemas.ContactSubject)+":") && !isLostCreate(&c)
	})
	return changes
}

// rung reads which recipients were rung before, by anybody in the organisation.
func (at *attempt) rung(ctx context.Context, told []string) *approval.Rung {
	if at.recipients == nil || at.txn.EffectKind != schemas.Ringing {
		return nil
	}
	latest, err := at.Ledger.FindLatest(ctx, at.txn, at.Now().Add(-recentSince))
	if err != nil {
		return &approval.Rung{Unreadable: true}
	}
	visible := at.visibleRecipients().List
	r := &approval.Rung{Of: len(visible)}
	if in, ok := latest["group:"+at.recipients.Group]; ok && !slices.Contains(told, in.ID) {
		r.Group = &in
	}
	for i, person := range at.recipients.List {
		last := latest[string(schemas.PhoneSubject)+":"+person.Number]
		if in := latest[string(schemas.ContactSubject)+":"+person.Contact]; in.Prepared.After(last.Prepared) {
			last = in
		}
		if last.ID != "" && !slices.Contains(told, last.ID) {
			r.People = append(r.People, approval.RungPerson{Recipient: visible[i], Intent: last})
		}
	}
	return r
}

// findChanges reads what the caller changed, the latest first.
func (at *attempt) findChanges(ctx context.Context, told []string, f ledger.ChangeFilter) *approval.Changes {
	f.Organisation, f.Caller, f.Since, f.Limit = at.txn.Organisation, at.Actor.Name, at.Now().Add(-recentSince), maxHistoryRead
	changes, more, err := at.Ledger.FindChanges(ctx, f)
	if err != nil {
		return &approval.Changes{Unreadable: true}
	}
	return &approval.Changes{Read: len(changes), More: more, Found: slices.DeleteFunc(changes, func(c ledger.Change) bool {
		return c.Class != schemas.Write && slices.Contains(told, c.ID) // a write has old values to tell
	})}
}

// recordSubjects returns the number and address of the contact that the call is about: a create with
// an unknown outcome is found by them.
func (at *attempt) recordSubjects() (out []string) {
	var named struct{ PhoneE164, Email string }
	if at.record == nil || json.Unmarshal(at.record.Named, &named) != nil {
		return nil
	}
	if named.PhoneE164 != "" && !at.record.Hidden["phoneE164"] {
		out = append(out, string(schemas.PhoneSubject)+":"+named.PhoneE164)
	}
	if named.Email != "" && !at.record.Hidden["email"] {
		out = append(out, string(schemas.EmailSubject)+":"+strings.ToLower(named.Email))
	}
	return out
}

// isLostCreate reports whether the change may have created a record, with an unknown id.
func isLostCreate(c *ledger.Change) bool {
	a, fault := schemas.Find(c.Action)
	return c.State != ledger.Succeeded && fault == nil && a.Creates()
}
