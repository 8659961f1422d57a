package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// machine is random calls, answers and replays by several callers, under
// several policies at once over one store of grants, beside a model that is
// written from the promises and not from the code: which of them may run.
type machine struct {
	t      *testing.T
	up     *rpctest.Server
	worlds []*world
	clock  *ledgertest.Clock
	broken bool // validate refuses

	questions []*asked
	// ran is the latest run of each call that must not be repeated by accident.
	ran     map[string]ran
	used    int
	checked int // requests that were looked at
}

// ran is a run that succeeded: when, and which yes it spent.
type ran struct {
	at    time.Time
	state string
}

// window is how long a run stands in the way of the same call.
const window = 10 * time.Minute

// before gives the latest run of the same call by the same caller, if that still stands in its way.
func (m *machine) before(who, action, args string) (ran, bool) {
	r, ok := m.ran[who+action+args]
	return r, ok && r.at.After(m.now().Add(-window))
}

func (m *machine) runs(who, action, args, state string) {
	if a, err := schemas.Find(action); err == nil && a.Class != schemas.Read && !a.Idempotent {
		m.ran[who+action+args] = ran{m.now(), state}
	}
	if action == "delete_contact" {
		for _, q := range m.questions {
			// Its card was sealed under the contact's key too, which went with the contact.
			q.gone = q.gone || q.action == "start_bulk_outbound_call"
		}
	}
}

// lifecycle is what a run sends: updates look first at what they replace.
func (m *machine) lifecycle(action string) []string {
	if action == "update_contact" {
		return []string{"validate", "run", "run"}
	}
	return []string{"validate", "run"}
}

func (m *machine) now() time.Time { return m.clock.Now() }

// asked is a question as the model knows it.
type asked struct {
	state             string
	world             int
	who, action, args string
	expires           time.Time
	// repeats is the run that its card told of.
	repeats ran
	// how it stands: "", yes, no, spent, withdrawn
	stand string
	// gone says that its card is, with somebody who was erased.
	gone bool
}

var (
	propertyPolicies = []string{plainDesktop, plainTeam, "unattended", "read-only", confirmAll}
	propertyActions  = []string{"list_contacts", "update_contact", "create_contact", "delete_contact", "end_call", "start_outbound_call", "start_bulk_outbound_call", "issue_operator_access_token"}
	propertyCallers  = []string{"ada", "bo", "eve"}
	propertyAnswers  = []string{accepts, accepts, accepts, unticks, refuses, cancels, `{"action":"accept"}`}
)

// Two profiles without their budgets, which a long run would spend.
const (
	plainDesktop = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}
`
	plainTeam = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: approve, credential: deny}
  action: {start_bulk_outbound_call: approve, end_call: confirm}
`
)

// failing is a policy whose every decision about a ring fails.
const failing = plainDesktop + `rules: [{id: fails, match: {actions: ["start_*"]}, when: "recipients[99].number == ''", decision: confirm, reason: It cannot be decided.}]
`

// argsOf gives two payloads for each action, without a reason, which is no part of either.
func argsOf(action string, second bool) string {
	s := strings.NewReplacer(`,"reason":"asked to be forgotten"`, "", `,"reason":"abuse"`, "").Replace(samples[action])
	if s == "" {
		s = `{"fields":["id"]}`
	}
	if second {
		s = strings.NewReplacer(anID, anotherID, anotherID, anID, "c-1", "c-2", "0123", "0124", `["id"]`, `["id","email"]`, "a@example", "b@example").Replace(s)
	}
	return s
}

func TestRandomCalls(t *testing.T) {
	m := &machine{t: t, up: rpctest.New(t)}
	store := &swapped{}
	for i, p := range propertyPolicies {
		// What is only watched must not matter: the next policy is, whether stricter or milder, and one that always fails.
		shadow := propertyPolicies[(i+2)%len(propertyPolicies)]
		if !strings.Contains(shadow, "\n") {
			shadow = failing
		}
		w := newWorld(t, setup{policy: p, shadow: shadow, up: m.up, ledger: store, now: func() time.Time { return m.now() }})
		m.worlds = append(m.worlds, w)
	}
	m.up.On("validate", "", func(rpctest.Request) rpctest.Answer {
		if m.broken {
			return rpctest.Refuse("invalid_attribute", "is invalid")(rpctest.Request{})
		}
		return rpctest.Answer{Usual: true}
	})
	rapid.Check(t, func(rt *rapid.T) {
		m.clock, m.broken, m.questions, m.ran, m.used, m.checked = ledgertest.NewClock(noon), false, nil, map[string]ran{}, 0, 0
		l, err := ledger.Open(t.Context(), ledger.Options{Dir: t.TempDir(), Now: m.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		store.Ledger = l
		m.up.Forget()
		rt.Repeat(map[string]func(*rapid.T){
			"call":   m.call,
			"answer": m.answer,
			"replay": m.replay,
			"time": func(rt *rapid.T) {
				m.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 7, 30, 40, 300, 601}).Draw(rt, "seconds")) * time.Second)
			},
			"validate": func(rt *rapid.T) { m.broken = rapid.Bool().Draw(rt, "broken") },
			"":         m.check,
		})
	})
}

// swapped lets every run of the property begin with an empty ledger.
type swapped struct{ ledger.Ledger }

func (m *machine) call(rt *rapid.T) {
	w := rapid.IntRange(0, len(m.worlds)-1).Draw(rt, "policy")
	who := rapid.SampledFrom(propertyCallers).Draw(rt, "caller")
	action := rapid.SampledFrom(propertyActions).Draw(rt, "action")
	args := argsOf(action, rapid.Bool().Draw(rt, "second"))
	sent := args
	if action != "list_contacts" && rapid.Bool().Draw(rt, "reason") {
		sent = strings.TrimSuffix(args, "}") + `,"reason":"because"}`
	}
	r := m.send(rt, w, who, action, sent, "", "")
	met := func(outcome string, endpoints ...string) {
		rt.Helper()
		m.expect(rt, r, outcome, slices.Concat(m.looks(w, action), endpoints)...)
	}
	switch m.decision(w, action) {
	case rules.Allow:
		met("done", "run")
	case rules.Validate:
		_, before := m.before(who, action, args)
		switch {
		case before:
			met("recorded")
		case m.broken:
			met("validation_failed", "validate")
		default:
			m.runs(who, action, args, "")
			met("done", m.lifecycle(action)...)
		}
	case rules.Confirm:
		waiting := 0
		for _, q := range m.questions {
			if m.open(q) && !(q.world == w && q.who == who && q.action == action && q.args == args) {
				waiting++
			}
		}
		switch {
		case m.broken:
			met("validation_failed", "validate")
		case waiting >= ledger.MaxPending:
			met("unavailable", "validate")
		default:
			asks := []string{"validate"}
			if m.worlds[w].payload(m.t, action, args).AboutRead() != nil {
				asks = append(asks, "run") // what it is about is looked at, for the card
			}
			met("input_required", asks...)
			for _, q := range m.questions {
				if m.open(q) && q.world == w && q.who == who && q.action == action && q.args == args {
					q.stand = "withdrawn"
				}
			}
			q := &asked{state: r.Result.RequestState, world: w, who: who, action: action, args: args, expires: m.now().Add(time.Minute)}
			before := false
			if q.repeats, before = m.before(who, action, args); before != strings.Contains(string(r.Frame), "The same call ran") {
				rt.Fatalf("ran before: %t, and the card: %s", before, r.Frame)
			} else if !before {
				q.repeats = ran{}
			}
			m.questions = append(m.questions, q)
		}
	default:
		met("denied")
	}
}

func (m *machine) open(q *asked) bool { return q.stand == "" && m.now().Before(q.expires) }

func (m *machine) decision(w int, action string) rules.Decision {
	v, _ := m.worlds[w].met(m.t, policy.Caller{}, action, argsOf(action, false))
	return v.Decision
}

// looks is what the gate reads before it decides, in a world where it might run at all.
func (m *machine) looks(w int, action string) []string {
	_, looks := m.worlds[w].met(m.t, policy.Caller{}, action, argsOf(action, false))
	return slices.Repeat([]string{"run"}, len(looks))
}

// answer brings a person's answer to the very call that was asked about.
func (m *machine) answer(rt *rapid.T) {
	if len(m.questions) == 0 {
		rt.Skip()
	}
	q := rapid.SampledFrom(m.questions).Draw(rt, "question")
	m.bring(rt, q, q.world, q.who, q.action, q.args, rapid.SampledFrom(propertyAnswers).Draw(rt, "answer"), q.state)
}

// replay brings one with anything about it changed.
func (m *machine) replay(rt *rapid.T) {
	if len(m.questions) == 0 {
		rt.Skip()
	}
	q := rapid.SampledFrom(m.questions).Draw(rt, "question")
	action := rapid.SampledFrom([]string{q.action, rapid.SampledFrom(propertyActions).Draw(rt, "other action")}).Draw(rt, "action")
	args := rapid.SampledFrom([]string{argsOf(action, false), argsOf(action, true)}).Draw(rt, "args")
	state := rapid.SampledFrom([]string{q.state, q.state, q.state, q.state + "0", "0123456789abcdef0123456789abcdef"}).Draw(rt, "state")
	m.bring(rt, q, rapid.IntRange(0, len(m.worlds)-1).Draw(rt, "policy"), rapid.SampledFrom(propertyCallers).Draw(rt, "caller"),
		action, args, rapid.SampledFrom(propertyAnswers).Draw(rt, "answer"), state)
}

func (m *machine) bring(rt *rapid.T, q *asked, w int, who, action, args, answer, state string) {
	r := m.send(rt, w, who, action, args, state, answer)
	fits := state == q.state && w == q.world && who == q.who && action == q.action && args == q.args
	latest, before := m.before(q.who, q.action, q.args)
	looks := m.looks(q.world, q.action)
	switch {
	case fits && q.stand == "spent" && answer == accepts && before && latest.state == q.state:
		// The request whose yes was spent comes again: it hears what came of it.
		m.expect(rt, r, "recorded")
	case !fits, q.stand == "spent", q.stand == "withdrawn", q.stand == "" && !m.now().Before(q.expires):
		// Whatever the answer is, it does nothing, and asks Sippet nothing. Only its outcome may say what the policy would.
		m.expect(rt, r, "denied")
	case q.stand == "no":
		m.expect(rt, r, "declined")
	case q.gone && answer == accepts:
		m.expect(rt, r, "denied") // nobody can have read it
	case answer != accepts:
		q.stand = "no"
		m.expect(rt, r, "declined")
	case m.broken:
		q.stand = "withdrawn" // an answer is to one attempt
		m.expect(rt, r, "validation_failed", append(looks, "validate")...)
	case before && latest != q.repeats:
		// The same ran after the card was shown, so the yes was given without knowing of it.
		q.stand = "withdrawn"
		m.expect(rt, r, "recorded", append(looks, "validate")...)
	default:
		q.stand = "spent"
		m.used++
		m.runs(who, action, args, state)
		m.expect(rt, r, "done", append(looks, m.lifecycle(action)...)...)
	}
}

// expect compares what reached upstream since the last look, and the outcome.
func (m *machine) expect(rt *rapid.T, r *reply, outcome string, endpoints ...string) {
	rt.Helper()
	got := r.Result.ResultType
	if got != "input_required" {
		got = r.outcome(m.t)
		checkShape(m.t, r)
	}
	var reached []string
	for _, q := range m.up.Requests()[m.checked:] {
		reached = append(reached, q.Endpoint)
	}
	if got != outcome || !slices.Equal(reached, endpoints) {
		rt.Fatalf("outcome %s and %v upstream, want %s and %v: %s", got, reached, outcome, endpoints, r.Frame)
	}
	all := m.up.Requests()
	for _, first := range all[m.checked:] {
		if last := all[len(all)-1]; first.Endpoint == "validate" && last.Action == first.Action && string(first.Body) != string(last.Body) {
			rt.Fatalf("run and validate of one pass have other bytes:\n%s\n%s", first.Body, last.Body)
		}
	}
	m.checked = len(all)
}

// check looks at the recording as a whole, without the model.
func (m *machine) check(rt *rapid.T) {
	all := m.up.Requests()
	confirmed := 0
	for i, r := range all {
		a, err := schemas.Find(r.Action)
		if err != nil {
			rt.Fatal(err)
		}
		if a.Class == schemas.Credential {
			rt.Fatalf("a credential reached %s", r.Endpoint)
		}
		if r.Endpoint != "run" {
			continue
		}
		validated := i - len(m.lifecycle(r.Action)) + 1 // the validate comes first on it
		if a.Class != schemas.Read && (validated < 0 || all[validated].Endpoint != "validate" || string(all[validated].Body) != string(r.Body)) {
			rt.Fatalf("run without validate of the same bytes before it: %s", r.Body)
		}
		if a.Class == schemas.Outbound || a.Class == schemas.Destructive {
			confirmed++
		}
	}
	if confirmed > m.used {
		rt.Fatalf("%d actions ran that every policy here asks for, and %d answers were spent", confirmed, m.used)
	}
}

// send makes a modern tools/call without a transport.
func (m *machine) send(rt *rapid.T, w int, who, action, args, state, answer string) *reply {
	params := `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}},"name":"` + action + `","arguments":` + args
	if state != "" {
		params += fmt.Sprintf(`,"inputResponses":{"approve":%s},"requestState":%q`, answer, state)
	}
	ctx := tools.WithCaller(context.Background(), tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: who}}, Interactive: true})
	res := m.worlds[w].server.MCP.HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}}`))
	r := &reply{Frame: mustJSON(res)}
	if err := json.Unmarshal(r.Frame, r); err != nil {
		rt.Fatal(err)
	}
	return r
}
