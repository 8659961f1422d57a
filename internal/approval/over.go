package approval

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Over is a budget that the call exceeds. The approval adds Refill to it.
type Over struct {
	Budget string
	Refill int64
	// Changes is how many changes the budget counted in the Period in which it fills up; 0 if other
	// callers share it. Unreadable is true if the ledger could not be read.
	Changes    int
	Period     time.Duration
	Unreadable bool
	// First are the first of these changes, the oldest first.
	First []EarlierChange
}

// EarlierChange is a change that ran before.
type EarlierChange struct {
	ledger.Change
	// Payload is nil if it cannot be read any more.
	Payload *schemas.Payload
	// Named holds the fields by which a person knows the record now; nil if it was not read. Hidden are
	// the fields that the requester must not see.
	Named  json.RawMessage
	Hidden map[string]bool
}

// addOver tells how many changes there were and what approving allows, before all other warnings, and
// the first changes.
func (c *Card) addOver(all []Over, h *History) {
	for _, o := range all {
		warning := "the budget " + o.Budget + " is used up"
		if o.Changes > 0 {
			warning = fmt.Sprintf("%s in %s", plural(o.Changes, "such change"), inWords(o.Period))
		}
		c.Warnings = append([]string{fmt.Sprintf("%s; approving allows %d more", warning, o.Refill)}, c.Warnings...)
		if o.Unreadable {
			c.Facts = append(c.Facts, Line{Name: "so far", Value: isUnreadable})
		}
		for i := range o.First {
			c.Facts = append(c.Facts, Line{Name: "so far", Value: o.First[i].describe(h)})
		}
	}
}

// describe describes the change with old and new values, such as
//
//	3 minutes ago: update_contact "Hannah Blythe", defaultLanguage "en" → "cy"
func (e *EarlierChange) describe(h *History) string {
	text := Ago(e.Prepared, h.Now) + ": " + e.Action
	if e.Payload == nil {
		return text + ", and what it changed " + isUnreadable
	}
	if name := nameOf(e.Named, e.Hidden); name != "" {
		text += " " + name
	}
	reader := Changes{Hidden: e.Hidden}
	values, separator := reader.changed(&e.Change, e.Payload), ", "
	in, _ := e.Payload.Args["input"].(map[string]any)
	for _, v := range values[:min(maxOldValues, len(values))] {
		now, err := json.Marshal(in[v.name])
		switch {
		case in[v.name] == nil && v.old == "" || err != nil:
			continue
		case v.old == "":
			text += separator + v.name + " " + quoteOld(now)
		default:
			text += separator + v.name + " " + v.old + " → " + quoteOld(now)
		}
		separator = "; "
	}
	if rest := len(values) - maxOldValues; rest > 0 {
		text += separator + plural(rest, "more field")
	}
	return text
}

// nameOf returns the first text by which a person recognises a record; empty if all are hidden.
func nameOf(named json.RawMessage, hidden map[string]bool) (name string) {
	eachValue(named, func(field string, v any) {
		if s, ok := v.(string); ok && name == "" && strings.TrimSpace(s) != "" && !hidden[field] {
			name, _ = schemas.Quote(s, maxFactName)
		}
	})
	return name
}

// inWords returns a period in words, such as `10 minutes`.
func inWords(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= 2*time.Hour:
		return plural(int(d.Round(time.Hour)/time.Hour), "hour")
	case d >= 2*time.Minute:
		return plural(int(d.Round(time.Minute)/time.Minute), "minute")
	}
	return plural(int(d/time.Second), "second")
}
