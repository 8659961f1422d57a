package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// plainWord is a text that needs no quotes.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:+@/-]{1,64}$`)

// formatText returns a text for a card: as it is if it is one plain word, else escaped and in
// quotes.
func formatText(s string, max int) string {
	if plainWord.MatchString(s) {
		return s
	}
	return `"` + strings.ReplaceAll(schemas.Escape(s, max), `"`, `\"`) + `"`
}

// formatValue returns a value as one line that cannot be mistaken for another part of the card.
func formatValue(v any) string {
	switch v := v.(type) {
	case string:
		return formatText(v, maxValue)
	case []any:
		if len(v) > 0 {
			parts := make([]string, 0, 5)
			for _, e := range v[:min(5, len(v))] {
				parts = append(parts, formatValue(e))
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

func orEmpty(v any) string {
	if v == nil || v == "" {
		return "(empty)"
	}
	return formatValue(v)
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

// fillSentence replaces the placeholders of an action's sentence by values of the payload;
// {input.a|input.b} takes the first that is given. name, if not empty, replaces the value of the
// first placeholder: the lines have the value.
func fillSentence(sentence string, args map[string]any, name string) string {
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
			if first := name; first != "" {
				name = ""
				return first
			}
			if list, ok := v.([]any); ok {
				return fmt.Sprintf("%d of them", len(list))
			}
			return formatValue(v)
		}
		return "(not given)"
	})
}
