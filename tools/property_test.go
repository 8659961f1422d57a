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

	"github.com/sippet-ai/sippet-mcp/policy"
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
	now    time.Time
	broken bool // validate refuses

	questions []*asked
	spent     int
	checked   int // requests that were looked at
}

// asked is a question as the model knows it.
type asked struct {
	state             string
	world             int
	who, action, args string
	expires           time.Time
	// how it stands: "", yes, no, spent, withdrawn
	stand string
}

var (
	propertyPolicies = []string{"desktop", "team", "unattended", "read-only", confirmAll}
	propertyActions  = []string{"list_contacts", "update_contact", "delete_contact", "end_call", "start_outbound_call", "start_bulk_outbound_call", "issue_operator_access_token"}
	propertyCallers  = []string{"ada", "bo", "eve"}
	propertyAnswers  = []string{accepts, accepts, accepts, unticks, refuses, cancels, `{"action":"accept"}`}
)

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
	grants := &swapped{}
	for _, p := range propertyPolicies {
		w := newWorld(t, setup{policy: p, up: m.up, grants: grants, now: func() time.Time { return m.now }})
		m.worlds = append(m.worlds, w)
	}
	m.up.On("validate", "", func(rpctest.Request) rpctest.Answer {
		if m.broken {
			return rpctest.Refuse("invalid_attribute", "is invalid")(rpctest.Request{})
		}
		return rpctest.Answer{Usual: true}
	})
	rapid.Check(t, func(rt *rapid.T) {
		m.now, m.broken, m.questions, m.spent, m.checked = noon, false, nil, 0, 0
		grants.Grants = policy.NewMemory(func() time.Time { return m.now })
		m.up.Forget()
		rt.Repeat(map[string]func(*rapid.T){
			"call":   m.call,
			"answer": m.answer,
			"replay": m.replay,
			"time": func(rt *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
			},
			"validate": func(rt *rapid.T) { m.broken = rapid.Bool().Draw(rt, "broken") },
			"":         m.check,
		})
	})
}

// swapped lets every run of the property begin without grants.
type swapped struct{ policy.Grants }

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
	switch m.decision(w, action) {
	case policy.Allow:
		m.expect(rt, r, "done", "run")
	case policy.Validate:
		if m.broken {
			m.expect(rt, r, "validation_failed", "validate")
		} else {
			m.expect(rt, r, "done", "validate", "run")
		}
	case policy.Confirm:
		waiting := 0
		for _, q := range m.questions {
			if m.open(q) && !(q.world == w && q.who == who && q.action == action && q.args == args) {
				waiting++
			}
		}
		switch {
		case m.broken:
			m.expect(rt, r, "validation_failed", "validate")
		case waiting >= policy.MaxWaiting:
			m.expect(rt, r, "unavailable", "validate")
		default:
			m.expect(rt, r, "input_required", "validate")
			for _, q := range m.questions {
				if m.open(q) && q.world == w && q.who == who && q.action == action && q.args == args {
					q.stand = "withdrawn"
				}
			}
			m.questions = append(m.questions, &asked{state: r.Result.RequestState, world: w, who: who, action: action, args: args, expires: m.now.Add(time.Minute)})
		}
	default:
		m.expect(rt, r, "denied")
	}
}

func (m *machine) open(q *asked) bool { return q.stand == "" && m.now.Before(q.expires) }

func (m *machine) decision(w int, action string) policy.Decision {
	a, err := schemas.Find(action)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.worlds[w].gate.Policy.Decide(a).Decision
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
	switch {
	case !fits, q.stand == "spent", q.stand == "withdrawn", q.stand == "" && !m.now.Before(q.expires):
		// Whatever the answer is, it does nothing, and asks Sippet nothing. Only its outcome may say what the policy would.
		m.expect(rt, r, "denied")
	case q.stand == "no":
		m.expect(rt, r, "declined")
	case answer != accepts:
		q.stand = "no"
		m.expect(rt, r, "declined")
	case m.broken:
		q.stand = "withdrawn" // an answer is to one attempt
		m.expect(rt, r, "validation_failed", "validate")
	default:
		q.stand = "spent"
		m.spent++
		m.expect(rt, r, "done", "validate", "run")
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
	for i := m.checked + 1; i < len(all); i++ {
		if string(all[i].Body) != string(all[i-1].Body) {
			rt.Fatalf("run and validate of one pass have other bytes:\n%s\n%s", all[i-1].Body, all[i].Body)
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
		if a.Class != schemas.Read && (i == 0 || all[i-1].Endpoint != "validate" || string(all[i-1].Body) != string(r.Body)) {
			rt.Fatalf("run without validate of the same bytes before it: %s", r.Body)
		}
		if a.Class == schemas.Outbound || a.Class == schemas.Destructive {
			confirmed++
		}
	}
	if confirmed > m.spent {
		rt.Fatalf("%d actions ran that every policy here asks for, and %d answers were spent", confirmed, m.spent)
	}
}

// send makes a modern tools/call without a transport.
func (m *machine) send(rt *rapid.T, w int, who, action, args, state, answer string) *reply {
	params := `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}},"name":"` + action + `","arguments":` + args
	if state != "" {
		params += fmt.Sprintf(`,"inputResponses":{"approve":%s},"requestState":%q`, answer, state)
	}
	ctx := tools.WithCaller(context.Background(), tools.Caller{Principal: who, Interactive: true})
	res := m.worlds[w].server.MCP.HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}}`))
	r := &reply{Frame: mustJSON(res)}
	if err := json.Unmarshal(r.Frame, r); err != nil {
		rt.Fatal(err)
	}
	return r
}
