package approval_test

import (
	"encoding/json"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
)

// TestInvisible checks which cards are marked, wherever on the card the character is, and that a text
// which only looks like a written-out character marks none.
func TestInvisible(t *testing.T) {
	const zero = "\u200b"
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"plain":                 {"Ada Lovelace", false},
		"line feed and tab":     {"a\nb\tc", false},
		"spelled out":           {`a\u{200b}b`, false},
		"spelled out twice":     {`\\u{200b}`, false},
		"accent":                {"Zoé 👩‍🚀", true}, // a joiner is invisible too
		"emoji":                 {"❤️", false},
		"zero width":            {"Ada" + zero, true},
		"only it":               {zero, true},
		"after a backslash":     {`a\` + zero, true},
		"after two backslashes": {`a\\` + zero, true},
		"after a quote":         {`a"` + zero, true},
		"after a line feed":     {"a\n" + zero, true},
		"right to left":         {"\u202eAda", true},
		"escape":                {"\x1b[31m", true},
	} {
		t.Run(name, func(t *testing.T) {
			update := func(input string) string { return `{"identity":"` + anID + `","input":` + input + `}` }
			for where, card := range map[string]approval.Card{
				"value": newCard(t, "update_contact", update(`{"fullName":`+quote("x"+c.text)+`}`), nil),
				"list":  newCard(t, "update_contact", update(`{"metadata":{"a":[{"b":`+quote(c.text)+`}]}}`), nil),
				"key":   newCard(t, "update_contact", update(`{"metadata":{`+quote(c.text)+`:1}}`), nil),
				"record": newCard(t, "update_contact", update(`{"email":"a@example.com"}`), func(in *approval.Call) {
					in.Record = &approval.Record{Named: json.RawMessage(`{"fullName":` + quote(c.text) + `}`)}
				}),
			} {
				if where == "list" && name == "escape" {
					continue // JSON has written it out already, in its own way
				}
				if card.Invisible != c.want {
					t.Errorf("%s: %v\n%s", where, card.Invisible, card.Long())
				}
			}
		})
	}
}
