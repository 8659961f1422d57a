package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Card is what a person reads before they approve or decline. All its values are escaped.
type Card struct {
	Action string        `json:"action"`
	Class  schemas.Class `json:"class"`
	// Deed is the whole call with all its values, in two lines of 80 columns; nil if it does not fit
	// them.
	Deed []string `json:"deed,omitempty"`
	// Cut is true if the card cuts a value or leaves one out.
	Cut bool `json:"cut,omitempty"`
	// Needs is confirm, or approve if another person than the requester must answer.
	Needs string `json:"needs"`
	// Sentence says what will happen, Effect who will notice, Undo whether it can be undone.
	Sentence string `json:"sentence"`
	Effect   string `json:"effect"`
	Undo     string `json:"undo,omitempty"`
	// PreviousRun describes an earlier run of the same call; empty without one.
	PreviousRun string `json:"previousRun,omitempty"`
	// Recipients summarises the people whom the call reaches, To lists the first of them. Both are
	// empty if it reaches nobody.
	Recipients string   `json:"recipients,omitempty"`
	To         []string `json:"to,omitempty"`
	// RecipientCount is the most people that the call reaches. StateNumber is the number that an
	// approval must state; 0 if it need not.
	RecipientCount int `json:"recipientCount,omitempty"`
	StateNumber    int `json:"stateNumber,omitempty"`
	// About identifies the record that the call changes, in a person's terms; empty without one.
	About []Line `json:"about,omitempty"`
	// Record identifies what the card shows of that record, but what changes by itself; empty without
	// one. The approval is bound to it, see [Card.ShowsRecord].
	Record string `json:"record,omitempty"`
	// Replaces are the current values that the call overwrites.
	Replaces []Change `json:"replaces,omitempty"`
	// Lines are the payload, flattened.
	Lines []Line `json:"lines"`
	// Budgets says what the call takes from each budget and what remains.
	Budgets []string `json:"budgets,omitempty"`
	// Why is the policy's line that requires the approval, Rules are the rules that matched.
	Why   string   `json:"why"`
	Rules []string `json:"rules,omitempty"`
	// Requester is who asks. Client is what their program calls itself: its own claim.
	Requester string `json:"requester"`
	Client    string `json:"client,omitempty"`
	// Simulated is true in the sandbox: nothing real happens.
	Simulated bool `json:"simulated,omitempty"`
	// Reason is the model's reason; empty without one.
	Reason  string    `json:"reason,omitempty"`
	Expires time.Time `json:"expires"`
}

// Change is one value that the call overwrites. New is empty if the call does not name the new
// value.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new,omitempty"`
}

// Line is one value of the payload.
type Line struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Full is more of a text that Value cuts, for a display with room.
	Full string `json:"full,omitempty"`
}

const (
	maxLines = 40
	maxValue = 150  // characters
	maxFull  = 8000 // characters
	maxName  = 40
	maxTo    = 25 // recipients, each on a line of its own
	maxItems = 5  // of a list
	maxRules = 8
)

// Call is what a card is built from.
type Call struct {
	Payload *schemas.Payload
	// Needs, Why and Rules are the policy's decision.
	Needs, Why string
	Rules      []string
	Requester  ledger.Actor
	Client     string
	Simulated  bool
	Expires    time.Time
	// Recipients are the people whom the call reaches, as far as the requester may see them; nil if
	// it reaches nobody.
	Recipients *recipients.Set
	// Related are lines about other contacts, and about what an update drops.
	Related []string
	// Record is the record that the call is about; nil if it is about none.
	Record *Record
	// Budgets are the lines about budgets.
	Budgets []string
}

// NewCard builds the card of a call.
func NewCard(in Call) Card {
	a, p := in.Payload.Action, in.Payload
	c := Card{Action: a.Name, Class: a.Class, Needs: in.Needs, Effect: a.Effect, Undo: a.Reversal(), Why: in.Why,
		Rules: in.Rules[:min(maxRules, len(in.Rules))], Requester: in.Requester.String(), Client: schemas.Escape(in.Client, 80), Simulated: in.Simulated,
		Reason: schemas.Escape(p.Reason, schemas.MaxReason), Expires: in.Expires, Budgets: in.Budgets}
	c.Record = in.Record.digest(p)
	name := c.addRecord(in.Record, p)
	for _, line := range in.Related[:min(maxLines, len(in.Related))] {
		c.About = append(c.About, Line{Name: "note", Value: line})
	}
	c.Cut = c.Cut || len(in.Related) > maxLines
	if set := in.Recipients; set != nil {
		c.Recipients, c.To, c.Cut = set.Summary(), set.Lines(maxTo), c.Cut || set.CutsLines(maxTo)
		if name = c.Recipients; len(c.To) == 1 && len(set.List) == 1 {
			name = c.To[0]
		}
		if set.IsMail() {
			name = strings.Join(set.Lines(len(set.List)), ", ") // all of them may be answered
		}
		// The API does not say how it applies a limit to named contacts, so all of them may be
		// rung.
		c.RecipientCount = max(set.Count, len(set.List))
		if MustStateNumber(c.RecipientCount) {
			c.StateNumber = c.RecipientCount
		}
	}
	c.Sentence = fillSentence(a.Ask, p.Args, func(_ string, v any) string {
		if first := name; first != "" { // the lines have the value
			name = ""
			return first
		}
		if list, ok := v.([]any); ok {
			return fmt.Sprintf("%d of them", len(list))
		}
		return c.formatValue(v)
	})
	if a.Class == schemas.Read {
		c.Sentence, c.Effect, c.Undo = a.Title+".", "It reads only and changes nothing.", ""
	}
	values := flatten(p.Args, a.Class == schemas.Read)
	c.addLines(values)
	c.addDeed(in, values)
	return c
}

// addRecord adds the record that the call is about and what the call overwrites. It returns the
// record's name for the sentence; empty if only its id is known.
func (c *Card) addRecord(r *Record, p *schemas.Payload) (name string) {
	switch {
	case r == nil:
		return ""
	case r.Unreadable:
		c.About = []Line{{Name: "record", Value: "could not be read"}}
		return ""
	case r.Named == nil:
		c.About = []Line{{Name: "record", Value: "was not found"}}
		return ""
	}
	eachValue(r.Named, func(field string, v any) {
		if v == nil || v == "" || r.Hidden[field] {
			return
		}
		if c.About = append(c.About, Line{Name: field, Value: c.formatValue(v)}); name == "" {
			name = c.formatValue(v)
		}
	})
	in, _ := p.Args["input"].(map[string]any)
	eachValue(r.Replaced, func(field string, old any) {
		if len(c.Replaces) == maxLines {
			c.Cut = true
			return
		}
		change := Change{Name: c.formatText(field, maxName), Old: c.orEmpty(old)}
		if r.Hidden[field] {
			change.Old = "(hidden from the requester)"
		}
		if v, given := in[field]; given {
			change.New = c.orEmpty(v)
		}
		c.Replaces = append(c.Replaces, change)
	})
	return name
}

// value is one value of the payload with its path.
type value struct {
	path []string
	v    any
}

// flatten returns the payload's values level by level: the action's own names come before what a
// caller can add inside a map, so that the latter cannot crowd out the former.
func flatten(args map[string]any, read bool) (out []value) {
	level, keys := []value{}, []string{"identity", "input"}
	if read {
		keys = append(keys, "filter", "fields", "sort", "page") // what a read is about
	}
	for _, key := range keys {
		if v, ok := args[key]; ok {
			level = append(level, value{[]string{key}, v})
		}
	}
	for len(level) > 0 {
		var deeper []value
		for _, e := range level {
			m, ok := e.v.(map[string]any)
			if !ok || len(m) == 0 {
				out = append(out, e)
				continue
			}
			for _, k := range schemas.SortedKeys(m) {
				deeper = append(deeper, value{append(slices.Clip(e.path), k), m[k]})
			}
		}
		level = deeper
	}
	return out
}

// formatPath returns the name of a value: the keys of its path with dots between them.
func (c *Card) formatPath(path []string) string {
	parts := make([]string, len(path))
	for i, key := range path {
		parts[i] = c.formatText(key, maxName)
	}
	return strings.Join(parts, ".")
}

func (c *Card) addLines(values []value) {
	for _, e := range values[:min(maxLines, len(values))] {
		l := Line{Name: c.formatPath(e.path), Value: c.formatValue(e.v)}
		if s, ok := e.v.(string); ok && utf8.RuneCountInString(s) > maxValue {
			l.Full = c.formatText(s, maxFull)
		}
		c.Lines = append(c.Lines, l)
	}
	if hidden := len(values) - maxLines; hidden > 0 {
		c.Cut = true
		c.Lines = append(c.Lines, Line{Name: "…", Value: fmt.Sprintf("%d more values that do not fit on this card", hidden)})
	}
}
