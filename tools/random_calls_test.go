package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// model makes random calls, answers and replays by several callers, under several policies over one
// ledger. It predicts which of them run, from the promises and not from the code.
type model struct {
	t      *testing.T
	up     *rpctest.Server
	worlds []*world
	clock  *ledgertest.Clock
	broken bool // validate rejects everything

	requests []*modelRequest
	// ran is the latest run of each call that must not be repeated by accident.
	ran  map[string]modelRun
	used int
	// declines are when requests were declined, by caller and action, since the last approval.
	declines map[string][]time.Time
	checked  int // how many requests were checked
}

// modelRun is a run that succeeded: when, and which approval it used.
type modelRun struct {
	at       time.Time
	approval string
}

// window is how long a run conflicts with the same call.
const window = 10 * time.Minute

// previous returns the latest run of the same call by the same caller, if it still conflicts.
func (m *model) previous(who, action, args string) (modelRun, bool) {
	r, ok := m.ran[who+action+args]
	return r, ok && r.at.After(m.now().Add(-window))
}

func (m *model) addRun(who, action, args, state string) {
	if a, err := schemas.Find(action); err == nil && a.Repeats() {
		m.ran[who+action+args] = modelRun{m.now(), state}
	}
	if action == "delete_contact" {
		for _, q := range m.requests {
			// Its card was sealed under the contact's key too, which is erased with the contact.
			for _, contact := range []string{anID, anotherID} {
				q.erased = q.erased || strings.Contains(args, contact) && strings.Contains(q.args, contact)
			}
		}
	}
}

// lifecycle returns what a run sends. Updates first read the values that they replace.
func (m *model) lifecycle(action string) []string {
	if action == "update_contact" {
		return []string{"validate", "run", "run"}
	}
	return []string{"validate", "run"}
}

// approvedLifecycle returns what an approved call sends: its record is read again, because the approval
// is bound to it.
func (m *model) approvedLifecycle(action, args string) []string {
	if action != ledger.HangUp && m.worlds[0].payload(m.t, action, args).AboutRead() != nil {
		return append([]string{"validate", "run"}, m.lifecycle(action)[1:]...)
	}
	return m.lifecycle(action)
}

func (m *model) now() time.Time { return m.clock.Now() }

// modelRequest is an approval request as the model predicts it.
type modelRequest struct {
	id                   string
	world                int
	caller, action, args string
	expires              time.Time
	// repeats is the run that its card mentions.
	repeats modelRun
	// states are those of the dialogues about it; none if a client may not ask.
	states []string
	// state is empty for pending, else declined, used or revoked.
	state string
	// erased is true if its card was erased together with a contact.
	erased bool
}

var (
	propertyPolicies = []string{plainDesktop, plainTeam, "unattended", "read-only", confirmAll}
	propertyActions  = []string{"list_contacts", "update_contact", "create_contact", "delete_contact", "end_call", "start_outbound_call", "start_bulk_outbound_call", "issue_operator_access_token"}
	propertyCallers  = []string{"ada", "bo", "eve"}
	propertyAnswers  = []string{accepts, accepts, accepts, unticks, declines, cancels, `{"action":"accept"}`}
)

// Two profiles without their budgets, which a long run would use up.
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

// failing is a policy with a rule that fails for every call that rings somebody.
const failing = plainDesktop + `rules: [{id: fails, match: {actions: ["start_*"]}, when: "recipients[99].number == ''", decision: confirm, reason: It cannot be decided.}]
`

// argsOf returns one of two payloads for each action, without a reason, which is not part of it.
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
	m := &model{t: t, up: rpctest.New(t)}
	store := &swappedLedger{ledgertest.Open(t)}
	watch := &approval.Watcher{Ledger: store, Log: slog.New(slog.DiscardHandler)}
	for i, p := range propertyPolicies {
		// A shadow policy must not change anything, be it stricter, milder or one that always
		// fails.
		shadow := propertyPolicies[(i+2)%len(propertyPolicies)]
		if !strings.Contains(shadow, "\n") {
			shadow = failing
		}
		w := newWorld(t, setup{policy: p, shadow: shadow, up: m.up, ledger: withoutHistory{store}, now: func() time.Time { return m.now() },
			inbox: 2 * time.Second, idle: true, watch: watch})
		m.worlds = append(m.worlds, w)
	}
	m.up.On("validate", "", func(rpctest.Request) rpctest.Answer {
		if m.broken {
			return rpctest.Refuse("invalid_attribute", "is invalid")(rpctest.Request{})
		}
		return rpctest.Answer{Usual: true}
	})
	rapid.Check(t, func(rt *rapid.T) {
		m.clock, m.broken, m.requests, m.ran, m.used, m.checked = ledgertest.NewClock(noon), false, nil, map[string]modelRun{}, 0, 0
		m.declines = map[string][]time.Time{}
		l, err := ledger.Open(t.Context(), ledger.Options{Dir: t.TempDir(), Now: m.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		store.Ledger = l
		defer m.startExecutor(watch, l)()
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

// startExecutor runs what is approved under any of the policies, until stop is called.
func (m *model) startExecutor(watch *approval.Watcher, l ledger.Ledger) (stop func()) {
	e := &policy.Executor{Ledger: l, Watch: watch, Log: slog.New(slog.DiscardHandler), GateFor: func(_ context.Context, q ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
		for _, w := range m.worlds {
			if w.gate.Policy.Own().Version() == q.Policy {
				return w.gate, policy.Caller{Actor: q.Requester, Person: q.Person}, nil
			}
		}
		return nil, policy.Caller{}, policy.ErrElsewhere
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { e.Run(ctx) })
	return func() { cancel(); done.Wait() }
}

// swappedLedger is a ledger that can be replaced, so that every run of the property has a new one.
type swappedLedger struct{ ledger.Ledger }

func (m *model) call(rt *rapid.T) {
	w := rapid.IntRange(0, len(m.worlds)-1).Draw(rt, "policy")
	who := rapid.SampledFrom(propertyCallers).Draw(rt, "caller")
	action := rapid.SampledFrom(propertyActions).Draw(rt, "action")
	args := argsOf(action, rapid.Bool().Draw(rt, "second"))
	sent := args
	if action != "list_contacts" && rapid.Bool().Draw(rt, "reason") {
		sent = strings.TrimSuffix(args, "}") + `,"reason":"because"}`
	}
	r := m.send(rt, w, who, action, sent, "", "")
	expect := func(outcome string, endpoints ...string) {
		rt.Helper()
		m.expect(rt, r, outcome, slices.Concat(m.reads(w, action), endpoints)...)
	}
	switch m.decision(w, action) {
	case rules.Allow:
		expect("done", "run")
	case rules.Validate:
		_, before := m.previous(who, action, args)
		switch {
		case before:
			expect("recorded")
		case m.broken:
			expect("validation_failed", "validate")
		default:
			m.addRun(who, action, args, "")
			expect("done", m.lifecycle(action)...)
		}
	case rules.Confirm, rules.Approve:
		if m.broken {
			expect("validation_failed", "validate")
			return
		}
		m.ask(rt, r, w, who, action, args, expect)
	default:
		expect("denied")
	}
}

// ask checks the answer to a call that needs a person. A repeated call joins its pending request,
// also under another policy that needs the same.
func (m *model) ask(rt *rapid.T, r *reply, w int, who, action, args string, expect func(string, ...string)) {
	outcome, approve := "input_required", m.decision(w, action) == rules.Approve
	if approve {
		outcome = "approval_pending" // no client asks instead of another person
	}
	repeats, before := m.previous(who, action, args)
	if !before {
		repeats = modelRun{}
	}
	var latest *modelRequest
	pending := 0
	for _, q := range m.requests {
		if q.caller == who && q.action == action && q.args == args {
			latest = q
		}
		if m.open(q) && q.caller == who {
			pending++
		}
	}
	if latest != nil && m.decision(latest.world, action) == m.decision(w, action) && m.open(latest) && !latest.erased && latest.repeats == repeats && m.now().Add(10*time.Second).Before(latest.expires) {
		expect(outcome, "validate")
		if got := requestOf(m.t, r); got != latest.id {
			rt.Fatalf("a repeated call made another request: %s", r.Frame)
		}
		if !approve {
			latest.states = append(latest.states, r.Result.RequestState)
		}
		return
	}
	asks := []string{"validate"}
	p := m.worlds[w].payload(m.t, action, args)
	if p.AboutRead() != nil {
		asks = append(asks, "run") // the record that it is about, for the card
	}
	for range factReads(p) {
		asks = append(asks, "run")
	}
	for _, q := range m.requests {
		if m.open(q) && q.caller == who && q.action == action && q.args == args {
			q.state = "revoked"
			pending--
		}
	}
	if pending >= ledger.MaxPending(action) || m.paused(who, action) {
		expect("limit_exceeded", asks...)
		return
	}
	expect(outcome, asks...)
	if !approve && before != strings.Contains(string(r.Frame), "The same call ran") {
		rt.Fatalf("there is a previous run: %t, and the card: %s", before, r.Frame)
	}
	q := &modelRequest{id: requestOf(m.t, r), world: w, caller: who, action: action, args: args, repeats: repeats,
		expires: m.now().Add(p.Action.ApprovalLifetime(15 * time.Minute))}
	if !approve {
		q.states = []string{r.Result.RequestState}
	}
	m.requests = append(m.requests, q)
}

// paused reports whether three requests for the action were declined within ten minutes, and the last
// of these less than five minutes ago.
func (m *model) paused(who, action string) bool {
	all := m.declines[who+action]
	for i := 2; i < len(all); i++ {
		if all[i].Sub(all[i-2]) <= 10*time.Minute && m.now().Sub(all[i]) < 5*time.Minute {
			return action != ledger.HangUp
		}
	}
	return false
}

// requestOf returns the id of the request that an answer is about.
func requestOf(t testing.TB, r *reply) string {
	if r.Result.ResultType == "input_required" {
		return idOfState(r.Result.RequestState)
	}
	a, _ := r.field(t, "approval").(map[string]any)
	id, _ := a["id"].(string)
	return id
}

func (m *model) open(q *modelRequest) bool { return q.state == "" && m.now().Before(q.expires) }

func (m *model) decision(w int, action string) rules.Decision {
	v, _ := m.worlds[w].decide(m.t, policy.Caller{}, action, argsOf(action, false))
	return v.Decision
}

// reads returns what the gate reads before it decides.
func (m *model) reads(w int, action string) []string {
	_, reads := m.worlds[w].decide(m.t, policy.Caller{}, action, argsOf(action, false))
	return slices.Repeat([]string{"run"}, len(reads))
}

// expect compares the outcome, and what reached upstream since the last check.
func (m *model) expect(rt *rapid.T, r *reply, outcome string, endpoints ...string) {
	rt.Helper()
	got := r.Result.ResultType
	if got != "input_required" {
		got = r.outcome(m.t)
		checkShape(m.t, r)
	}
	var endpointsOfRun []string
	for _, q := range m.up.Requests()[m.checked:] {
		endpointsOfRun = append(endpointsOfRun, q.Endpoint)
	}
	if got != outcome || !slices.Equal(endpointsOfRun, endpoints) {
		rt.Fatalf("outcome %s and %v upstream, want %s and %v: %s", got, endpointsOfRun, outcome, endpoints, r.Frame)
	}
	all := m.up.Requests()
	for _, first := range all[m.checked:] {
		if last := all[len(all)-1]; first.Endpoint == "validate" && last.Action == first.Action && string(first.Body) != string(last.Body) {
			rt.Fatalf("run and validate of one attempt differ:\n%s\n%s", first.Body, last.Body)
		}
	}
	m.checked = len(all)
}

// check checks all that reached upstream, without the model.
func (m *model) check(rt *rapid.T) {
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
		validated := i - 1 // what is read just before a run comes after its validate
		for validated > 0 && all[validated].Endpoint == "run" && approval.IsRead(all[validated].Action) {
			validated--
		}
		if a.Class != schemas.Read && (validated < 0 || all[validated].Endpoint != "validate" || string(all[validated].Body) != string(r.Body)) {
			rt.Fatalf("run without validate of the same bytes before it: %s", r.Body)
		}
		if a.Class == schemas.Outbound || a.Class == schemas.Destructive {
			confirmed++
		}
	}
	if confirmed > m.used {
		rt.Fatalf("%d actions ran that need an approval under every policy here, and %d approvals were used", confirmed, m.used)
	}
}

// send makes a modern tools/call without a transport.
func (m *model) send(rt *rapid.T, w int, who, action, args, state, answer string) *reply {
	params := `,"name":"` + action + `","arguments":` + args
	if state != "" {
		params += fmt.Sprintf(`,"inputResponses":{"approve":%s},"requestState":%q`, answer, state)
	}
	return m.handle(rt, w, who, params)
}

func (m *model) handle(rt *rapid.T, w int, who, params string) *reply {
	params = `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}` + params
	ctx := tools.WithCaller(context.Background(), tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: who}, Person: who}, Interactive: true})
	res := m.worlds[w].server.MCP.HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}}`))
	r := &reply{Frame: mustJSON(res)}
	if err := json.Unmarshal(r.Frame, r); err != nil {
		rt.Fatal(err)
	}
	return r
}
