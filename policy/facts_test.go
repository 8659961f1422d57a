package policy_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// records is an upstream that answers each read as a test sets it, by the action.
type records struct {
	upstream
	answers map[string]string
	reads   []string
}

const none = `{"results":[],"hasMore":false}`

func (u *records) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	u.reads = append(u.reads, string(r.Body))
	switch answer := u.answers[r.Action]; answer {
	case "":
		return rpc.Result{Sent: true, Data: json.RawMessage(none)}, nil
	case "fails":
		return rpc.Result{}, &schemas.Error{Outcome: schemas.Unavailable, Message: "no connection"}
	case "lost":
		return rpc.Result{Sent: true}, lost
	default:
		return rpc.Result{Sent: true, Data: json.RawMessage(answer)}, nil
	}
}

// askFacts makes the card of a call under a policy that lets a person confirm everything, with rules of
// text, and returns its facts and warnings but those about the record.
func askFacts(t *testing.T, u *records, text, action, args string) []string {
	t.Helper()
	o := newApprovalWorld(t, head+"defaults: {class: {read: confirm, write: confirm, outbound: confirm, destructive: confirm}}\n"+text)
	o.Upstream = u
	res := o.Do(t.Context(), call(t, adaCaller, action, args))
	if res.Pending == nil {
		t.Fatalf("no card: %v", res.Err)
	}
	var out []string
	for _, l := range res.Pending.Card.Facts {
		if strings.Contains("agent operator number goes stays at Sippet stays here", l.Name) {
			out = append(out, l.Name+": "+l.Value)
		}
	}
	for _, w := range res.Pending.Card.Warnings {
		out = append(out, "warning: "+w)
	}
	return out
}

const anAgent = "7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b30"

func agentRow(members string) string {
	return `{"results":[{"id":"` + anAgent + `",` + members + `}],"hasMore":false}`
}

// TestAgentFact checks that a card names the agent of a call, and says whether it is published.
func TestAgentFact(t *testing.T) {
	ring := `{"input":{"contactId":"` + anID + `","aiAgentId":"` + anAgent + `"}}`
	owner := func(kind string) string {
		return `{"identity":"` + anID + `","input":{` + kind + `"ownerId":"` + anAgent + `"}}`
	}
	const hidden = `rules: [{id: hide, match: {roles: ["!admin"]}, redact: [AiAgent.name], reason: Private.}]`
	contact := `{"results":[{"id":"` + anID + `","fullName":"Ada","phoneE164":"+447700900107","erasedAt":null,"deletedAt":null}],"hasMore":false}`
	for name, c := range map[string]struct{ action, args, policy, agents, want string }{
		"published":          {"start_outbound_call", ring, "", agentRow(`"name":"Finn","published":true`), `agent: "Finn", published`},
		"not published":      {"start_outbound_call", ring, "", agentRow(`"name":"Otto","published":false`), "agent: \"Otto\", not published\nwarning: the agent is not published"},
		"bulk":               {"start_bulk_outbound_call", `{"input":{"contactIds":["` + anID + `"],"aiAgentId":"` + anAgent + `"}}`, "", agentRow(`"name":"Finn","published":true`), `agent: "Finn", published`},
		"name with a quote":  {"start_outbound_call", ring, "", agentRow(`"name":"Finn\", published","published":false`), "agent: \"Finn\\\", published\", not published\nwarning: the agent is not published"},
		"hidden name":        {"start_outbound_call", ring, hidden, agentRow(`"name":"Finn","published":true`), `agent: hidden from the requester, published`},
		"nameless":           {"start_outbound_call", ring, "", agentRow(`"name":null,"published":null`), `agent: has no name`},
		"not found":          {"start_outbound_call", ring, "", none, `agent: no agent has this id`},
		"another":            {"start_outbound_call", ring, "", `[{"id":"` + anID + `","name":"Eve","published":true}]`, `agent: no agent has this id`},
		"unreadable":         {"start_outbound_call", ring, "", "fails", `agent: could not be read`},
		"no list":            {"start_outbound_call", ring, "", `{}`, `agent: could not be read`},
		"none given":         {"start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, "", agentRow(`"name":"Finn","published":true`), ``},
		"owner":              {"update_email_identity", owner(`"ownerType":"ai_agent",`), "", agentRow(`"name":"Iris","published":true`), `agent: "Iris", published`},
		"owner of some kind": {"update_email_identity", owner(``), "", none, `agent: no agent has this id`},
		"owner is a user":    {"update_email_identity", owner(`"ownerType":"user",`), "", agentRow(`"name":"Iris","published":true`), ``},
	} {
		t.Run(name, func(t *testing.T) {
			u := &records{answers: map[string]string{"list_contacts": contact, "list_ai_agents": c.agents}}
			if got := strings.Join(askFacts(t, u, c.policy, c.action, c.args), "\n"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestOperatorFact checks that a card names the operator that the call acts for.
func TestOperatorFact(t *testing.T) {
	live := `{"input":{"callUuid":"c-1"}}`
	const hidden = `rules: [{id: hide, match: {roles: ["!admin"]}, redact: [User.fullName], reason: Private.}]`
	for name, c := range map[string]struct{ action, args, policy, me, want string }{
		"accept":          {"accept_call_queue_entry", `{"identity":"` + anID + `"}`, "", `{"id":"x","fullName":"Ann Lee","email":"ann@example.com"}`, `operator: "Ann Lee"`},
		"barge":           {"barge_call", live, "", `{"id":"x","fullName":"Ann Lee"}`, `operator: "Ann Lee"`},
		"leave":           {"leave_call", live, "", `{"id":"x","fullName":"Ann Lee"}`, `operator: "Ann Lee"`},
		"resume":          {"resume_ai_call", live, "", `{"id":"x","fullName":"Ann Lee"}`, `operator: "Ann Lee"`},
		"only an address": {"barge_call", live, "", `{"id":"x","fullName":" ","email":"ann@example.com"}`, `operator: "ann@example.com"`},
		"hidden":          {"barge_call", live, hidden, `{"id":"x","fullName":"Ann Lee","email":"ann@example.com"}`, `operator: hidden from the requester`},
		"unreadable":      {"barge_call", live, "", "fails", `operator: could not be read`},
		"no record":       {"barge_call", live, "", "null", `operator: could not be read`},
		"hang up":         {"end_call", live, "", `{"id":"x","fullName":"Ann Lee"}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			u := &records{answers: map[string]string{"who_am_i": c.me}}
			if got := strings.Join(askFacts(t, u, c.policy, c.action, c.args), "\n"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestNumberFact checks that a card says which contact has a number that the caller gave.
func TestNumberFact(t *testing.T) {
	row := func(id, name, number, deleted string) string {
		return `{"id":"` + id + `","fullName":"` + name + `","phoneE164":"` + number + `","erasedAt":null,"deletedAt":` + deleted + `}`
	}
	page := func(rows ...string) string { return `{"results":[` + strings.Join(rows, ",") + `],"hasMore":false}` }
	hide := func(field string) string {
		return `rules: [{id: hide, match: {roles: ["!admin"]}, redact: [Contact.` + field + `], reason: Private.}]`
	}
	const number, other = "+442079460123", "+447700900107"
	ada, bea := row(anID, "Ada", number, "null"), row(anAgent, "Bea", number, `"2026-01-01T00:00:00Z"`)
	for name, c := range map[string]struct{ action, args, policy, contacts, want string }{
		"one":          {"start_outbound_call", ringNumber, "", page(ada), `number: +44 20 7946 0123 "Ada"`},
		"archived":     {"start_outbound_call", ringNumber, "", page(bea), `number: +44 20 7946 0123 "Bea" (archived)`},
		"several":      {"start_outbound_call", ringNumber, "", page(bea, ada), `number: +44 20 7946 0123: 2 contacts have this number: "Ada", "Bea" (archived)`},
		"none":         {"start_outbound_call", ringNumber, "", page(), `number: +44 20 7946 0123 is not in your contacts`},
		"another":      {"start_outbound_call", ringNumber, "", page(row(anID, "Eve", other, "null")), `number: +44 20 7946 0123 is not in your contacts`},
		"hidden name":  {"start_outbound_call", ringNumber, hide("fullName"), page(ada), `number: +44 20 7946 0123 contact ` + anID},
		"hidden":       {"start_outbound_call", ringNumber, hide("phoneE164"), page(ada), `number: the contacts with this number are hidden from the requester`},
		"unreadable":   {"start_outbound_call", ringNumber, "", "fails", `number: whether a contact has it could not be read`},
		"more":         {"start_outbound_call", ringNumber, "", `{"results":[` + ada + `],"hasMore":true}`, `number: whether a contact has it could not be read`},
		"record":       {"create_call", `{"input":{"direction":"inbound","fromNumber":"` + other + `","toNumber":"` + number + `","callUuid":"u-1"}}`, "", page(ada), "number: +44 20 7946 0123 \"Ada\"\nnumber: +44 7700 900107 is not in your contacts"},
		"read":         {"list_calls", `{"filter":{"fromNumber":{"eq":"` + number + `"}}}`, "", page(ada), `number: +44 20 7946 0123 "Ada"`},
		"many":         {"list_calls", `{"filter":{"fromNumber":{"in":["+447700900101","+447700900102","+447700900103","+447700900104","+447700900105","+447700900106"]}}}`, "", page(), "number: +44 7700 900101 is not in your contacts\nnumber: +44 7700 900102 is not in your contacts\nnumber: +44 7700 900103 is not in your contacts\nnumber: +44 7700 900104 is not in your contacts\nnumber: +44 7700 900105 is not in your contacts\nnumber: 1 more, not looked up in your contacts"},
		"own contacts": {"start_outbound_call", `{"input":{"contactId":"` + anID + `"}}`, "", page(ada), ``},
	} {
		t.Run(name, func(t *testing.T) {
			u := &records{answers: map[string]string{"list_contacts": c.contacts}}
			if got := strings.Join(askFacts(t, u, c.policy, c.action, c.args), "\n"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestNumberFactIsSealed checks that erasing the contact of a number erases its name from the request.
func TestNumberFactIsSealed(t *testing.T) {
	o := newApprovalWorld(t, house)
	o.Upstream = &records{answers: map[string]string{"list_contacts": `{"results":[{"id":"` + anID + `","fullName":"Ada","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null}],"hasMore":false}`}}
	id := o.ask(t, call(t, adaCaller, "start_outbound_call", ringNumber))
	if card := string(o.request(t, id).Card); !strings.Contains(card, "Ada") {
		t.Fatal(card)
	}
	if _, err := o.Ledger.Erase(t.Context(), "contact:"+anID, ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	if card := string(o.request(t, id).Card); strings.Contains(card, "Ada") {
		t.Error(card)
	}
}

// TestOwnNumberFact checks that a caller who gives a known name to a stranger's number cannot ring it
// under that name unnoticed.
func TestOwnNumberFact(t *testing.T) {
	const number = "+447700900999"
	for answer, want := range map[string]string{
		`{"id":"` + anID + `"}`: "contact made just now by this assistant",
		"lost":                  "contact perhaps made just now by this assistant",
	} {
		o := newApprovalWorld(t, dailyWork)
		o.Upstream = &records{answers: map[string]string{"create_contact": answer}}
		o.do(t, adaCaller, "create_contact", `{"input":{"fullName":"Hannah Blythe","phoneE164":"`+number+`"}}`)
		o.Upstream = &records{answers: map[string]string{"list_contacts": `{"results":[{"id":"` + anID + `","fullName":"Hannah Blythe","phoneE164":"` + number + `","erasedAt":null,"deletedAt":null}],"hasMore":false}`}}
		card := o.cardOf(t, call(t, adaCaller, "start_outbound_call", `{"input":{"phoneNumber":"`+number+`"}}`))
		if len(card.Warnings) != 1 || !strings.Contains(card.Warnings[0], want) || !card.Own {
			t.Errorf("%s: %q %+v", answer, card.Warnings, card.Facts)
		}
	}
}

// TestErasureFacts checks that a card says what an erasure erases, and what it leaves.
func TestErasureFacts(t *testing.T) {
	person := `[{"id":"` + anID + `","fullName":"Ada","phoneE164":"+447700900107","email":null,"dateOfBirth":"1979-04-12","whatsappJid":"","metadata":{"vip":true,"a \"b\"":1},"languages":["en"],"defaultLanguage":"en"}]`
	const stays = "stays here: when it was erased and who did it, in the audit log, without name and number"
	full := strings.Repeat(`{"id":"1"},`, 249) + `{"id":"1"}`
	for name, c := range map[string]struct {
		policy  string
		answers map[string]string
		want    []string
	}{
		"all": {"", map[string]string{"list_contacts": person, "list_calls": `[{"id":"1"},{"id":"2"},{"id":"3"}]`, "list_conversations": `{"results":[{"id":"1"}],"hasMore":false}`},
			[]string{`goes: name, birthday, number, metadata ("a \"b\"", "vip"), languages`,
				"stays at Sippet: 3 calls (numbers, recordings, transcripts, summaries), 1 conversation (messages, summaries); this API cannot erase them", stays}},
		"nothing left": {"", map[string]string{"list_contacts": `[{"id":"` + anID + `","metadata":{}}]`},
			[]string{"goes: nothing: it is empty already", "stays at Sippet: nothing that this API finds by its id or number", stays}},
		"more than a page": {"", map[string]string{"list_contacts": person, "list_calls": "[]", "list_conversations": `{"results":[` + full + `],"hasMore":true}`},
			[]string{`goes: name, birthday, number, metadata ("a \"b\"", "vip"), languages`,
				"stays at Sippet: 250 or more conversations (messages, summaries); this API cannot erase them", stays}},
		"unreadable": {"", map[string]string{"list_contacts": "fails", "list_calls": "fails", "list_call_queue_entries": "fails", "list_conversations": `{}`},
			[]string{"goes: could not be read", "stays at Sippet: calls that could not be counted, conversations that could not be counted; this API cannot erase them", stays}},
		"not found": {"", map[string]string{"list_contacts": "[]"},
			[]string{"goes: nothing: the record was not found", "stays at Sippet: nothing that this API finds by its id", stays}},
		"hidden and empty": {`rules: [{id: hide, match: {roles: ["!admin"]}, redact: [Contact.metadata], reason: Private.}]`, map[string]string{"list_contacts": `[{"id":"` + anID + `","fullName":"Ada","metadata":{}}]`},
			[]string{"goes: name, what is hidden from the requester", "stays at Sippet: nothing that this API finds by its id or number", stays}},
		"hidden": {`rules: [{id: hide, match: {roles: ["!admin"]}, redact: [Contact.metadata, Contact.dateOfBirth], reason: Private.}]`, map[string]string{"list_contacts": person},
			[]string{"goes: name, number, languages, what is hidden from the requester", "stays at Sippet: nothing that this API finds by its id or number", stays}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &records{answers: c.answers}
			if got := askFacts(t, u, c.policy, "delete_contact", eraseContact); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			finds := func(read string) bool { return strings.Contains(read, `"fromNumber":{"eq":"+447700900107"}`) }
			if slices.ContainsFunc(u.reads, finds) != (c.answers["list_contacts"] == person) {
				t.Errorf("calls are searched by number: %s", u.reads)
			}
		})
	}
}

// TestFactsAreReadForACardOnly checks that a call without a card reads nothing for one.
func TestFactsAreReadForACardOnly(t *testing.T) {
	o := newApprovalWorld(t, head+"defaults: {class: {outbound: validate}}\n")
	u := &records{answers: map[string]string{}}
	o.Upstream = u
	o.Do(t.Context(), policy.Call{Caller: adaCaller, Payload: call(t, adaCaller, "start_outbound_call", ringNumber).Payload})
	o.Do(t.Context(), policy.Call{Caller: adaCaller, Payload: call(t, adaCaller, "barge_call", `{"input":{"callUuid":"c-1"}}`).Payload})
	if len(u.reads) != 2 || strings.Contains(strings.Join(u.reads, ""), "list_") {
		t.Errorf("%q", u.reads)
	}
}
