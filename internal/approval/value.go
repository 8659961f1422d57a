package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// plainWord is a text that needs no quotes. It does not end like a name before a value.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:+@/-]{0,63}[A-Za-z0-9_.+@/-]$`)

// formatText returns a text for the card: as it is if it is one plain word, else in quotes. It sets
// c.Cut if it cuts the text after max characters.
func (c *Card) formatText(s string, max int) string {
	if plainWord.MatchString(s) {
		return s
	}
	quoted, cut := schemas.Quote(s, max)
	c.Cut = c.Cut || cut
	return quoted
}

// formatValue returns a value as one line that cannot be mistaken for another part of the card. It
// sets c.Cut if it cuts the value.
func (c *Card) formatValue(v any) string { return c.formatWithin(v, maxDepth) }

// formatWithin cuts what lies deeper than so many lists and objects.
func (c *Card) formatWithin(v any, depth int) string {
	switch v := v.(type) {
	case string:
		return c.formatText(v, maxValue)
	case []any:
		if len(v) > 0 {
			return c.formatItems(len(v), depth, func(i int) string { return c.formatWithin(v[i], depth-1) })
		}
	case map[string]any:
		if keys := schemas.SortedKeys(v); len(keys) > 0 {
			return "{" + c.formatItems(len(keys), depth, func(i int) string {
				return c.formatText(keys[i], maxName) + ": " + c.formatWithin(v[keys[i]], depth-1)
			}) + "}"
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a person reads it
	_ = e.Encode(v)        // it was decoded from JSON
	text := strings.TrimSuffix(b.String(), "\n")
	c.Cut = c.Cut || utf8.RuneCountInString(text) > maxValue
	return schemas.Escape(text, maxValue)
}

// formatItems returns the first of n items, and how many there are.
func (c *Card) formatItems(n, depth int, item func(i int) string) string {
	if depth == 0 {
		c.Cut = true
		return "…"
	}
	parts := make([]string, 0, maxItems)
	for i := range min(maxItems, n) {
		parts = append(parts, item(i))
	}
	text := strings.Join(parts, ", ")
	if n > maxItems {
		c.Cut = true
		text += fmt.Sprintf(", … (%d in all)", n)
	}
	return text
}

// writtenOut finds a rune that schemas.Escape wrote as \u{…}, in the card's JSON. A backslash of the
// text itself is written twice, and JSON writes each twice.
var writtenOut = regexp.MustCompile(`(^|[^\\])(\\{4})*\\{2}u\{`)

// showsInvisible reports whether a text of the card has characters that nobody can see.
func (c *Card) showsInvisible() bool {
	raw, err := json.Marshal(c)
	return err != nil || writtenOut.Match(raw)
}

func (c *Card) orEmpty(v any) string {
	if v == nil || v == "" {
		return "(empty)"
	}
	return c.formatValue(v)
}

// eachValue calls visit for each member of a JSON object, decoded.
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

var placeholder = regexp.MustCompile(`\{([^}]+)\}`)

// fillSentence replaces the placeholders of an action's sentence by what show returns for values of
// the payload; {input.a|input.b} takes the first that is given.
func fillSentence(sentence string, args map[string]any, show func(path string, v any) string) string {
	return placeholder.ReplaceAllStringFunc(sentence, func(m string) string {
		for path := range strings.SplitSeq(m[1:len(m)-1], "|") {
			var v any = args
			for key := range strings.SplitSeq(path, ".") {
				in, _ := v.(map[string]any)
				v = in[key]
			}
			if v != nil {
				return show(path, v)
			}
		}
		return "(not given)"
	})
}
