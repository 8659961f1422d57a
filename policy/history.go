package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxHistory     = 3   // lines
	maxHistoryRead = 200 // changes
)

// history is what a card tells from the ledger about the record and the recipients of a call: what
// the caller itself changed of them, and whether they were rung before. A caller could rename a
// contact so that a person approves something else than they believe.
type history struct {
	// warnings are about what people recognise a record or recipient by, and about calls. facts are
	// other changes.
	warnings []string
	facts    []approval.Line
	// own is true if the caller made or renamed the record, or a recipient.
	own  bool
	told []string // the intents of which the card tells elsewhere
}

// readHistory reads the history for a card that tells of earlier calls as well. The record has been
// read. What the ledger cannot read has a line that says so.
func (at *attempt) readHistory(ctx context.Context, earlier approval.Earlier) *history {
	h := new(history)
	for _, in := range []*ledger.Intent{earlier.Run, earlier.Unknown, earlier.ApprovedRun} {
		if in != nil {
			h.told = append(h.told, in.ID)
		}
	}
	at.addRecordHistory(ctx, h)
	at.addRecipientHistory(ctx, h)
	at.addRung(ctx, h)
	return h
}

// addRecordHistory tells what the caller changed of the record that the call is about.
func (at *attempt) addRecordHistory(ctx context.Context, h *history) {
	about := at.Payload.AboutRead()
	if about == nil {
		return
	}
	person := at.Payload.AboutPerson()
	f := ledger.ChangeFilter{Actions: at.Payload.Changers()}
	if person != "" {
		f = ledger.ChangeFilter{Subjects: append(at.recordSubjects(), person)}
	}
	changes, ok := at.findChanges(ctx, h, f)
	if !ok {
		return
	}
	resource, known := about.Action.Resource, []string{}
	for _, name := range resource.CardFields() {
		if !resource.Changes(name) {
			known = append(known, name)
		}
	}
	reader := changeReader{attempt: at, fields: known, hidden: at.Gate.Hidden(at.Caller, about.Action)}
	var renames, others []pastChange
	for _, c := range changes {
		earlier, fault := schemas.ParsePayload(c.Action, c.Payload)
		if person != "" && c.Subject != person && !isLostCreate(&c) || person == "" && (fault != nil || !at.Payload.IsAbout(earlier, c.Result)) {
			continue // of another record
		}
		switch line, ok := reader.describe(&c, earlier); {
		case ok && line.known:
			renames = append(renames, line)
		case ok:
			others = append(others, line)
		}
	}
	h.add(renames, others, moreChanges)
}

// addRecipientHistory tells which contacts of the recipients the caller made, or gave a name, number
// or address.
func (at *attempt) addRecipientHistory(ctx context.Context, h *history) {
	if at.recipients == nil {
		return
	}
	var f ledger.ChangeFilter
	who, hidden := map[string]string{}, at.hiddenContactFields()
	visible, fields := at.visibleRecipients().List, []string{"fullName", "phoneE164"}
	if at.recipients.IsMail() {
		fields[1] = "email"
	}
	for i, r := range at.recipients.List {
		add := func(kind schemas.SubjectKind, id string) {
			if subject := string(kind) + ":" + id; id != "" {
				f.Subjects, who[subject] = append(f.Subjects, subject), visible[i].ShortName()+": "
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
		return
	}
	changes, ok := at.findChanges(ctx, h, f)
	if !ok {
		return
	}
	renames, order := map[string][]pastChange{}, []string{} // by recipient
	reader := changeReader{attempt: at, fields: fields, hidden: hidden}
	for _, c := range changes {
		if !strings.HasPrefix(c.Subject, string(schemas.ContactSubject)+":") && !isLostCreate(&c) {
			continue
		}
		earlier, _ := schemas.ParsePayload(c.Action, c.Payload)
		line, ok := reader.describe(&c, earlier)
		if !ok || !line.known {
			continue
		}
		name := who[c.Subject]
		if len(visible) == 1 {
			name = ""
		}
		if renames[name] == nil {
			order = append(order, name)
		}
		line.text = name + "contact " + line.text
		renames[name] = append(renames[name], line)
	}
	if len(visible) == 1 {
		h.add(renames[""], nil, moreChanges)
		return
	}
	var lines []pastChange
	for _, name := range order {
		line := renames[name][0]
		if rest := renames[name][1:]; len(rest) > 0 {
			line.text += "; " + moreChanges(rest)
		}
		lines = append(lines, line)
	}
	h.add(lines, nil, func(rest []pastChange) string {
		return fmt.Sprintf("and %s that %s made or changed in the last day", plural(len(rest), "more contact"), byCaller(at.Actor, at.Actor))
	})
}

// addRung tells which recipients were rung before, by anybody in the organisation.
func (at *attempt) addRung(ctx context.Context, h *history) {
	if at.recipients == nil || at.txn.EffectKind != schemas.Ringing {
		return
	}
	latest, err := at.Ledger.FindLatest(ctx, at.txn, at.Now().Add(-recentSince))
	if err != nil {
		h.facts = append(h.facts, approval.Line{Name: "rung before", Value: "could not be read"})
		return
	}
	ago := func(in ledger.Intent) string {
		s := approval.Ago(in.Prepared, at.Now())
		if in.State != ledger.Succeeded {
			return "perhaps " + s
		}
		return s
	}
	if in, ok := latest["group:"+at.recipients.Group]; ok && !slices.Contains(h.told, in.ID) {
		h.warnings = append(h.warnings, "this group was rung "+ago(in))
	}
	type rung struct {
		who string
		ledger.Intent
	}
	var all []rung
	visible := at.visibleRecipients().List
	for i, r := range at.recipients.List {
		last := latest[string(schemas.PhoneSubject)+":"+r.Number]
		if in := latest[string(schemas.ContactSubject)+":"+r.Contact]; in.Prepared.After(last.Prepared) {
			last = in
		}
		if last.ID != "" && !slices.Contains(h.told, last.ID) {
			all = append(all, rung{visible[i].ShortName(), last})
		}
	}
	if len(all) == 0 {
		return
	}
	if len(visible) == 1 {
		h.warnings = append(h.warnings, "rung "+ago(all[0].Intent))
		return
	}
	slices.SortStableFunc(all, func(a, b rung) int { return b.Prepared.Compare(a.Prepared) })
	var list []string
	for _, r := range all[:min(maxHistory, len(all))] {
		list = append(list, r.who+" "+ago(r.Intent))
	}
	verb := "were"
	if len(all) == 1 {
		verb = "was"
	}
	text := fmt.Sprintf("%d of the %d %s rung in the last day: %s", len(all), len(visible), verb, strings.Join(list, ", "))
	if rest := len(all) - len(list); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	h.warnings = append(h.warnings, text)
}

// findChanges reads what the caller changed, the latest first. It returns false, with a line on the
// card, if the ledger cannot be read.
func (at *attempt) findChanges(ctx context.Context, h *history, f ledger.ChangeFilter) ([]ledger.Change, bool) {
	f.Organisation, f.Caller, f.Since, f.Limit = at.txn.Organisation, at.Actor.Name, at.Now().Add(-recentSince), maxHistoryRead
	changes, more, err := at.Ledger.FindChanges(ctx, f)
	if err != nil {
		h.facts = append(h.facts, approval.Line{Name: "recent changes", Value: "could not be read"})
		return nil, false
	}
	if more > 0 {
		h.own = true // for all that is known
		h.warnings = append(h.warnings, fmt.Sprintf("%s made %d changes in the last day, and what was before the last %d is not shown", byCaller(at.Actor, at.Actor), len(changes)+more, len(changes)))
	}
	return slices.DeleteFunc(changes, func(c ledger.Change) bool {
		return c.Class != schemas.Write && slices.Contains(h.told, c.ID) // a write has old values to tell
	}), true
}

// add adds lines about changes, the latest first: one warning for all renames, which also says what
// more says of the others, and facts. A warning must be short, or no dialogue has room for the card.
func (h *history) add(renames, others []pastChange, more func([]pastChange) string) {
	lines := others
	if len(renames) > 0 {
		text, rest := renames[0].text, renames[1:]
		if len(rest) > 0 {
			text += "; " + more(rest)
		}
		h.own, h.warnings = true, append(h.warnings, text)
		lines = slices.Concat(renames, others)[1:]
	}
	room := maxHistory - min(1, len(renames))
	for _, c := range lines[:min(room, len(lines))] {
		h.facts = append(h.facts, approval.Line{Name: "recent change", Value: c.text})
	}
	if rest := len(lines) - room; rest > 0 {
		h.facts = append(h.facts, approval.Line{Name: "recent change", Value: "and " + plural(rest, "more change")})
	}
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
