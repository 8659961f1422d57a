package policy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// dailyWork asks nobody about a write.
const dailyWork = head + "defaults: {class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}}\n"

// do runs a call that nobody is asked about, and returns what it ended with.
func (o *approvalWorld) do(t *testing.T, who policy.Caller, action, args string) policy.Result {
	t.Helper()
	a := o.Do(t.Context(), call(t, who, action, args))
	if a.Pending != nil {
		t.Fatalf("%s is pending", action)
	}
	return a
}

// cardOf asks and returns the card.
func (o *approvalWorld) cardOf(t *testing.T, c policy.Call) approval.Card {
	t.Helper()
	a := o.Do(t.Context(), c)
	if a.Pending == nil {
		t.Fatalf("no request: %s", brief(a))
	}
	return a.Pending.Card
}

func update(id, input string) string { return fmt.Sprintf(`{"identity":%q,"input":{%s}}`, id, input) }

// TestHistoryOfRecord checks that a card tells what its caller changed of the record in the last day.
func TestHistoryOfRecord(t *testing.T) {
	named := func(name string) string {
		return fmt.Sprintf(`[{"id":"%s","fullName":%q,"phoneE164":"+442079460123","email":null,"metadata":{"vip":1}}]`, anID, name)
	}
	rename := func(o *approvalWorld, who policy.Caller, from, to string) policy.Result {
		o.up.with(func(s *sippet) { s.record = named(from) })
		return o.do(t, who, "update_contact", update(anID, fmt.Sprintf(`"fullName":%q`, to)))
	}
	otherProgram := adaCaller
	otherProgram.Actor.Via = "stdio"
	erase := policy.Call{}
	for name, c := range map[string]struct {
		policy   string
		before   func(t *testing.T, o *approvalWorld)
		ask      policy.Call // erase
		warnings []string
		fact     string
	}{
		"nothing": {before: func(*testing.T, *approvalWorld) {}},
		"renamed": {before: func(_ *testing.T, o *approvalWorld) { rename(o, adaCaller, "Eleanor Marsh", "Test Entry") },
			warnings: []string{`renamed 2 minutes ago by this assistant, was "Eleanor Marsh"`}},
		"renamed by another": {before: func(_ *testing.T, o *approvalWorld) { rename(o, boCaller, "Eleanor Marsh", "Test Entry") }},
		"by another program": {before: func(_ *testing.T, o *approvalWorld) { rename(o, otherProgram, "Eleanor Marsh", "Test Entry") },
			warnings: []string{`renamed 2 minutes ago by ada, via stdio, was "Eleanor Marsh"`}},
		"to the same name": {before: func(_ *testing.T, o *approvalWorld) { rename(o, adaCaller, "Eleanor Marsh", "Eleanor Marsh") }},
		"another contact": {before: func(t *testing.T, o *approvalWorld) {
			const other = "1e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
			o.up.with(func(s *sippet) { s.numbers[other] = "+442079460188" })
			o.do(t, adaCaller, "update_contact", update(other, `"fullName":"Eleanor"`))
		}},
		"failed": {before: func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.fault = &schemas.Error{Outcome: schemas.UpstreamError, Message: "no"} })
			rename(o, adaCaller, "Eleanor Marsh", "Test Entry")
			o.up.with(func(s *sippet) { s.fault = nil })
		}},
		"a day before": {before: func(_ *testing.T, o *approvalWorld) {
			rename(o, adaCaller, "Eleanor Marsh", "Test Entry")
			o.clock.Add(24 * time.Hour)
		}},
		"unknown": {before: func(_ *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.fault, s.sent = lost, true })
			rename(o, adaCaller, "Eleanor Marsh", "Test Entry")
			o.up.with(func(s *sippet) { s.fault = nil })
		}, warnings: []string{`perhaps renamed 2 minutes ago by this assistant, was "Eleanor Marsh"`}},
		"hidden": {policy: "rules: [{id: hide, match: {roles: [\"!admin\"]}, redact: [Contact.fullName], reason: Private.}]\n",
			before:   func(_ *testing.T, o *approvalWorld) { rename(o, adaCaller, "Eleanor Marsh", "Test Entry") },
			warnings: []string{"renamed 2 minutes ago by this assistant"}},
		"escaped": {before: func(_ *testing.T, o *approvalWorld) { rename(o, adaCaller, "Ele\u202eanor\"", "Test Entry") },
			warnings: []string{`renamed 2 minutes ago by this assistant, was "Ele\u{202e}anor\""`}},
		"several fields": {before: func(t *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.record = named("Eleanor Marsh") })
			o.do(t, adaCaller, "update_contact", update(anID, `"metadata":{},"phoneE164":"+442079460124","email":"new@example.com","fullName":"Eleanor M"`))
		}, warnings: []string{`renamed 2 minutes ago by this assistant, was "Eleanor Marsh"; phoneE164 was "+442079460123"; email was empty; 1 more field`}},
		"no name": {before: func(t *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.record = named("Eleanor Marsh") })
			o.do(t, adaCaller, "update_contact", update(anID, `"metadata":{"a":2}`))
		}, fact: `metadata changed 2 minutes ago by this assistant, was "{\"vip\":1}".`},
		"made": {before: func(t *testing.T, o *approvalWorld) {
			o.do(t, adaCaller, "create_contact", `{"input":{"fullName":"Test Entry"}}`)
		},
			warnings: []string{"made 2 minutes ago by this assistant"}},
		"perhaps made": {before: func(t *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.fault, s.sent, s.record = lost, true, named("Test Entry") })
			o.do(t, adaCaller, "create_contact", `{"input":{"fullName":"Test Entry","phoneE164":"+442079460123"}}`)
			o.up.with(func(s *sippet) { s.fault = nil })
		}, warnings: []string{"perhaps made 2 minutes ago by this assistant"}},
		"many times": {before: func(_ *testing.T, o *approvalWorld) {
			for i, from := range []string{"Eleanor Marsh", "A", "B", "C", "D", "E"} {
				rename(o, adaCaller, from, string(rune('A'+i)))
				o.clock.Add(time.Minute)
			}
		}, warnings: []string{`renamed 3 minutes ago by this assistant, was "E"; and 5 more changes, before which fullName was "Eleanor Marsh"`},
			fact: `renamed 4 minutes ago by this assistant, was "D".renamed 5 minutes ago by this assistant, was "C".and 3 more changes.`},
		"erased here": {before: func(t *testing.T, o *approvalWorld) {
			rename(o, adaCaller, "Eleanor Marsh", "Test Entry")
			if _, err := o.Ledger.Erase(t.Context(), "contact:"+anID, ledger.Actor{Name: "root"}); err != nil {
				t.Fatal(err)
			}
		}, warnings: []string{"changed 2 minutes ago by this assistant; what was changed cannot be read any more"}},
		"erased at Sippet": {before: func(t *testing.T, o *approvalWorld) {
			id := o.ask(t, call(t, adaCaller, "archive_contact", `{"identity":"`+anID+`"}`))
			o.answer(t, id, bobPerson, approves)
			o.runOnce(t)
			if _, err := o.Ledger.Erase(t.Context(), "contact:"+anID, ledger.Actor{Name: "root"}); err != nil {
				t.Fatal(err)
			}
		}, fact: "archive_contact 2 minutes ago by this assistant."},
		"the same call": {before: func(t *testing.T, o *approvalWorld) {
			id := o.ask(t, call(t, adaCaller, "delete_contact", eraseContact))
			o.answer(t, id, bobPerson, approves)
			o.runOnce(t)
			o.MarkReported(t.Context(), o.status(t, id))
		}},
		"template": {before: func(t *testing.T, o *approvalWorld) {
			o.up.with(func(s *sippet) { s.record = `[{"id":"` + anID + `","name":"Welcome","body":"Hello"}]` })
			o.do(t, adaCaller, "update_email_template", update(anID, `"body":"Goodbye"`))
			o.do(t, adaCaller, "update_email_template", update("1e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11", `"name":"Other"`))
		}, ask: call(t, adaCaller, "delete_email_template", `{"identity":"`+anID+`"}`), fact: `body changed 2 minutes ago by this assistant, was "Hello".`},
		"no ledger": {before: func(_ *testing.T, o *approvalWorld) { o.Ledger = forgets{o.Ledger} }, fact: "could not be read."},
	} {
		t.Run(name, func(t *testing.T) {
			o := newApprovalWorld(t, dailyWork+c.policy)
			c.before(t, o)
			o.clock.Add(2 * time.Minute)
			if erase = call(t, adaCaller, "delete_contact", eraseContact); c.ask.Payload != nil {
				erase = c.ask
			}
			card := o.cardOf(t, erase)
			fact := ""
			for _, f := range card.Facts {
				if strings.HasPrefix(f.Name, "recent change") {
					fact += f.Value + "."
				}
			}
			if !slices.Equal(card.Warnings, c.warnings) || fact != c.fact || card.Own != (len(c.warnings) > 0) {
				t.Errorf("own %v\n%s\nfacts: %+v", card.Own, strings.Join(card.Warnings, "\n"), card.Facts)
			}
		})
	}
}

// forgets is a ledger that cannot read its history.
type forgets struct{ ledger.Ledger }

func (forgets) FindChanges(context.Context, ledger.ChangeFilter) ([]ledger.Change, int, error) {
	return nil, 0, errors.New("no store")
}

func (forgets) FindLatest(context.Context, ledger.Txn, time.Time) (map[string]ledger.Intent, error) {
	return nil, errors.New("no store")
}

// contactIDs are contacts, with numbers that end in 10 and so on.
func contactIDs(n int) (ids []string, numbers map[string]string) {
	numbers = map[string]string{}
	for i := range n {
		ids = append(ids, fmt.Sprintf("0e6f1a52-4f0e-4a3b-9a87-0000000000%02d", i))
		numbers[ids[i]] = fmt.Sprintf("+4420794601%02d", i+10)
	}
	return ids, numbers
}

func bulk(ids []string) string {
	return `{"input":{"contactIds":["` + strings.Join(ids, `","`) + `"]}}`
}

// TestManyChanges checks that a card says so if there are more changes than it looks at.
func TestManyChanges(t *testing.T) {
	o := newApprovalWorld(t, dailyWork)
	const person = `[{"id":"` + anID + `","fullName":"Walter Test","phoneE164":"+442079460123","email":null,"defaultLanguage":"en"}]`
	o.up.with(func(s *sippet) { s.record = strings.Replace(person, "Test", "Pym", 1) })
	o.do(t, adaCaller, "update_contact", update(anID, `"fullName":"Walter Test"`))
	o.up.with(func(s *sippet) { s.record = person })
	for i := range 200 {
		o.do(t, adaCaller, "update_contact", update(anID, fmt.Sprintf(`"defaultLanguage":"a%d"`, i)))
	}
	const want = "this assistant made 201 changes in the last day, and what was before the last 200 is not shown"
	if card := o.cardOf(t, call(t, adaCaller, "delete_contact", eraseContact)); !slices.Contains(card.Warnings, want) || !card.Own {
		t.Errorf("%q, own %v", card.Warnings, card.Own)
	}
}

// TestHistoryOfRecipients checks that a card tells which contacts that are rung its caller made, or
// gave a name or number.
func TestHistoryOfRecipients(t *testing.T) {
	ids, numbers := contactIDs(6)
	o := newApprovalWorld(t, dailyWork)
	warnings := func(t *testing.T, c policy.Call, want ...string) {
		t.Helper()
		card := o.cardOf(t, c)
		if !slices.Equal(card.Warnings, want) || card.Own != (len(want) > 0) {
			t.Errorf("own %v\n%s", card.Own, strings.Join(card.Warnings, "\n"))
		}
	}
	o.up.with(func(s *sippet) {
		s.numbers = numbers
		s.record = `[{"id":"` + ids[0] + `","fullName":"Eleanor Marsh","phoneE164":"+442079460199","metadata":{}},{"id":"` + ids[1] + `","fullName":"Kate","metadata":{}}]`
	})
	o.do(t, adaCaller, "update_contact", update(ids[2], `"metadata":{"a":1}`))
	warnings(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids)))
	o.do(t, adaCaller, "update_contact", update(ids[0], `"phoneE164":"`+numbers[ids[0]]+`"`))
	warnings(t, call(t, adaCaller, "start_outbound_call", `{"input":{"contactId":"`+ids[0]+`"}}`),
		`contact phoneE164 changed just now by this assistant, was "+442079460199"`)
	o.clock.Add(time.Minute)
	o.do(t, adaCaller, "update_contact", update(ids[0], `"fullName":"Ada M"`))
	o.do(t, adaCaller, "update_contact", update(ids[1], `"fullName":"Ada K"`))
	o.do(t, boCaller, "update_contact", update(ids[3], `"fullName":"Ada B"`))
	warnings(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:5])),
		`+44 20 7946 0111 "Ada": contact renamed just now by this assistant, was "Kate"; and 1 more contact that this assistant made or changed in the last day`)
	o.do(t, adaCaller, "update_contact", update(ids[2], `"fullName":"Ada C"`))
	o.do(t, adaCaller, "update_contact", update(ids[3], `"fullName":"Ada D"`))
	card := o.cardOf(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:4])))
	facts := []string{`+44 20 7946 0112 "Ada": contact renamed just now by this assistant`, `+44 20 7946 0111 "Ada": contact renamed just now by this assistant, was "Kate"`, "and 1 more change"}
	if len(card.Warnings) != 1 || !strings.HasSuffix(card.Warnings[0], "and 3 more contacts that this assistant made or changed in the last day") ||
		!slices.EqualFunc(card.Facts, facts, func(f approval.Line, want string) bool { return f.Value == want }) {
		t.Errorf("%q %+v", card.Warnings, card.Facts)
	}
	warnings(t, call(t, boCaller, "start_outbound_call", `{"input":{"contactId":"`+ids[0]+`"}}`))
}

// TestRungBefore checks that a card tells which recipients were rung in the last day, by any call of
// anybody.
func TestRungBefore(t *testing.T) {
	ids, numbers := contactIDs(12)
	o := newApprovalWorld(t, dailyWork)
	o.up.with(func(s *sippet) { s.numbers = numbers })
	ring := func(who policy.Caller, args string) string {
		t.Helper()
		id := o.ask(t, call(t, who, "start_outbound_call", args))
		o.answer(t, id, bobPerson, approves)
		o.runOnce(t)
		o.MarkReported(t.Context(), o.status(t, id))
		return id
	}
	warning := func(t *testing.T, c policy.Call, want string) approval.Card {
		t.Helper()
		card := o.cardOf(t, c)
		if got := strings.Join(card.Warnings, "\n"); got != want || card.Own {
			t.Errorf("own %v: %q, want %q", card.Own, got, want)
		}
		return card
	}
	contact := func(i int) string { return `{"input":{"contactId":"` + ids[i] + `"}}` }
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids)), "")
	ring(boCaller, contact(3))
	o.clock.Add(10 * time.Minute)
	warning(t, call(t, adaCaller, "start_outbound_call", contact(3)), "rung 10 minutes ago")
	warning(t, call(t, adaCaller, "start_outbound_call", contact(4)), "")
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:11])), `1 of the 11 was rung in the last day: +44 20 7946 0113 "Ada" 10 minutes ago`)
	// A number and a contact are one person.
	ring(boCaller, `{"input":{"phoneNumber":"`+numbers[ids[5]]+`"}}`)
	ring(adaCaller, contact(7))
	ring(adaCaller, contact(8))
	o.clock.Add(20 * time.Minute)
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:10])),
		`4 of the 10 were rung in the last day: +44 20 7946 0115 "Ada" 20 minutes ago, +44 20 7946 0117 "Ada" 20 minutes ago, +44 20 7946 0118 "Ada" 20 minutes ago and 1 more`)
	// So they are if the contact has got another number since.
	o.up.with(func(s *sippet) { s.numbers = map[string]string{ids[3]: "+442079460199"} })
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[3:4])), "rung 30 minutes ago")
	o.up.with(func(s *sippet) { s.numbers = numbers })
	// The line about the same call has said it.
	if card := warning(t, call(t, adaCaller, "start_outbound_call", contact(7)), ""); !strings.Contains(card.Earlier, "ran 20 minutes ago") {
		t.Error(card.Earlier)
	}
	o.up.with(func(s *sippet) { s.fault, s.sent = lost, true })
	ring(boCaller, contact(9))
	o.up.with(func(s *sippet) { s.fault = nil })
	o.clock.Add(time.Minute)
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[10:])), "")
	if card := warning(t, call(t, adaCaller, "start_outbound_call", contact(9)), ""); !strings.Contains(card.Earlier, "its outcome is unknown") {
		t.Error(card.Earlier)
	}
	o.clock.Add(24 * time.Hour)
	warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:6])), "")
	o.Ledger = forgets{o.Ledger}
	if card := warning(t, call(t, adaCaller, "start_bulk_outbound_call", bulk(ids[:3])), ""); len(card.Facts) != 2 {
		t.Errorf("%+v", card.Facts)
	}
}
