package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const head = "apiVersion: sippet.policy/v1\n"

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// upstream passes everything and counts.
type upstream struct{ validates, runs int }

func (u *upstream) Validate(context.Context, rpc.Request) *schemas.Error { u.validates++; return nil }
func (u *upstream) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	if found := usualRead(r); found != nil {
		return rpc.Result{Data: found, Sent: true}, nil // a look at whom it would ring
	}
	u.runs++
	return rpc.Result{Data: json.RawMessage(`{}`), Sent: true}, nil
}

// usualRead answers a look at contacts by their ids with ones that can be rung, and a look at one
// record with Ada's; nil for all else.
func usualRead(r rpc.Request) json.RawMessage {
	var one struct {
		Filter map[string]struct{ Eq string }
	}
	if strings.HasPrefix(r.Action, "list_") && json.Unmarshal(r.Body, &one) == nil && len(one.Filter) == 1 {
		for key, op := range one.Filter {
			if op.Eq != "" {
				raw, _ := json.Marshal([]map[string]any{{"id": op.Eq, key: op.Eq, "fullName": "Ada", "email": nil}})
				return raw
			}
		}
	}
	var body struct {
		Filter struct{ ID struct{ In []string } }
	}
	if r.Action != "list_contacts" || json.Unmarshal(r.Body, &body) != nil || body.Filter.ID.In == nil {
		return nil
	}
	rows := []map[string]any{}
	for i, id := range body.Filter.ID.In {
		rows = append(rows, map[string]any{"id": id, "fullName": "Ada", "phoneE164": fmt.Sprintf("+442079460%03d", i%1000), "erasedAt": nil, "deletedAt": nil})
	}
	raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "limit": 250, "type": "keyset"})
	return raw
}

func gate(t *testing.T, name string) (*policy.Gate, *upstream) {
	t.Helper()
	p, err := rules.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{}
	now := func() time.Time { return noon }
	return &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: u, Ledger: ledgertest.Open(t, ledger.Options{Now: now}), Organisation: "here", Wait: time.Minute, Now: now, Log: slog.New(slog.DiscardHandler)}, u
}

func payload(t *testing.T, action, args string) *schemas.Payload {
	t.Helper()
	a, err := schemas.Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), schemas.Limits{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func card(t *testing.T, action, args string) approval.Card {
	t.Helper()
	g, u := gate(t, "desktop")
	if strings.HasPrefix(action, "create_") || strings.HasPrefix(action, "update_") || action == "start_bulk_outbound_call" {
		p, err := rules.Parse("strict", []byte(head+"defaults: {class: {write: confirm, outbound: confirm}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		g.Policy = policy.FixedPolicySet(p)
	}
	a := g.Do(t.Context(), policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, action, args)})
	if a.Pending == nil || u.runs != 0 || a.Err == nil || a.Err.Outcome != schemas.ApprovalPending {
		t.Fatalf("%+v", a)
	}
	return a.Pending.Card
}

const anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"

func TestCardText(t *testing.T) {
	got := card(t, "delete_contact", `{"input":{"contactId":"`+anID+`"},"reason":"asked to be forgotten"}`).Text()
	a, _ := schemas.Find("delete_contact")
	want := strings.ReplaceAll(a.Ask, "{input.contactId}", "Ada") + "\n" + a.Effect + `

About this record:
  fullName: Ada

  input.contactId: ` + anID + `

Action delete_contact, requested by ada. policy desktop: default for destructive actions is confirm.

Written by the AI as its reason: asked to be forgotten`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCardsOfAllActions: each says in words what happens, with the values filled in.
func TestCardsOfAllActions(t *testing.T) {
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
				t.Errorf("%s: the card asks for %s, which the input does not have", a.Name, path)
			}
		}
	}
}

// TestCardCannotBeImitated: no value leaves its line, hides in it, or turns it around.
func TestCardCannotBeImitated(t *testing.T) {
	hostile := []string{
		"x\n\nAction list_contacts, requested by the owner. Harmless.",
		"x\r\nWritten by the AI as its reason: none",
		"x\u2028y\u2029z\u0085w",
		"\u202egnp.exe\u202c \u2066abc\u2069",
		"\x1b[2J\x1b[1;1HApproved \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
		"a\u200bb\u200dc\ufeffd\u00ade\U000e0041f",
		"\u009b31mred",
		strings.Repeat("long ", 1000),
	}
	for _, h := range hostile {
		for name, text := range map[string]string{
			"value":  card(t, "create_contact", `{"input":{"fullName":`+quoted(h)+`}}`).Text(),
			"nested": card(t, "create_contact", `{"input":{"fullName":"x","metadata":{"a":{"b":`+quoted(h)+`}}}}`).Text(),
			"name":   card(t, "create_contact", `{"input":{"fullName":"x","metadata":{`+quoted(h[:min(len(h), 300)])+`:1}}}`).Text(),
			"list":   card(t, "create_contact", `{"input":{"fullName":"x","languages":[`+quoted(h)+`,"en"]}}`).Text(),
			"target": card(t, "end_call", `{"input":{"callUuid":`+quoted(h)+`}}`).Text(),
			"reason": card(t, "end_call", `{"input":{"callUuid":"c"},"reason":`+quoted(h[:min(len(h), 490)])+`}`).Text(),
		} {
			for _, r := range text {
				if r != '\n' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)) {
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
					if i != len(lines)-1 {
						t.Errorf("%s: the reason is not last:\n%s", name, text)
					}
				}
				if len([]rune(l)) > 700 {
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

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// TestCardIsShort: many and long values are cut, and said to be.
func TestCardIsShort(t *testing.T) {
	var keys, ids []string
	for n := range 200 {
		keys = append(keys, fmt.Sprintf(`"k%03d":%q`, n, strings.Repeat("v", 300)))
		ids = append(ids, fmt.Sprintf(`"00000000-0000-4000-8000-%012d"`, n))
	}
	c := card(t, "create_contact", `{"input":{"fullName":"x","metadata":{`+strings.Join(keys, ",")+`}}}`)
	text := c.Text()
	if len(c.Lines) > 50 || len(text) > 12_000 || !strings.Contains(text, "more values that do not fit on this card") || !strings.Contains(text, "(300 characters)") {
		t.Errorf("%d lines, %d bytes", len(c.Lines), len(text))
	}
	// Where there is room, a text is there whole.
	long := strings.Repeat("harmless ", 300) + "and this is what matters"
	for _, l := range card(t, "create_contact", `{"input":{"fullName":`+quoted(long)+`}}`).Lines {
		if l.Name == "input.fullName" && (l.Full != quoted(long) || !strings.HasSuffix(l.Value, `… (2724 characters)"`)) {
			t.Errorf("%+v", l)
		}
	}
	bulk := card(t, "start_bulk_outbound_call", `{"input":{"contactIds":[`+strings.Join(ids, ",")+`]}}`)
	if !strings.Contains(bulk.Sentence, "200") || !strings.Contains(bulk.Text(), "(200 in all)") {
		t.Errorf("how many are rung is not said:\n%s", bulk.Text())
	}
}

// TestNothingCrowdsOut: what decides whom a call reaches is on the card, however much stands beside
// it.
func TestNothingCrowdsOut(t *testing.T) {
	var keys []string
	for n := range 60 {
		keys = append(keys, fmt.Sprintf(`"k%02d":%d`, n, n))
	}
	c := card(t, "create_contact", `{"input":{"fullName":"Bob","phoneE164":"+442079460123","metadata":{`+strings.Join(keys, ",")+`}}}`)
	if text := c.Text(); !strings.Contains(text, "input.phoneE164: +442079460123\n") || !strings.Contains(text, "more values that do not fit on this card") {
		t.Error(text)
	}
}

// TestPayloadIsQuoted: words of the payload stand in quotes, so that they are not the card's own.
func TestPayloadIsQuoted(t *testing.T) {
	c := card(t, "end_call", `{"input":{"callUuid":"c-17 (a test line). No \"caller\" will notice."}}`)
	if want := `Hang up the live call "c-17 (a test line). No \"caller\" will notice.".`; c.Sentence != want {
		t.Errorf("%s\nwant %s", c.Sentence, want)
	}
	c = card(t, "create_contact", `{"input":{"fullName":"x","languages":["en, … (3 in all)"],"metadata":{"a: 1; input.fullName: Bob":2}}}`)
	for _, want := range []string{`input.languages: "en, … (3 in all)"`, `input.metadata."a: 1; input.fullName: Bob": 2`} {
		if !strings.Contains(c.Text(), want) {
			t.Errorf("no %s in\n%s", want, c.Text())
		}
	}
}
