package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
)

// History is what the ledger has about the record and the recipients of a call: what the caller itself
// changed of them in the last day, and whether they were rung. A caller could rename a contact so that
// a person approves something else than they believe.
type History struct {
	Caller ledger.Actor
	Now    time.Time
	// Record has the changes of the record, Recipients those of the recipients' contacts; nil if the
	// call is about none.
	Record, Recipients *Changes
	// Rung is nil if the call rings nobody.
	Rung *Rung
}

// Changes are what the caller changed of records of one kind, the latest first.
type Changes struct {
	Found []ledger.Change
	// Read is how many changes were read to find them, More how many older ones were not.
	Read, More int
	// Unreadable is true if the ledger could not be read.
	Unreadable bool
	// Fields are those by which people recognise the record, the name first.
	Fields []string
	// Hidden are the fields that the requester must not see.
	Hidden map[string]bool
	// Who has the recipient of each subject, as far as the requester may see them, and Of is how many
	// recipients there are; nil and 0 for a record.
	Who map[string]recipients.Recipient
	Of  int
}

// Rung is who was rung in the last day.
type Rung struct {
	// Group is when the group that the call rings was rung as a group; nil if it was not.
	Group *ledger.Intent
	// People are the recipients who were rung. Of is how many recipients there are.
	People []RungPerson
	Of     int
	// Unreadable is true if the ledger could not be read.
	Unreadable bool
}

// RungPerson is a recipient, as far as the requester may see them, with the latest call that rang them.
type RungPerson struct {
	Recipient recipients.Recipient
	ledger.Intent
}

const maxHistory = 3 // lines

// addHistory adds what the ledger tells. Warnings are about what people recognise a record or recipient
// by, and about calls; other changes are facts.
func (c *Card) addHistory(h *History) {
	before := c.Warnings
	c.Warnings = nil
	if r := h.Record; r != nil && c.startHistory(r, h) {
		var renames, others []pastChange
		for _, change := range r.Found {
			switch line, ok := r.describe(&change, h); {
			case ok && line.known:
				renames = append(renames, line)
			case ok:
				others = append(others, line)
			}
		}
		c.addChanges(renames, others, moreChanges)
	}
	if r := h.Recipients; r != nil && c.startHistory(r, h) {
		c.addRecipientChanges(r, h)
	}
	c.addRung(h)
	c.Warnings = append(c.Warnings, before...)
}

// startHistory says what could not be read of the changes; false if that is all of them.
func (c *Card) startHistory(r *Changes, h *History) bool {
	if r.Unreadable {
		c.Facts = append(c.Facts, Line{Name: "recent changes", Value: isUnreadable})
		return false
	}
	if r.More > 0 {
		c.Own = true // for all that is known
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s made %d changes in the last day, and what was before the last %d is not shown",
			byCaller(h.Caller, h.Caller), r.Read+r.More, r.Read))
	}
	return true
}

// addRecipientChanges tells which contacts of the recipients the caller made, or gave a name, number
// or address.
func (c *Card) addRecipientChanges(r *Changes, h *History) {
	renames, order := map[string][]pastChange{}, []string{} // by recipient
	for _, change := range r.Found {
		line, ok := r.describe(&change, h)
		if !ok || !line.known {
			continue
		}
		name := ""
		if r.Of > 1 {
			name = r.Who[change.Subject].ShortName() + ": "
		}
		if renames[name] == nil {
			order = append(order, name)
		}
		line.text = name + "contact " + line.text
		renames[name] = append(renames[name], line)
	}
	if r.Of == 1 {
		c.addChanges(renames[""], nil, moreChanges)
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
	c.addChanges(lines, nil, func(rest []pastChange) string {
		return fmt.Sprintf("and %s that %s made or changed in the last day", plural(len(rest), "more contact"), byCaller(h.Caller, h.Caller))
	})
}

// addChanges adds lines about changes, the latest first: one warning for all renames, which also says
// what more says of the others, and facts. A warning must be short, or no dialogue has room for the
// card.
func (c *Card) addChanges(renames, others []pastChange, more func([]pastChange) string) {
	lines := others
	if len(renames) > 0 {
		text, rest := renames[0].text, renames[1:]
		if len(rest) > 0 {
			text += "; " + more(rest)
		}
		c.Own, c.Warnings = true, append(c.Warnings, text)
		lines = slices.Concat(renames, others)[1:]
	}
	room := maxHistory - min(1, len(renames))
	for _, change := range lines[:min(room, len(lines))] {
		c.Facts = append(c.Facts, Line{Name: "recent change", Value: change.text})
	}
	if rest := len(lines) - room; rest > 0 {
		c.Facts = append(c.Facts, Line{Name: "recent change", Value: "and " + plural(rest, "more change")})
	}
}

// addRung tells which recipients were rung before, by anybody in the organisation.
func (c *Card) addRung(h *History) {
	r := h.Rung
	switch {
	case r == nil:
		return
	case r.Unreadable:
		c.Facts = append(c.Facts, Line{Name: "rung before", Value: isUnreadable})
		return
	}
	ago := func(in ledger.Intent) string {
		s := Ago(in.Prepared, h.Now)
		if in.State != ledger.Succeeded {
			return "perhaps " + s
		}
		return s
	}
	if r.Group != nil {
		c.Warnings = append(c.Warnings, "this group was rung "+ago(*r.Group))
	}
	switch {
	case len(r.People) == 0:
		return
	case r.Of == 1:
		c.Warnings = append(c.Warnings, "rung "+ago(r.People[0].Intent))
		return
	}
	all := slices.Clone(r.People)
	slices.SortStableFunc(all, func(a, b RungPerson) int { return b.Prepared.Compare(a.Prepared) })
	var list []string
	for _, p := range all[:min(maxHistory, len(all))] {
		list = append(list, p.Recipient.ShortName()+" "+ago(p.Intent))
	}
	verb := "were"
	if len(all) == 1 {
		verb = "was"
	}
	text := fmt.Sprintf("%d of the %d %s rung in the last day: %s", len(all), r.Of, verb, strings.Join(list, ", "))
	if rest := len(all) - len(list); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	c.Warnings = append(c.Warnings, text)
}
