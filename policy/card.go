package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Card is what a person says yes or no to. It is built from the registry and
// the payload only; what the model wrote comes last and is marked.
type Card struct {
	Action string        `json:"action"`
	Class  schemas.Class `json:"class"`
	// Needs is confirm, or approve where it must be another person than the one who asks.
	Needs string `json:"needs"`
	// Sentence says what will happen; Effect who notices; Undo whether it can be taken back.
	Sentence string `json:"sentence"`
	Effect   string `json:"effect"`
	Undo     string `json:"undo,omitempty"`
	// PreviousRun tells of an earlier run of the same; empty where there is none.
	PreviousRun string `json:"previousRun,omitempty"`
	// Recipients says whom it would ring, in a few words, and To the first of them; empty where it rings nobody.
	Recipients string   `json:"recipients,omitempty"`
	To         []string `json:"to,omitempty"`
	// RecipientCount is how many people it rings at most; 0 where it rings nobody. People is the number that a yes must state; 0
	// where it need not.
	RecipientCount int `json:"recipientCount,omitempty"`
	StateNumber    int `json:"stateNumber,omitempty"`
	// About is by what a person knows the record that it is about; empty where it is about none, or none is shown.
	About []Line `json:"about,omitempty"`
	// Replaces are the values that it overwrites, as they are now.
	Replaces []Change `json:"replaces,omitempty"`
	// Lines are the payload, flat, all values shown as text that cannot imitate the card.
	Lines []Line `json:"lines"`
	// Budgets says what it takes from budgets and what is left then, a line each.
	Budgets []string `json:"budgets,omitempty"`
	// Why is the policy's line that demands the question, Rules the rules that matched.
	Why   string   `json:"why"`
	Rules []string `json:"rules,omitempty"`
	// Requester is who asks; Client what their program calls itself, which is its own word.
	Requester string `json:"requester"`
	Client    string `json:"client,omitempty"`
	// Simulated says that nothing real happens.
	Simulated bool `json:"simulated,omitempty"`
	// Reason is what the model gave as its reason; empty where it gave none.
	Reason  string    `json:"reason,omitempty"`
	Expires time.Time `json:"expires"`
}

// Change is one value that is overwritten. New is empty where the call does not say what comes instead.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new,omitempty"`
}

// Line is one value of the payload.
type Line struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Full is more of a text that Value cuts, for where there is room.
	Full string `json:"full,omitempty"`
}

const (
	maxLines = 40
	maxValue = 150  // characters
	maxFull  = 8000 // characters
	maxName  = 40
	maxTo    = 5
	maxRules = 8
	// stateNumberAbove is how many people a yes may ring without stating their number.
	stateNumberAbove = 10
)

// card makes the card of the call as it stands, for the question n.
func (p *attempt) card(ctx context.Context, n *ledger.ApprovalRequest) Card {
	a := p.Payload
	c := Card{Action: a.Action.Name, Class: a.Action.Class, Needs: n.Needs, Effect: a.Action.Effect, Undo: a.Action.Reversal(), Why: p.verdict.Why,
		Rules: p.verdict.Rules[:min(maxRules, len(p.verdict.Rules))], Requester: p.Actor.String(), Client: schemas.Escape(p.Client, 80), Simulated: p.Simulated,
		Reason: schemas.Escape(a.Reason, schemas.MaxReason), Expires: n.Expires}
	called := p.readRecord(ctx, &c)
	c.Budgets = p.budgetLines(ctx)
	if p.recipients != nil {
		shown := p.visibleRecipients()
		c.Recipients, c.To = shown.Summary(), shown.Lines(maxTo)
		if called = c.Recipients; len(c.To) == 1 && len(shown.List) == 1 {
			called = c.To[0]
		}
		// The API does not say how it takes a limit beside named contacts, so all of them may be rung.
		if c.RecipientCount = max(p.recipients.Count, len(p.recipients.List)); c.RecipientCount > stateNumberAbove {
			c.StateNumber = c.RecipientCount
		}
	}
	c.Sentence = fill(a.Action.Ask, a.Args, called)
	if a.Action.Class == schemas.Read {
		c.Sentence, c.Effect, c.Undo = a.Action.Title+".", "It only looks, and changes nothing.", ""
	}
	c.lines(a.Args, a.Action.Class == schemas.Read)
	return c
}

// visibleRecipients is whom the call would ring, as far as the caller may see them: the card goes to the caller's own client.
func (p *attempt) visibleRecipients() *recipients.Set {
	hidden := p.hiddenContactFields()
	if len(hidden) == 0 {
		return p.recipients
	}
	shown := *p.recipients
	shown.List = slices.Clone(shown.List)
	for i := range shown.List {
		d := &shown.List[i]
		if d.Contact == "" {
			continue // the caller named the number
		}
		if hidden["fullName"] {
			d.Name = ""
		}
		if hidden["phoneE164"] {
			d.Number = ""
		}
	}
	return &shown
}

// budgetLines says what the call takes from budgets. A store that cannot say so now must not keep a person from being asked:
// what is taken is checked when it is.
func (p *attempt) budgetLines(ctx context.Context) (out []string) {
	for _, d := range p.txn.Debits {
		left, _, err := p.Ledger.BudgetLeft(ctx, d)
		if err != nil {
			continue
		}
		s := fmt.Sprintf("%d of the %d that are left in the budget %s", d.Cost, left, d.Budget)
		if d.Cost > left {
			s = fmt.Sprintf("%d from the budget %s, which holds %d now: it would be refused", d.Cost, d.Budget, left)
		}
		out = append(out, s)
	}
	return out
}

// readRecord looks at the record that the call is about, once: what a person knows it by, and what an update overwrites, as
// far as the caller may see it. It gives what to call it in a sentence; empty where that is its id.
func (p *attempt) readRecord(ctx context.Context, c *Card) (called string) {
	read := p.Payload.AboutRead()
	if read == nil {
		return ""
	}
	data, err := p.prefetch(ctx, read, "what "+p.Payload.Action.Name+" is about")
	if err != nil {
		c.About = []Line{{Name: "record", Value: "could not be looked up"}}
		return ""
	}
	hidden := p.Gate.Hidden(p.Caller, read.Action)
	named := p.Payload.Named(data)
	if named == nil {
		c.About = []Line{{Name: "record", Value: "was not found"}}
		return ""
	}
	eachValue(named, func(name string, v any) {
		if v == nil || v == "" || hidden[name] {
			return
		}
		if c.About = append(c.About, Line{Name: name, Value: show(v)}); called == "" {
			called = show(v)
		}
	})
	in, _ := p.Payload.Args["input"].(map[string]any)
	eachValue(p.Payload.Replaced(data), func(name string, old any) {
		if len(c.Replaces) == maxLines {
			return
		}
		r := Change{Name: shown(name, maxName), Old: orEmpty(old)}
		if hidden[name] {
			r.Old = "(hidden from whoever asks)"
		}
		if v, given := in[name]; given {
			r.New = orEmpty(v)
		}
		c.Replaces = append(c.Replaces, r)
	})
	return called
}

func orEmpty(v any) string {
	if v == nil || v == "" {
		return "(empty)"
	}
	return show(v)
}

// eachValue visits the members of an object, decoded.
func eachValue(raw json.RawMessage, visit func(name string, v any)) {
	if raw == nil {
		return
	}
	schemas.EachJSON(raw, func(k, value []byte) {
		var v any
		d := json.NewDecoder(bytes.NewReader(value))
		if d.UseNumber(); k != nil && d.Decode(&v) == nil {
			visit(schemas.DecodeString(k), v)
		}
	})
}

// lines lists the payload level by level: what an action takes by name comes
// before what somebody can add at will inside a map, so that the one cannot crowd out the other.
func (c *Card) lines(args map[string]any, read bool) {
	type entry struct {
		name  string
		value any
	}
	level := []entry{}
	keys := []string{"identity", "input"}
	if read {
		keys = append(keys, "filter", "fields", "sort", "page") // what a read is about
	}
	for _, key := range keys {
		if v, ok := args[key]; ok {
			level = append(level, entry{key, v})
		}
	}
	hidden := 0
	for len(level) > 0 {
		var deeper []entry
		for _, e := range level {
			if m, ok := e.value.(map[string]any); ok && len(m) > 0 {
				for _, k := range schemas.SortedKeys(m) {
					deeper = append(deeper, entry{e.name + "." + shown(k, maxName), m[k]})
				}
				continue
			}
			if len(c.Lines) < maxLines {
				l := Line{Name: e.name, Value: show(e.value)}
				if s, ok := e.value.(string); ok && utf8.RuneCountInString(s) > maxValue {
					l.Full = shown(s, maxFull)
				}
				c.Lines = append(c.Lines, l)
			} else {
				hidden++
			}
		}
		level = deeper
	}
	if hidden > 0 {
		c.Lines = append(c.Lines, Line{Name: "…", Value: fmt.Sprintf("%d more values that this card has no room for", hidden)})
	}
}

// show writes a value so that it is one line and cannot be taken for anything
// else: a text that is more than a word stands in quotes.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return shown(v, maxValue)
	case []any:
		if len(v) > 0 {
			parts := make([]string, 0, 5)
			for _, e := range v[:min(5, len(v))] {
				parts = append(parts, show(e))
			}
			s := strings.Join(parts, ", ")
			if len(v) > 5 {
				s += fmt.Sprintf(", … (%d in all)", len(v))
			}
			return s
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a person reads it
	_ = e.Encode(v)        // it was decoded from JSON
	return schemas.Escape(strings.TrimSuffix(b.String(), "\n"), maxValue)
}

var word = regexp.MustCompile(`^[A-Za-z0-9_.:+@/-]{1,64}$`)

func shown(s string, max int) string {
	if word.MatchString(s) {
		return s
	}
	return `"` + strings.ReplaceAll(schemas.Escape(s, max), `"`, `\"`) + `"`
}

var placeholder = regexp.MustCompile(`\{([^}]+)\}`)

// fill puts payload values into a sentence: {input.a|input.b} takes the first that is there. called is what a person
// calls what the first of them names, which then stands in its place: the value is among the lines below. Empty where there is nothing better.
func fill(sentence string, args map[string]any, called string) string {
	return placeholder.ReplaceAllStringFunc(sentence, func(m string) string {
		for path := range strings.SplitSeq(m[1:len(m)-1], "|") {
			var v any = args
			for key := range strings.SplitSeq(path, ".") {
				in, _ := v.(map[string]any)
				v = in[key]
			}
			if v == nil {
				continue
			}
			if name := called; name != "" {
				called = ""
				return name
			}
			if list, ok := v.([]any); ok {
				return fmt.Sprintf("%d of them", len(list))
			}
			return show(v)
		}
		return "(not given)"
	})
}

// Text is the card in short, for an elicitation or a terminal: no markup, no links.
func (c Card) Text() string {
	var b strings.Builder
	if c.Simulated {
		b.WriteString("SIMULATED: this is the sandbox, nothing real happens.\n")
	}
	fmt.Fprintf(&b, "%s\n%s\n", c.Sentence, c.Effect)
	if c.Undo != "" && c.Class != schemas.Destructive { // of these the effect says so
		b.WriteString(c.Undo + "\n")
	}
	if c.PreviousRun != "" {
		b.WriteString(c.PreviousRun + "\n")
	}
	for i, l := range c.About {
		if i == 0 {
			b.WriteString("\nIt is about:")
		}
		fmt.Fprintf(&b, "\n  %s: %s", l.Name, l.Value)
	}
	if len(c.About) > 0 {
		b.WriteByte('\n')
	}
	if c.Recipients != "" && c.RecipientCount != 1 { // the one is in the sentence
		fmt.Fprintf(&b, "\nIt rings %s:", c.Recipients)
		for _, to := range c.To {
			fmt.Fprintf(&b, "\n  %s", to)
		}
		b.WriteByte('\n')
	}
	for _, l := range c.Lines {
		fmt.Fprintf(&b, "\n  %s: %s", l.Name, l.Value)
	}
	if len(c.Lines) > 0 {
		b.WriteByte('\n')
	}
	for i, r := range c.Replaces {
		if i == 0 {
			b.WriteString("\nIt replaces:")
		}
		fmt.Fprintf(&b, "\n  %s: %s", r.Name, r.Old)
		if r.New != "" {
			fmt.Fprintf(&b, " → %s", r.New)
		}
	}
	if len(c.Replaces) > 0 {
		b.WriteByte('\n')
	}
	for _, t := range c.Budgets {
		fmt.Fprintf(&b, "\nIt takes %s.", t)
	}
	fmt.Fprintf(&b, "\nAction %s, asked by %s. %s.", c.Action, c.Requester, c.Why)
	if c.Client != "" {
		fmt.Fprintf(&b, " Their program calls itself %q.", c.Client)
	}
	if c.Reason != "" {
		fmt.Fprintf(&b, "\n\nWritten by the AI as its reason: %s", c.Reason)
	}
	return b.String()
}
