package approval_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"

// newCard returns the card of a call by ada that needs confirm.
func newCard(t *testing.T, action, args string, change func(*approval.Call)) approval.Card {
	t.Helper()
	a, fault := schemas.Find(action)
	if fault != nil {
		t.Fatal(fault)
	}
	p, fault := a.Check([]byte(args), schemas.Limits{Now: noon})
	if fault != nil {
		t.Fatal(fault)
	}
	c := approval.Call{Payload: p, Needs: "confirm", Why: "policy house: default for write actions is confirm", Requester: ledger.Actor{Name: "ada"}, Expires: noon.Add(time.Minute)}
	if change != nil {
		change(&c)
	}
	return approval.NewCard(c)
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// TestCardText checks the text of a card with everything on it.
func TestCardText(t *testing.T) {
	c := newCard(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Grace Hopper"},"reason":"she married"}`, func(c *approval.Call) {
		c.Simulated, c.Client, c.Costs = true, "Claude 1.0", []approval.Cost{{Budget: "edits", Takes: 1, Left: 3}}
		c.Earlier = approval.Earlier{Run: &ledger.Intent{State: ledger.Succeeded, Settled: noon.Add(-4 * time.Minute)}, Now: noon}
		c.Record = &approval.Record{Named: json.RawMessage(`{"fullName":"Grace Murray","email":""}`), Replaced: json.RawMessage(`{"fullName":"Grace Murray","email":null}`)}
	})
	want := `Change the contact "Grace Murray".
The same call ran 4 minutes ago. Approving runs it once more.
SIMULATED: this is the sandbox, nothing real happens.
Number, email, birthday and verification decide who is rung later and how
    callers prove who they are.
` + c.Undo + `

About this:
  fullName: "Grace Murray"

Values that are replaced:
  fullName: "Grace Murray" → "Grace Hopper"
  email: (empty)

What is sent:
  identity: ` + anID + `
  input.fullName: "Grace Hopper"

This takes 1 of the 3 left in the budget edits.

Action update_contact, requested by ada. policy house: default for write actions
    is confirm. Their program calls itself "Claude 1.0".

Written by the AI as its reason: she married`
	if d := cmp.Diff(want, c.Long()); d != "" {
		t.Error(d)
	}
	what, rest, _ := strings.Cut(want, "\n")
	before, after, _ := strings.Cut(rest, "What is sent:")
	_, after, _ = strings.Cut(after, "\n\n")
	short := "[simulated] " + strings.TrimSuffix(what, ".") + "\n" + anID + `: fullName → "Grace Hopper"` + "\n" + before + after
	if d := cmp.Diff(short, c.Short()); d != "" {
		t.Error(d)
	}
	if !strings.Contains(c.Title, `"Grace Murray"`) {
		t.Errorf("the sentence does not name the record: %s", c.Title)
	}
}

// TestSentences checks that the sentences of all actions are sentences, and use existing inputs.
func TestSentences(t *testing.T) {
	for _, a := range schemas.Actions() {
		if a.Class == schemas.Read {
			continue
		}
		if a.Ask == "" || a.Effect == "" || !strings.HasSuffix(a.Ask, ".") || !strings.HasSuffix(a.Effect, ".") {
			t.Errorf("%s: ask %q, effect %q", a.Name, a.Ask, a.Effect)
		}
		for _, path := range strings.FieldsFunc(a.Ask, func(r rune) bool { return r == '{' || r == '}' || r == '|' }) {
			key, rest, _ := strings.Cut(path, ".")
			if key == "input" && rest != "" && !strings.Contains(rest, " ") && !slices.ContainsFunc(a.Inputs(), func(in schemas.Input) bool { return in.Name == rest }) {
				t.Errorf("%s: the sentence has %s, which is no input", a.Name, path)
			}
		}
	}
}

// TestReadCard checks the card of a read: what it reads, and that it changes nothing.
func TestReadCard(t *testing.T) {
	c := newCard(t, "list_calls", `{"fields":["id"],"filter":{"contactId":{"eq":"`+anID+`"}}}`, nil)
	if c.Title != "List calls." || c.Undo != "" || !slices.Contains(c.Sent, approval.Line{Name: "filter.contactId.eq", Value: anID}) {
		t.Errorf("%+v", c)
	}
}

// TestCardCannotBeImitated checks that no value leaves its line, hides on it, or reverses it.
func TestCardCannotBeImitated(t *testing.T) {
	hostile := []string{
		"x\n\nAction list_contacts, requested by the owner. Harmless.",
		"x\r\nWritten by the AI as its reason: none",
		"x\u2028y\u2029z\u0085w",
		"\u202egnp.exe\u202c \u2066abc\u2069",
		"\x1b[2J\x1b[1;1HApproved \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
		"a\u200bb\u200dc\ufeffd\u00ade\U000e0041f",
		"\u009b31mred",
		strings.Repeat("long ", 100),
	}
	text := func(action, args string) string { return newCard(t, action, args, nil).Long() }
	record := func(h string) string {
		return newCard(t, "update_contact", `{"identity":"`+anID+`","input":{"email":"a@example.com"}}`, func(c *approval.Call) {
			c.Client = h
			c.Record = &approval.Record{Named: json.RawMessage(`{"fullName":` + quote(h) + `}`), Replaced: json.RawMessage(`{"email":` + quote(h) + `,` + quote(h) + `:1}`)}
		}).Long()
	}
	for _, h := range hostile {
		for name, text := range map[string]string{
			"value":  text("create_contact", `{"input":{"fullName":`+quote(h)+`}}`),
			"nested": text("create_contact", `{"input":{"fullName":"x","metadata":{"a":{"b":`+quote(h)+`}}}}`),
			"name":   text("create_contact", `{"input":{"fullName":"x","metadata":{`+quote(h[:min(len(h), 300)])+`:1}}}`),
			"list":   text("create_contact", `{"input":{"fullName":"x","languages":[`+quote(h)+`,"en"]}}`),
			"target": text("end_call", `{"input":{"callUuid":`+quote(h[:min(len(h), 200)])+`}}`),
			"reason": text("end_call", `{"input":{"callUuid":"c"},"reason":`+quote(h[:min(len(h), 490)])+`}`),
			"record": record(h),
		} {
			for _, r := range text {
				if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
					t.Errorf("%s of %q: U+%04X is on the card", name, h[:min(len(h), 40)], r)
				}
			}
			lines := strings.Split(text, "\n")
			actions, reasons := 0, 0
			for i, l := range lines {
				if strings.HasPrefix(l, "Action ") {
					actions++
				}
				if strings.HasPrefix(l, "Written by the AI as its reason: ") {
					reasons++
					if slices.ContainsFunc(lines[i+1:], func(l string) bool { return !strings.HasPrefix(l, "    ") }) {
						t.Errorf("%s: the reason is not last:\n%s", name, text)
					}
				}
				if len([]rune(l)) > 80 {
					t.Errorf("%s: a line of %d characters", name, len([]rune(l)))
				}
			}
			want := 0
			if name == "reason" {
				want = 1
			}
			if actions != 1 || reasons != want {
				t.Errorf("%s of %q: %d action lines, %d reasons:\n%s", name, h[:min(len(h), 40)], actions, reasons, text)
			}
		}
	}
}

// TestCardIsShort checks that many and long values are cut, and that the card says so.
func TestCardIsShort(t *testing.T) {
	var keys, ids []string
	for n := range 200 {
		keys = append(keys, fmt.Sprintf(`"k%03d":%q`, n, strings.Repeat("v", 300)))
		ids = append(ids, fmt.Sprintf(`"00000000-0000-4000-8000-%012d"`, n))
	}
	c := newCard(t, "create_contact", `{"input":{"fullName":"x","metadata":{`+strings.Join(keys, ",")+`}}}`, nil)
	text := c.Long()
	// 40 values, and how many there are besides: 161 of the 201.
	if len(c.Sent) != 41 || len(text) > 12_000 || !strings.Contains(text, "\n  …: 161 more values that do not fit on this card\n") || !strings.Contains(text, "(300 characters)") {
		t.Errorf("%d lines, %d bytes: %s", len(c.Sent), len(text), text)
	}
	// Full has the whole text.
	long := strings.Repeat("harmless ", 300) + "and this is what matters"
	c = newCard(t, "create_email_mailbox", `{"input":{"inboundDomain":"x.example","mxTarget":`+quote(long)+`,"organisationId":"`+anID+`"}}`, nil)
	if l := c.Sent[1]; l.Name != "input.mxTarget" || l.Full != long || !strings.HasSuffix(l.Value, `… (2724 characters)"`) {
		t.Errorf("%+v", l)
	}
	bulk := newCard(t, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(ids, ",")+`]}}`, nil)
	if !strings.Contains(bulk.Title, "200") || !strings.Contains(bulk.Long(), "(200 in all)") {
		t.Errorf("the card does not say how many people are rung:\n%s", bulk.Long())
	}
}

// TestNothingCrowdsOut checks that an action's own values are on the card, however many values a
// caller adds in a map.
func TestNothingCrowdsOut(t *testing.T) {
	var keys []string
	for n := range 60 {
		keys = append(keys, fmt.Sprintf(`"k%02d":%d`, n, n))
	}
	c := newCard(t, "create_contact", `{"input":{"fullName":"Bob","phoneE164":"+442079460123","metadata":{`+strings.Join(keys, ",")+`}}}`, nil)
	if text := c.Long(); !strings.Contains(text, "input.phoneE164: +442079460123\n") || !strings.Contains(text, "more values that do not fit on this card") {
		t.Error(text)
	}
}

// TestPayloadIsQuoted checks that words of the payload are quoted, so that they are not the card's.
func TestPayloadIsQuoted(t *testing.T) {
	c := newCard(t, "end_call", `{"input":{"callUuid":"c-17 (a test line). No \"caller\" will notice."}}`, nil)
	if want := `Hang up the live call "c-17 (a test line). No \"caller\" will notice.".`; c.Title != want {
		t.Errorf("%s\nwant %s", c.Title, want)
	}
	c = newCard(t, "create_contact", `{"input":{"fullName":"x","languages":["en, … (3 in all)"],"metadata":{"a: 1; input.fullName: Bob":2}}}`, nil)
	for _, want := range []approval.Line{{Name: "input.languages", Value: `"en, … (3 in all)"`}, {Name: `input.metadata."a: 1; input.fullName: Bob"`, Value: "2"}} {
		if !slices.Contains(c.Sent, want) {
			t.Errorf("no %v in %v", want, c.Sent)
		}
	}
}

// TestHiddenFields checks that a card has no field of a record that the requester must not see.
func TestHiddenFields(t *testing.T) {
	c := newCard(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Grace","email":"new@example.com"}}`, func(c *approval.Call) {
		c.Record = &approval.Record{Named: json.RawMessage(`{"email":"secret@example.com","fullName":"Ada"}`),
			Replaced: json.RawMessage(`{"email":"secret@example.com","fullName":"Ada"}`), Hidden: map[string]bool{"email": true}}
	})
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "secret") {
		t.Errorf("a hidden value is on the card: %s", raw)
	}
	if d := cmp.Diff([]approval.Line{{Name: "fullName", Value: "Ada"}}, c.Facts); d != "" {
		t.Error(d)
	}
	// The requester knows the new value.
	if d := cmp.Diff([]approval.Change{{Name: "email", Old: "(hidden from the requester)", New: "new@example.com"}, {Name: "fullName", Old: "Ada", New: "Grace"}}, c.Changes); d != "" {
		t.Error(d)
	}
}

// TestUnreadableRecord checks that a card says so if its record could not be read or found.
func TestUnreadableRecord(t *testing.T) {
	for want, r := range map[string]approval.Record{"could not be read": {Unreadable: true}, "was not found": {}} {
		c := newCard(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`, func(c *approval.Call) { c.Record = &r })
		if !strings.Contains(c.Long(), "About this:\n  record: "+want) || !strings.Contains(c.Title, anID) {
			t.Errorf("%s: %s", want, c.Long())
		}
	}
}

// TestRecipients checks that a card summarises the recipients, lists the first 25, and asks for
// their number if there are more than ten.
func TestRecipients(t *testing.T) {
	for n, want := range map[int]int{1: 0, 10: 0, 11: 11, 400: 400} {
		set := &recipients.Set{Count: n}
		for i := range n {
			set.List = append(set.List, recipients.Recipient{Number: fmt.Sprintf("+442079460%03d", i), Country: "GB", Kind: recipients.FixedLine})
		}
		c := newCard(t, "start_outbound_call", `{"input":{"phoneNumber":"+442079460000"}}`, func(c *approval.Call) { c.Recipients = set })
		if c.RecipientCount != n || c.StateNumber != want || len(c.To) != min(n, 25) || !strings.Contains(c.Recipients, "GB") {
			t.Errorf("%d people: %+v", n, c)
		}
	}
	// Without a list, the count is known.
	c := newCard(t, "start_outbound_call", `{"input":{"phoneNumber":"+442079460000"}}`, func(c *approval.Call) { c.Recipients = &recipients.Set{Count: 30} })
	if c.StateNumber != 30 || len(c.To) != 0 {
		t.Errorf("%+v", c)
	}
}

// TestShowsRecord checks that a card is for the other contacts that it names, and for no others.
func TestShowsRecord(t *testing.T) {
	match := func(contact string, by recipients.Shared) *recipients.Related {
		return &recipients.Related{Matches: []recipients.Match{{Contact: contact, Name: "Ada", By: by}}}
	}
	record := &approval.Record{Named: json.RawMessage(`{"fullName":"Ada"}`), Replaced: json.RawMessage(`{"email":"a@example.com"}`)}
	var in approval.Call
	c := newCard(t, "update_contact", `{"identity":"`+anID+`","input":{"email":"b@example.com"}}`, func(c *approval.Call) {
		c.Record, c.Related = record, match(agentID, recipients.SharedAddress)
		in = *c
	})
	for want, related := range map[bool][]*recipients.Related{
		true:  {match(agentID, recipients.SharedAddress)},
		false: {match(anID, recipients.SharedAddress), match(agentID, recipients.SharedName), {}, nil},
	} {
		for _, r := range related {
			if c.ShowsRecord(record, r, in.Payload) != want {
				t.Errorf("%+v: not %v", r, want)
			}
		}
	}
	none := newCard(t, "create_contact", `{"input":{"fullName":"Ada"}}`, func(c *approval.Call) { in = *c })
	if !none.ShowsRecord(nil, &recipients.Related{}, in.Payload) || none.ShowsRecord(nil, match(anID, recipients.SharedNumber), in.Payload) {
		t.Error("a new contact")
	}
}

// TestNestedValues checks that words inside lists and objects are quoted, and that deep ones are cut.
func TestNestedValues(t *testing.T) {
	c := newCard(t, "create_contact", `{"input":{"fullName":"x","metadata":{"list":[{"a: 1; phone":"x” y","n":1,"o":{"p":2}},[3]]}}}`, nil)
	if want := (approval.Line{Name: "input.metadata.list", Value: `{"a: 1; phone": "x\” y", n: 1, o: {…}}, 3`}); !c.Cut || !slices.Contains(c.Sent, want) {
		t.Errorf("cut %v, no %v in %v", c.Cut, want, c.Sent)
	}
	deep := `[` + strings.Repeat(`[1,[2,[3,[4,[5,"`+strings.Repeat("v", 300)+`"]]]]],`, 50) + `0]`
	if c := newCard(t, "create_contact", `{"input":{"fullName":"x","metadata":{"list":`+deep+`}}}`, nil); !c.Cut || len(c.Long()) > 2000 {
		t.Errorf("%d bytes: %s", len(c.Long()), c.Long())
	}
}
