package tools_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// house is a policy with rules for agents and a rule for everybody.
const house = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}
rules:
  - {id: no-agents, match: {roles: [agent], classes: [destructive]}, decision: deny, reason: Agents delete nothing.}
  - {id: hide-birthdays, match: {roles: [agent]}, redact: [Contact.dateOfBirth, Contact.email], reason: Agents do not need them.}
  - {id: big, match: {actions: [create_contact]}, when: "input.fullName.size() > 40", decision: deny, reason: Too long.}
`

var agent = tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "bo", Via: "t1"}, ID: "t1", Person: "bo", Roles: []string{"agent"}, Credential: "t1"}, Interactive: true}

func toolsFor(t *testing.T, p *peer) (out []string) {
	t.Helper()
	if !p.modern {
		p.begin()
	}
	var list struct {
		Result struct{ Tools []struct{ Name string } }
	}
	if err := json.Unmarshal(p.send("tools/list", "{}", ""), &list); err != nil {
		t.Fatal(err)
	}
	for _, tool := range list.Result.Tools {
		out = append(out, tool.Name)
	}
	return out
}

// TestToolsOfCallersWithTokens checks that a caller with a token gets the tools that the policy
// could allow, and the person at this machine all.
func TestToolsOfCallersWithTokens(t *testing.T) {
	for _, modern := range []bool{false, true} {
		w := newWorld(t, setup{policy: house})
		mine := toolsFor(t, overHTTP(t, w.listen(t, agent), modern))
		all := toolsFor(t, overHTTP(t, w.listen(t, ada), modern))
		if len(all) != 54 || len(mine) != 54-6-2 {
			t.Errorf("%d of %d tools", len(mine), len(all))
		}
		for name, want := range map[string]bool{"list_contacts": true, "create_contact": true, "validate_action": true, "delete_contact": false, "end_call": false, "issue_operator_access_token": false} {
			if slices.Contains(mine, name) != want || !slices.Contains(all, name) {
				t.Errorf("%s is listed: %t", name, !want)
			}
		}
		// A tool that is not listed is denied.
		if r := overHTTP(t, w.listen(t, agent), modern).call("delete_contact", deleteArgs); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "Agents delete nothing") {
			t.Errorf("%s", r.Frame)
		}
	}
}

// TestHiddenFields checks that a hidden field is in no answer, and that a caller can neither ask
// for it nor filter or sort by it.
func TestHiddenFields(t *testing.T) {
	w := newWorld(t, setup{policy: house})
	asked := rpctest.OK(`[{"id":"` + anID + `","fullName":"Ada","dateOfBirth":"1815-12-10","date_of_birth":"1815-12-10","email":"ada@example.com"}]`)
	w.up.On("run", "list_contacts", func(r rpctest.Request) rpctest.Answer {
		if strings.Contains(string(r.Body), `"limit":250`) { // the gate reads for its decision
			return rpctest.Answer{Usual: true}
		}
		return asked(r)
	})
	w.up.On("run", "update_contact", rpctest.OK(`{"id":"`+anID+`","dateOfBirth":"1815-12-10","email":"ada@example.com"}`))
	p := overHTTP(t, w.listen(t, agent), true)
	for _, c := range [][2]string{{"list_contacts", `{}`}, {"list_contacts", `{"fields":["id","fullName"]}`}, {"update_contact", `{"identity":"` + anID + `","input":{"fullName":"Ada text"}}`}} {
		r := p.call(c[0], c[1])
		if r.outcome(t) != "done" || strings.Contains(string(r.Frame), "1815") || strings.Contains(string(r.Frame), "ada@example.com") {
			t.Errorf("%s", r.Frame)
		}
	}
	// Nor in an answer of an unexpected shape.
	for _, odd := range []string{`{"data":[{"email":"ada@example.com"}]}`, `[[{"email":"ada@example.com"}]]`, `{"results":{"email":"ada@example.com"}}`, `[{"contact":{"email":"ada@example.com"}}]`} {
		w.up.On("run", "list_contacts", rpctest.OK(odd))
		if r := p.call("list_contacts", `{"fields":["id"]}`); strings.Contains(string(r.Frame), "ada@example.com") {
			t.Errorf("%s: %s", odd, r.Frame)
		}
	}
	w.up.On("run", "list_contacts", rpctest.OK(`[{"id":"`+anID+`","dateOfBirth":"1815-12-10"}]`))
	for _, q := range w.up.Requests() {
		if strings.Contains(string(q.Body), "dateOfBirth") || strings.Contains(string(q.Body), `"email"`) {
			t.Errorf("asked for: %s", q.Body)
		}
	}
	w.up.Forget()
	for _, args := range []string{`{"fields":["id","dateOfBirth"]}`, `{"filter":{"dateOfBirth":{"greaterThan":"1815-01-01"}}}`, `{"filter":{"not":[{"or":[{"email":{"like":"a%"}}]}]}}`, `{"sort":"-id,++dateOfBirth"}`} {
		r := p.call("list_contacts", args)
		if r.outcome(t) != "invalid_arguments" || !strings.Contains(string(r.Frame), "hidden from this caller by the policy") || len(w.up.Requests()) != 0 {
			t.Errorf("%s: %s", args, r.Frame)
		}
	}
	// Other callers see them.
	if r := overHTTP(t, w.listen(t, ada), true).call("list_contacts", `{"fields":["id","dateOfBirth"]}`); !strings.Contains(string(r.Frame), "1815") {
		t.Errorf("%s", r.Frame)
	}
}

// TestNoCommandForTokens checks that a caller with a token gets no command line for this machine.
func TestNoCommandForTokens(t *testing.T) {
	w := newWorld(t, setup{policy: house})
	for caller, want := range map[*tools.Caller]bool{&agent: false, &ada: true} {
		p := overHTTP(t, w.listen(t, *caller), true)
		p.call("create_contact", createArgs)
		if r := p.call("create_contact", createArgs); r.outcome(t) != "recorded" || strings.Contains(string(r.Frame), "sippet-mcp call") != want {
			t.Errorf("%s", r.Frame)
		}
	}
}

// TestOwnOrganisation checks that a caller with a runner of their own uses that organisation only.
func TestOwnOrganisation(t *testing.T) {
	here, there := newWorld(t, setup{}), newWorld(t, setup{})
	there.gate.Organisation, there.gate.Ledger = "there", here.gate.Ledger
	other := agent
	other.Runner = there.runner
	p, q := overHTTP(t, here.listen(t, agent), true), overHTTP(t, here.listen(t, other), true)
	for _, c := range []*peer{p, q} {
		if r := c.call("create_contact", createArgs); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
	}
	if a, b := runs(here.up.Requests()), runs(there.up.Requests()); a != 1 || b != 1 {
		t.Errorf("%d runs here, %d there", a, b)
	}
	// An approval for one organisation does not count in the other.
	state := p.callOnce("delete_contact", deleteArgs, "").Result.RequestState
	if r := q.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "another call") {
		t.Errorf("%s", r.Frame)
	}
}

// TestStatedNumber checks that an approval of calls to more than ten people counts only if it
// states their number, and that the request stays pending until one does.
func TestStatedNumber(t *testing.T) {
	args := `{"input":{"groupId":"` + anID + `","contactLimit":12}}`
	transports(t, func() setup { return setup{} }, func(t *testing.T, w *world, p *peer) {
		for _, answer := range []string{accepts, `{"action":"accept","content":{"approve":true,"people":11}}`, `{"action":"accept","content":{"approve":true,"people":"12"}}`,
			`{"action":"accept","content":{"approve":true,"people":12.5}}`, `{"action":"accept","content":{"approve":false,"people":12}}`} {
			p.answer = always(answer)
			if r := p.call("start_bulk_outbound_call", args); r.outcome(t) != "approval_pending" || !strings.Contains(r.text(t, "message"), "no clear answer") || runs(w.up.Requests()) != 0 {
				t.Errorf("%s: %s", answer, r.Frame)
			}
		}
		p.answer = always(`{"action":"accept","content":{"approve":true,"people":12}}`)
		if r := p.call("start_bulk_outbound_call", args); r.outcome(t) != "done" || runs(w.up.Requests()) != 1 || len(p.elicitations()) != 6 {
			t.Errorf("%s", r.Frame)
		}
	})
}
