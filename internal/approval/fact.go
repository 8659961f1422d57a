package approval

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Reference is a record to which the call refers, such as the agent that speaks, as it was read for
// the card.
type Reference struct {
	Lookup schemas.Lookup
	// Data is Sippet's answer; nil if it could not be read.
	Data json.RawMessage
	// Hidden are the fields that the requester must not see.
	Hidden map[string]bool
}

// Owners are the contacts that have the numbers which the call names.
type Owners struct {
	// Numbers are those that were looked up, More is how many were not.
	Numbers []string
	More    int
	// By has the contacts of each number; nil if they could not be read.
	By map[string][]recipients.Owner
	// Hidden is true if the requester must not see the numbers of contacts. HideNames is true if they
	// must not see the names.
	Hidden, HideNames bool
}

// Similar are the other texts that are sent, in which may be what the call takes out of one.
type Similar struct {
	Removed *Removed
	// What names the records, such as `email templates`.
	What string
	// Records are those that were read. Whole is false if there may be more.
	Records []schemas.SentRecord
	Whole   bool
	// Unreadable is true if they could not be read.
	Unreadable bool
}

// Kept counts the records of one kind that stay at Sippet after an erasure.
type Kept struct {
	Resource *schemas.Resource
	Count    int
	// More is true if there are more than Count. Unknown is true if they could not be counted.
	More, Unknown bool
}

const (
	maxFactName  = 60 // characters
	maxFactKeys  = 5  // of a map
	maxOwners    = 5  // of one number
	isUnreadable = "could not be read"
)

// addFacts adds what a person must know in addition to the payload and the record.
func (c *Card) addFacts(in Call) {
	add := func(name, value string) { c.Facts = append(c.Facts, Line{Name: name, Value: value}) }
	for _, r := range in.References {
		what := r.Lookup.Read.Action.Resource.One
		value, warning := r.describe()
		if add(what, value); warning != "" {
			c.Warnings = append(c.Warnings, "the "+what+" "+warning)
		}
	}
	for _, line := range in.Owners.lines() {
		add("number", line)
	}
	if line := in.Similar.line(); line != "" {
		add("also in", line)
	}
	if in.Payload.Erases() != nil {
		add("goes", erasedFields(in.Record, in.Payload.Action.Resource))
		add("stays at Sippet", keptRecords(in.Record, in.Kept))
		add("stays here", "when it was erased and who did it, in the audit log, without name and number")
	}
}

// describe describes a record, such as `"Finn", published`. warning says what is odd about it, such as
// `is not published`; empty if nothing is.
func (r Reference) describe() (text, warning string) {
	if r.Data == nil {
		return isUnreadable, ""
	}
	named, ok := r.Lookup.Named(r.Data)
	switch {
	case !ok:
		return isUnreadable, ""
	case named == nil:
		return "no " + r.Lookup.Read.Action.Resource.One + " has this id", ""
	}
	name, is := "", ""
	eachValue(named, func(field string, v any) {
		switch v := v.(type) {
		case string:
			switch {
			case name != "" || strings.TrimSpace(v) == "": // the first one is the most telling
			case r.Hidden[field]:
				name = "hidden from the requester"
			default:
				name, _ = schemas.Quote(v, maxFactName)
			}
		case bool:
			switch {
			case r.Hidden[field]:
			case v:
				is += ", " + field
			default:
				is += ", not " + field
				warning = "is not " + field
			}
		}
	})
	if name == "" {
		name = "has no name"
	}
	return name + is, warning
}

// lines says which contacts have the numbers.
func (o *Owners) lines() (out []string) {
	switch {
	case o == nil:
		return nil
	case o.Hidden:
		return []string{"the contacts with this number are hidden from the requester"}
	case o.By == nil:
		return []string{"whether a contact has it " + isUnreadable}
	}
	for _, number := range o.Numbers {
		out = append(out, ownersLine(number, o.By[number], o.HideNames))
	}
	if o.More > 0 {
		out = append(out, fmt.Sprintf("%d more, not looked up in your contacts", o.More))
	}
	return out
}

// ownersLine says who has a number, such as `+44 7700 900107 "Hannah Blythe"` or
// `+44 7700 900107 is not in your contacts`.
func ownersLine(number string, owners []recipients.Owner, hideNames bool) string {
	number = recipients.Recipient{Number: number}.ShortName()
	var names []string
	for _, o := range owners[:min(maxOwners, len(owners))] {
		name := shownName(o.Name)
		if hideNames || name == "" {
			name = "contact " + schemas.Escape(o.Contact, 40)
		}
		if o.Archived {
			name += " (archived)"
		}
		names = append(names, name)
	}
	switch rest := len(owners) - len(names); {
	case len(owners) == 0:
		return number + " is not in your contacts"
	case len(owners) == 1:
		return number + " " + names[0]
	case rest > 0:
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return fmt.Sprintf("%s: %d contacts have this number: %s", number, len(owners), strings.Join(names, ", "))
}

// shownName returns a contact's name in quotes; empty if it has none.
func shownName(name string) string {
	if strings.TrimSpace(name) == "" {
		return ""
	}
	quoted, _ := schemas.Quote(name, maxFactName)
	return quoted
}

// sharesLine says what another contact shares with the one that the call writes, such as `shares its
// number with "Ada" (contact 0e6f…)`.
func sharesLine(m recipients.Match, hideName bool) string {
	who := "contact " + m.Contact
	if name := shownName(m.Name); !hideName && name != "" {
		who = fmt.Sprintf("%s (contact %s)", name, m.Contact)
	}
	what := map[recipients.Shared]string{recipients.SharedNumber: "its number", recipients.SharedAddress: "its address",
		recipients.SharedBirthday: "its name and birthday", recipients.SharedName: "its new name"}[m.By]
	return "shares " + what + " with " + who
}

// droppedLine names the keys of metadata that an update drops, such as `drops 2 of the 3 keys of
// metadata: "notes", "vip"`, and those that the caller dropped before; empty if it drops none.
func droppedLine(r *recipients.Related) string {
	if r == nil || r.Current == nil || len(r.Current.Dropped)+len(r.Current.Lost) == 0 {
		return ""
	}
	c := r.Current
	line := "drops no key of metadata"
	if len(c.Dropped) > 0 {
		line = fmt.Sprintf("drops %d of the %s of metadata: %s", len(c.Dropped), plural(len(c.Keys), "key"), listNames(c.Dropped, maxDropped, " and "))
	}
	switch {
	case slices.Contains(c.Lost, ""):
		line += "; what this assistant dropped before is not known"
	case len(c.Lost) > 0:
		line += fmt.Sprintf("; this assistant dropped %d more in the last day: %s", len(c.Lost), listNames(c.Lost, maxDropped, " and "))
	}
	return line
}

// maxDropped is how many dropped keys a card names.
const maxDropped = 40

// line names the records that have what the call takes out; empty if none has.
func (s *Similar) line() string {
	switch {
	case s == nil:
		return ""
	case s.Unreadable:
		return "other " + s.What + " " + isUnreadable
	}
	return s.Removed.alsoIn(s.Records, s.Whole)
}

// erasedFields names the fields that an erasure empties, such as `name, number, metadata ("notes")`.
func erasedFields(record *Record, resource *schemas.Resource) string {
	switch {
	case record == nil || record.Unreadable:
		return isUnreadable
	case record.Erased == nil:
		return "nothing: the record was not found"
	}
	var parts []string
	hides := false
	eachValue(record.Erased, func(field string, v any) {
		if record.Hidden[field] { // even that it is empty
			hides = true
			return
		}
		label := resource.Field(field).Label
		switch v := v.(type) {
		case nil:
			return
		case string:
			if strings.TrimSpace(v) == "" {
				return
			}
		case []any:
			if len(v) == 0 {
				return
			}
		case map[string]any:
			if len(v) == 0 {
				return
			}
			label += " (" + listNames(schemas.SortedKeys(v), maxFactKeys, ", ") + ")"
		}
		if !slices.Contains(parts, label) {
			parts = append(parts, label)
		}
	})
	if hides {
		parts = append(parts, "what is hidden from the requester")
	}
	if parts == nil {
		return "nothing: it is empty already"
	}
	return strings.Join(parts, ", ")
}

// listNames lists the first names, and how many more there are.
func listNames(names []string, most int, last string) string {
	var out []string
	for _, name := range names[:min(most, len(names))] {
		quoted, _ := schemas.Quote(name, maxFactName)
		out = append(out, quoted)
	}
	text := strings.Join(out, ", ")
	if rest := len(names) - len(out); rest > 0 {
		text += last + fmt.Sprintf("%d more", rest)
	}
	return text
}

// keptRecords counts what Sippet keeps of an erased person, such as `3 calls (numbers, recordings,
// transcripts, summaries)`.
func keptRecords(record *Record, kept []Kept) string {
	by := "id"
	if record != nil && record.Erased != nil {
		by = "id or number"
	}
	var parts []string
	for _, k := range kept {
		count := fmt.Sprintf("%d %s", k.Count, k.Resource.Many)
		switch {
		case k.Unknown:
			parts = append(parts, k.Resource.Many+" that could not be counted")
			continue
		case k.Count == 0:
			continue
		case k.More:
			count = fmt.Sprintf("%d or more %s", k.Count, k.Resource.Many)
		case k.Count == 1:
			count = "1 " + k.Resource.One
		}
		parts = append(parts, count+" ("+k.Resource.Keeps+")")
	}
	if parts == nil {
		return "nothing that this API finds by its " + by
	}
	return strings.Join(parts, ", ") + "; this API cannot erase them"
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
