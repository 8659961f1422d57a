package approval

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/width"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// A client may show the first lines of a card only, each cut at the width of its window. So the
// first two lines are the deed: all that a person must know before they approve the call.
const (
	maxDeed    = 2  // lines
	maxColumns = 80 // of each line
)

// FitsDialogue reports whether a client may ask about the card. Its dialogue has no room for more
// than the deed.
func (c Card) FitsDialogue() bool { return c.Deed != nil && !c.Cut }

// addTitle adds the title: the action's sentence with its recipients, or the record that it is about,
// both in a person's terms.
func (c *Card) addTitle(in Call) {
	a, p := in.Payload.Action, in.Payload
	if a.Class == schemas.Read {
		c.Title, c.Effect, c.Undo = a.Title+".", "It reads only and changes nothing.", ""
		return
	}
	name, _ := c.subject(in)
	if set := in.Recipients; set != nil && len(set.List) != 1 && !set.IsMail() {
		name = c.Recipients
	} else if set.IsMail() {
		name = strings.Join(set.Lines(len(set.List)), ", ") // all of them may be answered
	}
	c.Title = fillSentence(a.Ask, p.Args, func(_ string, v any) string {
		if first := name; first != "" { // the lines have the value
			name = ""
			return first
		}
		if list, ok := v.([]any); ok {
			return fmt.Sprintf("%d of them", len(list))
		}
		return c.formatValue(v)
	})
}

// addDeed adds the deed, such as
//
//	Change the contact +447700900107 "Hannah Blythe": phone → +447700900999
//
// It comes last, because there is none if the card cuts a value.
func (c *Card) addDeed(in Call, values []value) {
	if c.Cut {
		return
	}
	name, identifies := c.subject(in)
	shown := map[string]bool{}
	sentence := fillSentence(in.Payload.Action.Ask, in.Payload.Args, func(path string, v any) string {
		first := len(shown) == 0
		shown[path] = !first || !in.Recipients.IsMail() // an email is more than its senders
		switch {
		case !first || name == "":
			return c.formatValue(v)
		case identifies:
			return name
		}
		return name + " " + c.formatValue(v)
	})
	if in.Payload.Action.Class == schemas.Read {
		sentence = c.Title
	}
	is, separator := ": ", ". "
	if _, changes := in.Payload.Args["identity"]; changes {
		is, separator = " → ", ": "
	}
	deed := strings.TrimSuffix(sentence, ".")
	for _, e := range values {
		if shown[strings.Join(e.path, ".")] {
			continue
		}
		deed += separator + c.deedName(e.path) + is + c.orEmpty(e.v)
		separator = "; "
	}
	for _, warning := range c.Warnings {
		deed += separator + warning
		separator = "; "
	}
	if separator != "; " {
		deed = sentence
	}
	if c.Simulated {
		deed = "[simulated] " + deed
	}
	if c.Deed = fitLines(deed); slices.ContainsFunc(c.Deed, reorders) {
		c.Deed = nil
	}
}

// reorders reports whether a terminal would show digits of a line out of order: those that follow a
// word of a right-to-left script, as if they were a part of it.
func reorders(line string) bool {
	after := false
	for _, r := range line {
		switch p, _ := bidi.LookupRune(r); p.Class() {
		case bidi.R, bidi.AL:
			after = true
		case bidi.L:
			after = false
		case bidi.EN, bidi.AN:
			if after {
				return true
			}
		}
	}
	return false
}

// deedName returns the name of a value in the deed.
func (c *Card) deedName(path []string) string {
	if path[0] == "input" && len(path) > 1 {
		path = path[1:]
	}
	if len(path) == 1 && path[0] == "phoneE164" {
		return "phone"
	}
	return c.formatPath(path)
}

var phoneNumber = regexp.MustCompile(`^\+?[0-9]{3,15}$`)

// subject returns the people whom the call reaches or the record that it is about, in a person's
// terms; empty if only an id is known. It identifies them if it has a number for each, or the id.
func (c *Card) subject(in Call) (name string, identifies bool) {
	if set := in.Recipients; set != nil {
		if len(c.To) == 0 {
			return c.Recipients, set.Group != ""
		}
		for _, r := range set.List {
			if r.Number == "" && r.Address == "" && strings.TrimSpace(r.Name) != "" { // without a name, the line has the id
				return strings.Join(c.To, ", "), false
			}
		}
		return strings.Join(c.To, ", "), true
	}
	read := in.Payload.AboutRead()
	if read == nil || in.Record == nil {
		return "", false
	}
	var parts []string
	strange := false // a caller ID that is no number, such as anonymous
	eachValue(in.Record.Named, func(field string, v any) {
		s, _ := v.(string)
		if s == "" || in.Record.Hidden[field] {
			return
		}
		if read.Action.Resource.Field(field).Names == schemas.PhoneSubject {
			parts = append(parts, c.formatText(s, maxValue))
			strange = strange || !phoneNumber.MatchString(s)
		} else if name == "" { // in quotes, so that a name cannot pass for a number
			name, _ = schemas.Quote(s, maxValue)
		}
	})
	identifies = len(parts) > 0 && !strange
	// The name is last: after one of a right-to-left script, a terminal would show the groups of a
	// number in reverse.
	if name != "" {
		parts = append(parts, name)
	}
	return strings.Join(parts, " "), identifies
}

// fitLines breaks a text into the lines of the deed, at spaces outside quotes, so that no line
// begins inside a value. It returns nil if it does not fit.
func fitLines(text string) (lines []string) {
	for _, word := range splitUnquoted(text) {
		last := len(lines) - 1
		if last >= 0 && columns(lines[last]+" "+word) <= maxColumns {
			lines[last] += " " + word
			continue
		}
		if len(lines) == maxDeed || columns(word) > maxColumns {
			return nil
		}
		lines = append(lines, word)
	}
	return lines
}

// splitUnquoted splits a text of the card at spaces outside quotes and outside numbers, which have
// them between digits. In quotes, a backslash precedes each quotation mark; see schemas.Quote.
func splitUnquoted(text string) (words []string) {
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case ch == ' ' && !quoted && !(endsWithDigit(text[:i]) && startsWithDigit(text[i+1:])):
			words = append(words, text[start:i])
			start = i + 1
		}
	}
	return append(words, text[start:])
}

func endsWithDigit(s string) bool { return s != "" && startsWithDigit(s[len(s)-1:]) }

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// columns returns how many columns a text takes at most.
func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
