package policy

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// What a caller changed of a contact in the last day counts when it changes the contact again, or writes
// to them: several small steps must not do what one large step needs a person for.
const (
	recentSince = 24 * time.Hour
	maxRecent   = 50 // changes that are read
)

// findRecent returns what the caller changed of the contacts in the last day, the latest first. all is
// false if there is more.
func (at *attempt) findRecent(ctx context.Context, subjects []string) (changes []ledger.Change, all bool, err error) {
	changes, more, err := at.Ledger.FindChanges(ctx, ledger.ChangeFilter{Organisation: at.txn.Organisation, Caller: at.Actor.Name,
		Since: at.Now().Add(-recentSince), Subjects: subjects, Limit: maxRecent})
	return changes, more == 0, err
}

// findEarlier finds the names and the keys of metadata that the contact had before the caller's own
// updates, as far as the call sets these.
func (at *attempt) findEarlier(ctx context.Context) error {
	in, _ := at.Payload.Args["input"].(map[string]any)
	c := at.related.Current
	_, metadata := in["metadata"]
	if c == nil || in["fullName"] == nil && !metadata {
		return nil
	}
	changes, all, err := at.findRecent(ctx, []string{at.Payload.AboutPerson()})
	if err != nil {
		return err
	}
	if in["fullName"] != nil {
		at.findEarlierNames(changes, all)
	}
	if metadata {
		at.findLostKeys(changes, all)
	}
	return nil
}

// findEarlierNames finds the earlier names. A rename that a person approved ends the search.
func (at *attempt) findEarlierNames(changes []ledger.Change, all bool) {
	c := at.related.Current
	for _, change := range changes {
		p, fault := schemas.ParsePayload(change.Action, change.Payload)
		if fault != nil {
			c.EarlierNames = append(c.EarlierNames, "") // it is not known what it changed
			continue
		}
		in, _ := p.Args["input"].(map[string]any)
		name, _ := in["fullName"].(string)
		if p.Action.Creates() || name == "" {
			continue
		}
		var before struct{ FullName string }
		if json.Unmarshal(change.Replaced, &before) != nil {
			before.FullName = "" // what it replaced could not be read
		}
		switch {
		case before.FullName == strings.TrimSpace(name):
			continue // the name stayed
		case before.FullName != "" && change.ApprovalID != "" && change.State == ledger.Succeeded:
			return
		}
		c.EarlierNames = append(c.EarlierNames, schemas.Cut(before.FullName, recipients.MaxName))
	}
	if !all {
		c.EarlierNames = append(c.EarlierNames, "")
	}
}

// findLostKeys finds the keys of metadata that are gone. An update of metadata that a person approved ends
// the search.
func (at *attempt) findLostKeys(changes []ledger.Change, all bool) {
	c := at.related.Current
	for _, change := range changes {
		p, fault := schemas.ParsePayload(change.Action, change.Payload)
		var before struct{ Metadata json.RawMessage }
		known := fault == nil && json.Unmarshal(change.Replaced, &before) == nil
		if fault == nil {
			in, _ := p.Args["input"].(map[string]any)
			if next, set := in["metadata"]; p.Action.Creates() || !set || known && schemas.SameJSON(before.Metadata, next) {
				continue
			}
		}
		if known && change.ApprovalID != "" && change.State == ledger.Succeeded {
			return
		}
		all = c.AddLost(at.Payload, before.Metadata) && known && all
	}
	if !all { // as if more were gone than is left
		c.Lost = append(c.Lost, make([]string, len(c.Keys)+1)...)
	}
}

// markRecent marks the addresses of an email that belong to a contact which the caller itself added, or
// gave the address. Else a stranger could first be made a contact.
func (at *attempt) markRecent(ctx context.Context) error {
	if !at.recipients.IsMail() {
		return nil
	}
	var subjects []string
	by := map[string][]*recipients.Recipient{}
	for i := range at.recipients.List {
		r := &at.recipients.List[i]
		if r.Contact == "" {
			continue
		}
		for _, subject := range []string{string(schemas.ContactSubject) + ":" + r.Contact, string(schemas.EmailSubject) + ":" + r.Address} {
			subjects, by[subject] = append(subjects, subject), append(by[subject], r)
		}
	}
	if subjects == nil {
		return nil
	}
	changes, all, err := at.findRecent(ctx, subjects)
	if err != nil {
		return err
	}
	for _, change := range changes {
		p, fault := schemas.ParsePayload(change.Action, change.Payload)
		if fault == nil && !p.Action.Creates() {
			if in, _ := p.Args["input"].(map[string]any); in["email"] == nil {
				continue
			}
		}
		for _, r := range by[change.Subject] {
			r.Recent = true
		}
	}
	for i := range at.recipients.List {
		r := &at.recipients.List[i]
		r.Recent = r.Recent || !all && r.Contact != ""
	}
	return nil
}
