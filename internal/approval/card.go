package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Card is what a person reads before they approve or decline, as data. All texts in it are escaped.
// Three renderers show it: [Card.Short] in a client's dialogue, [Card.Long] on a terminal, and the
// template card.html on the inbox page. Nothing else writes a text of a card.
type Card struct {
	Action string        `json:"action"`
	Class  schemas.Class `json:"class"`
	// Title says what happens, and the person that it happens to: the verb, the number, the name.
	Title string `json:"title"`
	// Deed is the whole call with all its values and warnings, in two lines of 80 columns; nil if it
	// does not fit them.
	Deed []string `json:"deed,omitempty"`
	// Cut is true if the card cuts a value or leaves one out.
	Cut bool `json:"cut,omitempty"`
	// Needs is confirm, or approve if another person than the requester must answer.
	Needs string `json:"needs"`
	// Effect says who will notice, Undo whether it can be undone.
	Effect string `json:"effect"`
	Undo   string `json:"undo,omitempty"`
	// Earlier says what was done before that approving repeats; empty without such a run.
	Earlier string `json:"earlier,omitempty"`
	// Warnings are what is odd about the call, such as another contact with the same number.
	Warnings []string `json:"warnings,omitempty"`
	// Recipients summarises the people whom the call reaches, To lists the first of them. Both are
	// empty if it reaches nobody.
	Recipients string   `json:"recipients,omitempty"`
	To         []string `json:"to,omitempty"`
	// RecipientCount is the most people that the call reaches. StateNumber is the number that an
	// approval must state; 0 if it need not.
	RecipientCount int `json:"recipientCount,omitempty"`
	StateNumber    int `json:"stateNumber,omitempty"`
	// Facts identify the record that the call is about and who acts in it, in a person's terms.
	Facts []Line `json:"facts,omitempty"`
	// Record identifies what the card shows of that record, but what changes by itself, and the other
	// contacts that it names; empty without both. The approval is bound to it, see [Card.ShowsRecord].
	Record string `json:"record,omitempty"`
	// Unknown is the intent of another call that Earlier says has an unknown outcome; empty without
	// one.
	Unknown string `json:"unknown,omitempty"`
	// Changes are the current values that the call overwrites.
	Changes []Change `json:"changes,omitempty"`
	// Sent is the payload, flattened.
	Sent []Line `json:"sent"`
	// Costs is what the call takes from each budget.
	Costs []Cost `json:"costs,omitempty"`
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
	// Own is true if the requester itself made or renamed the record, or a recipient, in the last day.
	Own bool `json:"own,omitempty"`
	// Invisible is true if a text on the card has characters that nobody can see, other than line feeds
	// and tabs. They are written as \u{…}.
	Invisible bool `json:"invisible,omitempty"`
}

// Change is one value that the call overwrites. New is empty if the call does not name the new
// value.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new,omitempty"`
	// Diff is the difference of a text that is sent to people; empty for other values.
	Diff []DiffLine `json:"diff,omitempty"`
}

// Cost is what the call takes from a budget. Left is what was left in it when the card was made. Refill is
// how many units the approval adds to it.
type Cost struct {
	Budget string `json:"budget"`
	Takes  int64  `json:"takes"`
	Left   int64  `json:"left"`
	Refill int64  `json:"refill,omitempty"`
}

// String returns a cost for a sentence that begins with "This takes".
func (c Cost) String() string {
	if c.Refill > 0 {
		return fmt.Sprintf("%d from the budget %s, which has %d left now: approving adds %d to it", c.Takes, c.Budget, c.Left, c.Refill)
	}
	if c.Takes > c.Left {
		return fmt.Sprintf("%d from the budget %s, which has %d left now: the call would be denied", c.Takes, c.Budget, c.Left)
	}
	return fmt.Sprintf("%d of the %d left in the budget %s", c.Takes, c.Left, c.Budget)
}

// Line is one fact, or one value of the payload.
type Line struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Full is the whole of a text that Value cuts, or that is sent to people, for a display with room.
	// Its lines are those of the text, each escaped.
	Full string `json:"full,omitempty"`
	// Body is true for a text that is sent to people.
	Body bool `json:"body,omitempty"`
}

// Lines returns the lines of the whole text.
func (l Line) Lines() []string { return strings.Split(l.Full, "\n") }

const (
	maxLines = 40
	maxValue = 150 // characters
	maxName  = 40
	maxTo    = 25 // recipients, each on a line of its own
	maxItems = 5  // of a list or an object
	maxDepth = 2  // of lists and objects inside one another
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
	// Related is what other contacts share with the contact that the call writes, and which keys of a
	// map it drops; nil if it writes none. HiddenOfContacts are the fields of contacts that the
	// requester must not see.
	Related          *recipients.Related
	HiddenOfContacts map[string]bool
	// Record is the record that the call is about; nil if it is about none.
	Record *Record
	// Earlier is what was done before; see [Earlier].
	Earlier Earlier
	// References, Owners, Similar, Kept and History are what was read besides; nil and zero where the
	// call needs none.
	References []Reference
	Owners     *Owners
	Similar    *Similar
	Kept       []Kept
	History    History
	// Over are the budgets that the call exceeds.
	Over  []Over
	Costs []Cost
}

// NewCard builds the card of a call.
func NewCard(in Call) Card {
	a, p := in.Payload.Action, in.Payload
	c := Card{Action: a.Name, Class: a.Class, Needs: in.Needs, Effect: a.Effect, Undo: a.Reversal(), Why: in.Why,
		Rules: in.Rules[:min(maxRules, len(in.Rules))], Requester: in.Requester.String(), Client: schemas.Escape(in.Client, 80), Simulated: in.Simulated,
		Reason: schemas.Escape(p.Reason, schemas.MaxReason), Expires: in.Expires, Costs: in.Costs, Earlier: in.Earlier.text(a)}
	texts := readSent(p, in.Record)
	c.Record = in.Record.digest(in.Related, p)
	if u := in.Earlier.Unknown; u != nil {
		c.Unknown = u.ID
	}
	c.addRecord(in.Record, p, &texts)
	c.addFacts(in)
	c.addHistory(&in.History)
	c.addMentions(p, &texts)
	c.addWarnings(in)
	c.addOver(in.Over, &in.History)
	c.addRecipients(in.Recipients)
	values := flatten(p.Args, a.Class == schemas.Read)
	c.addSent(values, &texts)
	c.addTitle(in)
	c.addDeed(in, values)
	c.Invisible = c.showsInvisible()
	return c
}

func (c *Card) addRecipients(set *recipients.Set) {
	if set == nil {
		return
	}
	c.Recipients, c.To, c.Cut = set.Summary(), set.Lines(maxTo), c.Cut || set.CutsLines(maxTo)
	// The API does not say how it applies a limit to named contacts, so all of them may be rung.
	c.RecipientCount = max(set.Count, len(set.List))
	if MustStateNumber(c.RecipientCount) {
		c.StateNumber = c.RecipientCount
	}
}

// addWarnings adds what is odd about the contact that the call writes.
func (c *Card) addWarnings(in Call) {
	if in.Related != nil {
		for _, m := range in.Related.Matches {
			c.Warnings = append(c.Warnings, sharesLine(m, in.HiddenOfContacts["fullName"]))
		}
	}
	if dropped := droppedLine(in.Related); dropped != "" && !in.HiddenOfContacts["metadata"] {
		c.Warnings = append(c.Warnings, dropped)
	}
	if len(c.Warnings) > maxLines {
		c.Warnings, c.Cut = c.Warnings[:maxLines], true
	}
}

// addRecord adds the record that the call is about and what the call overwrites.
func (c *Card) addRecord(r *Record, p *schemas.Payload, texts *sentTexts) {
	switch {
	case r == nil:
		return
	case r.Unreadable:
		c.Facts = []Line{{Name: "record", Value: "could not be read"}}
		return
	case r.Named == nil:
		c.Facts = []Line{{Name: "record", Value: "was not found"}}
		return
	}
	eachValue(r.Named, func(field string, v any) {
		if v != nil && v != "" && !r.Hidden[field] {
			c.Facts = append(c.Facts, Line{Name: field, Value: c.formatValue(v)})
		}
	})
	in, _ := p.Args["input"].(map[string]any)
	eachValue(r.Replaced, func(field string, old any) {
		if len(c.Changes) == maxLines {
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
		if now, ok := texts.new[field]; ok && !texts.unknown[field] {
			var cut bool
			change.Diff, cut = diffTexts(texts.old[field], now)
			c.Cut = c.Cut || cut
		}
		c.Changes = append(c.Changes, change)
	})
}

// Replaced returns the changes with values that are shown side by side: those without a difference.
func (c Card) Replaced() (out []Change) {
	for _, v := range c.Changes {
		if v.Diff == nil {
			out = append(out, v)
		}
	}
	return out
}

// ReadCard returns a stored card. Nobody may approve a card that cannot be read, so an error ends in
// a request that can only be declined.
func ReadCard(raw []byte) (*Card, error) {
	var c Card
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	if c.Title == "" {
		return nil, errors.New("the card has no title")
	}
	return &c, nil
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

func (c *Card) addSent(values []value, texts *sentTexts) {
	for _, e := range values[:min(maxLines, len(values))] {
		l := Line{Name: c.formatPath(e.path), Value: c.formatValue(e.v)}
		l.Body = texts.has(e.path)
		if s, ok := e.v.(string); ok && (l.Body || utf8.RuneCountInString(s) > maxValue) {
			l.Full = c.formatLines(s)
		}
		c.Sent = append(c.Sent, l)
	}
	if hidden := len(values) - maxLines; hidden > 0 {
		c.Cut = true
		c.Sent = append(c.Sent, Line{Name: "…", Value: fmt.Sprintf("%d more values that do not fit on this card", hidden)})
	}
}
