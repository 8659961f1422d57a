package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxOldValue  = 60 // characters
	maxOldValues = 3  // of one change
)

// pastChange is a line about an earlier change.
type pastChange struct {
	text string
	// known is true if the record was made, or what people recognise it by was changed. was are the old
	// values of that, as far as they are known.
	known bool
	was   []oldValue
}

// describe returns the line of a change; false if it set the values that were there before.
func (r *Changes) describe(c *ledger.Change, h *History) (line pastChange, ok bool) {
	earlier, _ := schemas.ParsePayload(c.Action, c.Payload) // nil if it cannot be read any more
	when := " " + Ago(c.Prepared, h.Now) + " by " + byCaller(c.Caller, h.Caller)
	perhaps := ""
	if c.State != ledger.Succeeded {
		perhaps = "perhaps "
	}
	switch {
	case isCreate(c.Action):
		return pastChange{text: perhaps + "made" + when, known: true}, true
	case c.Class != schemas.Write:
		return pastChange{text: perhaps + c.Action + when}, true
	case earlier == nil:
		return pastChange{text: perhaps + "changed" + when + "; what was changed cannot be read any more", known: true}, true
	}
	changed := r.changed(c, earlier)
	for i, v := range changed[:min(maxOldValues, len(changed))] {
		verb := v.name + " changed"
		if len(r.Fields) > 0 && v.name == r.Fields[0] && strings.HasSuffix(strings.ToLower(v.name), "name") {
			verb = "renamed"
		}
		switch {
		case i == 0 && v.old == "":
			line.text = perhaps + verb + when
		case i == 0:
			line.text = perhaps + verb + when + ", was " + v.old
		case v.old == "":
			line.text += "; " + verb
		default:
			line.text += "; " + v.name + " was " + v.old
		}
	}
	for _, v := range changed {
		if slices.Contains(r.Fields, v.name) {
			if line.known = true; v.old != "" {
				line.was = append(line.was, v)
			}
		}
	}
	if rest := len(changed) - maxOldValues; rest > 0 {
		line.text += fmt.Sprintf("; %s", plural(rest, "more field"))
	}
	return line, len(changed) > 0
}

// oldValue is a field that was changed, with its old value for the card; empty if that is hidden or
// not known.
type oldValue struct{ name, old string }

// changed returns the fields that a change gave another value, those of r.Fields first.
func (r *Changes) changed(c *ledger.Change, earlier *schemas.Payload) (out []oldValue) {
	in, _ := earlier.Args["input"].(map[string]any)
	replaced := c.Replaced
	if replaced == nil { // it could not be read before the change, or was erased
		for _, name := range schemas.SortedKeys(in) {
			out = append(out, oldValue{name: name})
		}
	}
	schemas.EachJSON(replaced, func(key, raw []byte) {
		if key == nil {
			return
		}
		v := oldValue{name: schemas.DecodeString(key)}
		if next, given := in[v.name]; given && schemas.SameJSON(raw, next) {
			return
		}
		if !r.Hidden[v.name] {
			v.old = quoteOld(raw)
		}
		out = append(out, v)
	})
	rank := func(v oldValue) int {
		if i := slices.Index(r.Fields, v.name); i >= 0 {
			return i
		}
		return len(r.Fields)
	}
	slices.SortStableFunc(out, func(a, b oldValue) int { return rank(a) - rank(b) })
	return out
}

// quoteOld returns an old value for a card.
func quoteOld(raw []byte) string {
	text := string(raw)
	if text == "null" || text == `""` {
		return "empty"
	}
	if strings.HasPrefix(text, `"`) {
		text = schemas.DecodeString(raw)
	}
	quoted, _ := schemas.Quote(text, maxOldValue)
	return quoted
}

// moreChanges counts the changes that have no line. It tells what was there before all of them: many
// changes must not hide it.
func moreChanges(rest []pastChange) string {
	text, told := "and "+plural(len(rest), "more change"), map[string]bool{}
	for _, c := range slices.Backward(rest) {
		for _, v := range c.was {
			if !told[v.name] {
				told[v.name] = true
				text += ", before which " + v.name + " was " + v.old
			}
		}
	}
	return text
}

func isCreate(action string) bool {
	a, fault := schemas.Find(action)
	return fault == nil && a.Creates()
}

// byCaller names the program that made a change, for the card of a call by caller.
func byCaller(by, caller ledger.Actor) string {
	if by == caller {
		return "this assistant"
	}
	return schemas.Escape(by.String(), 80)
}
