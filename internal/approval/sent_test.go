package approval

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const templateID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"

func templateChange(t *testing.T, input string) *schemas.Payload {
	t.Helper()
	a, fault := schemas.Find("update_email_template")
	if fault != nil {
		t.Fatal(fault)
	}
	p, fault := a.Check([]byte(`{"identity":"`+templateID+`","input":`+input+`}`), schemas.Limits{Now: time.Now()})
	if fault != nil {
		t.Fatal(fault)
	}
	return p
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

func TestAlsoIn(t *testing.T) {
	for name, test := range map[string]struct{ old, new, other, phrase string }{
		"a sentence":        {"Dear Ada,\nwe are open on Saturdays.\n", "Dear Ada,\nwe are closed.\n", "We are open on\nSaturdays, and on Monday", "open on Saturdays"},
		"a number":          {"Ring 020 7946 0018.", "Ring 020 7946 0019.", "Our number is 020 7946 0018", "020 7946 0018"},
		"a removed line":    {"Hello\nKind regards\n", "Hello\n", "Bye. Kind regards, Bob", "Kind regards"},
		"HTML":              {"<p><b>Opening hours</b></p>", "<p><b>Hours</b></p>", "Opening hours", "Opening hours"},
		"a link":            {`<a href="https://a.example/old">Pay</a>`, `<a href="https://a.example/new">Pay</a>`, "see a.example/old", ""},
		"a short word":      {"Dear Ada", "Hello Ada", "Dear Ada", "-"},
		"a moved line":      {"first line\nsecond line\n", "second line\nfirst line\n", "first line", "-"},
		"only what is new":  {"Dear Ada\n", "Dear Ada\nopen on Saturdays\n", "open on Saturdays", "-"},
		"another text":      {"we are open on Saturdays", "we are closed", "we are open on Sundays", "-"},
		"words that remain": {"we are open on Saturdays now", "we are open on Sundays now", "we are open on Tuesdays", "-"},
	} {
		p := templateChange(t, `{"body":`+quote(test.new)+`}`)
		removed := FindRemoved(p, &Record{Replaced: json.RawMessage(`{"body":` + quote(test.old) + `}`)})
		got := ""
		if removed != nil {
			got = removed.AlsoIn([]schemas.SentRecord{{Name: "other", Texts: []string{"x", test.other}}, {Name: "third", Texts: []string{"y"}}}, true)
		}
		want := `"other"`
		if test.phrase == "-" {
			want = ""
		} else if !strings.Contains(strings.Join(removed.phrases, "|"), test.phrase) {
			t.Errorf("%s: phrases %q, want %s", name, removed.phrases, test.phrase)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	var many []schemas.SentRecord
	for n := range 8 {
		many = append(many, schemas.SentRecord{Name: fmt.Sprintf("t%d, and \"x\"", n), Texts: []string{"open on Saturdays"}})
	}
	removed := &Removed{phrases: []string{"open on Saturdays"}}
	const want = `"t0, and \"x\"", "t1, and \"x\"", "t2, and \"x\"", "t3, and \"x\"", "t4, and \"x\"" and 3 more (only the first 8 were looked at)`
	if got := removed.AlsoIn(many, false); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// TestRemovedIsKnown checks that nothing counts as removed if the old text is hidden or could not be
// read.
func TestRemovedIsKnown(t *testing.T) {
	p := templateChange(t, `{"body":"new"}`)
	raw := json.RawMessage(`{"body":"open on Saturdays"}`)
	for _, r := range []*Record{nil, {Unreadable: true}, {}, {Replaced: raw, Hidden: map[string]bool{"body": true}}} {
		if got := FindRemoved(p, r); got != nil {
			t.Errorf("%+v: %v", r, got)
		}
	}
}
