package approval

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
			got = removed.alsoIn([]schemas.SentRecord{{Name: "other", Texts: []string{"x", test.other}}, {Name: "third", Texts: []string{"y"}}}, true)
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
	if got := removed.alsoIn(many, false); got != want {
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

// TestAddedMentions checks what a card says about links, numbers and addresses of a text that is sent.
func TestAddedMentions(t *testing.T) {
	for name, test := range map[string]struct {
		old, new string
		want     []string
	}{
		"the same in other words": {"see https://a.example, 020 7946 0019", "look at <a href='HTTPS://A.example/'>a</a> or ring 0207 9460019", nil},
		"another":                 {"see https://a.example", "see https://a.example/pay", []string{"adds the link a.example/pay"}},
		"one of each": {"", "b@c.example 020 7946 0019 https://a.example", []string{"adds the link a.example", "adds the number 020 7946 0019",
			"adds the address b@c.example"}},
		"many": {"", "https://a.example https://b.example https://c.example https://d.example e.example", []string{"adds the link a.example",
			"adds the link b.example", "adds the link c.example, and 2 more"}},
		"a hostile link": {"", `<a href="https://a.example/ &quot;. adds the link b.example">x</a>`, []string{`adds the link "a.example/\".addsthelinkb.example"`}},
		"mixed scripts":  {"", "https://аpple.example", []string{`adds the link "аpple.example" (letters of Cyrillic and Latin)`}},
	} {
		p := templateChange(t, `{"subject":"s","body":`+quote(test.new)+`}`)
		c := NewCard(Call{Payload: p, Record: &Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"subject":"https://s.example","body":` + quote(test.old) + `}`)}})
		if d := cmp.Diff(test.want, c.Warnings); d != "" || c.Cut {
			t.Errorf("%s: cut %v\n%s", name, c.Cut, d)
		}
	}
	p := templateChange(t, `{"body":"https://`+strings.Repeat("long.", 40)+`example"}`)
	if c := NewCard(Call{Payload: p, Record: &Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"body":"x"}`)}}); !c.Cut {
		t.Error("a host is cut, and the card does not know it")
	}
	// What moves from one text to another is not new.
	p = templateChange(t, `{"subject":"https://a.example","body":"b"}`)
	if c := NewCard(Call{Payload: p, Record: &Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"subject":"s","body":"https://a.example"}`)}}); c.Warnings != nil {
		t.Error(c.Warnings)
	}
	// An old text that is hidden or could not be read may have had them.
	p = templateChange(t, `{"body":"https://a.example"}`)
	hidden := &Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"body":"https://a.example"}`), Hidden: map[string]bool{"body": true}}
	for _, r := range []*Record{{Unreadable: true}, {}, hidden} {
		if c := NewCard(Call{Payload: p, Record: r}); !slices.Equal(c.Warnings, []string{"has the link a.example"}) || len(c.Changes) > 0 && c.Changes[0].Diff != nil {
			t.Errorf("%q %+v", c.Warnings, c.Changes)
		}
	}
	// In a new template it is a fact.
	a, _ := schemas.Find("create_email_template")
	p, fault := a.Check([]byte(`{"input":{"model":"m","name":"n","subject":"s","body":"https://a.example, 020 7946 0019 or https://a.example"}}`), schemas.Limits{Now: time.Now()})
	if fault != nil {
		t.Fatal(fault)
	}
	c := NewCard(Call{Payload: p})
	if d := cmp.Diff([]Line{{Name: "mentions", Value: "a.example, 020 7946 0019"}}, c.Facts); d != "" || c.Warnings != nil {
		t.Error(d, c.Warnings)
	}
}

// TestSentText checks how a terminal shows a text that is sent: a new one whole, a changed one by its
// difference.
func TestSentText(t *testing.T) {
	p := templateChange(t, `{"name":"n","body":"Dear {{name}},\nring 020 7946 0019.\n  + Bye"}`)
	c := NewCard(Call{Payload: p, Record: &Record{Named: json.RawMessage(`{}`), Replaced: json.RawMessage(`{"name":"m","body":"Dear {{name}},\nring 020 7946 0018.\n  + Bye"}`)}})
	const want = `
Values that are replaced:
  name: m → n
  body:
  = Dear {{name}},
  - ring 020 7946 0018.
  + ring 020 7946 0019.
  =   + Bye

What is sent:
  identity: 0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11
  input.body: "Dear {{name}},\nring 020 7946 0019.\n  + Bye"
  input.name: n
`
	if text := c.Long(); !strings.Contains(text, want) {
		t.Error(text)
	}
	a, _ := schemas.Find("create_email_template")
	p, fault := a.Check([]byte(`{"input":{"model":"m","name":"n","subject":"s","body":"one\n\n`+strings.Repeat("long ", 20)+`| x\n"}}`), schemas.Limits{Now: time.Now()})
	if fault != nil {
		t.Fatal(fault)
	}
	const whole = `
  input.body:
  | one
  | 
  | long long long long long long long long long long long long long long long
    long long long long long | x
  input.model: m
`
	if text := NewCard(Call{Payload: p}).Long(); !strings.Contains(text, whole) {
		t.Error(text)
	}
}
