package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// randomInbox makes random calls, answers in the inbox and from clients, stops and faults, over one
// server. After each step it checks the promises in what reached upstream and in the ledger, with
// rules that are written here a second time.
type randomInbox struct {
	*world
	t     *testing.T
	clock *ledgertest.Clock
	round int // is part of all names, so that rounds share nothing
	seen  int // how many requests of the round were checked
	runs  int // how many intents of the round were checked
	// elicited are the dialogues that clients were sent. approved are the requests that a client
	// approved in a time in which a person can.
	elicited []drawnCall
	approved map[string]bool
	stopped  map[ledger.StopScope]bool
}

// drawnCall is a call that was drawn. state is that of the dialogue that was sent at a time; empty if
// nobody was asked.
type drawnCall struct {
	caller, tool, args, state string
	at                        time.Time
}

// needs are the calls, and what byName decides about each.
var needs = map[string]struct{ args, decision string }{
	"create_contact":      {`{"input":{"fullName":"%s %d"}}`, ""}, // by its name
	"archive_contact":     {`{"identity":"` + anID + `"}`, "approve"},
	"update_contact":      {`{"identity":"` + anID + `","input":{"metadata":{"n":%[2]d}}}`, "validate"},
	"end_call":            {`{"input":{"callUuid":"c-%[2]d"}}`, "confirm"},
	"start_outbound_call": {`{"input":{"phoneNumber":"+44207946000%[2]d"}}`, "confirm"},
	"list_calls":          {`{"fields":["id"],"filter":{"callUuid":{"eq":"c-%[2]d"}}}`, "confirm"},
}

func (l *randomInbox) name(who string) string { return fmt.Sprintf("%s-%d", who, l.round) }

func TestRandomInbox(t *testing.T) {
	l := &randomInbox{t: t, clock: ledgertest.NewClock(noon)}
	l.world = newWorld(t, setup{policy: byName, inbox: time.Millisecond, now: l.clock.Now})
	steps := map[string]func(*rapid.T){"call": l.call, "call again": l.call, "answer": l.answer, "answer ": l.answer, "client answers": l.clientAnswers,
		"replay": l.replay, "status": l.status, "revoke": l.revoke, "stop": l.stop, "time": l.time, "upstream": l.upstream}
	names := slices.Sorted(maps.Keys(steps))
	rapid.Check(t, func(rt *rapid.T) {
		l.round++
		l.clock.Add(48 * time.Hour) // nothing of the previous round is pending or conflicts
		l.elicited, l.approved, l.stopped = nil, map[string]bool{}, map[ledger.StopScope]bool{}
		if _, err := l.gate.Ledger.Resume(context.Background(), ledger.StopScope{}, ledger.Actor{Name: "root"}); err != nil {
			rt.Fatal(err)
		}
		l.up.On("validate", "", nil)
		l.up.On("run", "", nil)
		l.up.Forget()
		l.seen, l.runs = 0, 0
		for range rapid.IntRange(10, 30).Draw(rt, "steps") {
			steps[rapid.SampledFrom(names).Draw(rt, "step")](rt)
			l.check(rt)
		}
	})
}

// call makes a call, with or without forms.
func (l *randomInbox) call(rt *rapid.T) {
	c := drawnCall{caller: rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"), tool: rapid.SampledFrom(slices.Sorted(maps.Keys(needs))).Draw(rt, "tool")}
	decision := rapid.SampledFrom([]string{"validate", "confirm", "approve", "deny"}).Draw(rt, "name")
	c.args = needs[c.tool].args
	if strings.Contains(c.args, "%s") {
		c.args = fmt.Sprintf(c.args, decision, rapid.IntRange(0, 1).Draw(rt, "number"))
	} else if strings.Contains(c.args, "%") {
		c.args = fmt.Sprintf(c.args, "", rapid.IntRange(0, 1).Draw(rt, "number"))
	}
	l.send(rt, c, rapid.Bool().Draw(rt, "forms"), "", "")
}

// clientAnswers sends a client's response.
func (l *randomInbox) clientAnswers(rt *rapid.T) {
	if len(l.elicited) == 0 {
		return
	}
	c := rapid.SampledFrom(l.elicited).Draw(rt, "request")
	answer := rapid.SampledFrom([]string{accepts, accepts, accepts, declines, cancels, unticks}).Draw(rt, "answer")
	if rapid.IntRange(0, 3).Draw(rt, "thinks") > 0 {
		l.clock.Add(policy.SoonestAnswer)
	}
	l.reply(rt, c, c.state, true, answer)
}

// reply sends a client's response to a dialogue, with a call.
func (l *randomInbox) reply(rt *rapid.T, c drawnCall, state string, forms bool, answer string) {
	for _, e := range l.elicited {
		if id, _, _ := strings.Cut(e.state, "."); e.state == state && e.caller == c.caller && forms && answer == accepts && l.clock.Now().Sub(e.at) >= policy.SoonestAnswer {
			l.approved[id] = true
		}
	}
	l.send(rt, c, forms, state, answer)
	l.settle(rt)
}

// replay sends an approval for any request, with the call of any.
func (l *randomInbox) replay(rt *rapid.T) {
	all := l.requests(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "request")
	p, err := schemas.Restore(l.approval(rt, q.ID).Payload)
	if err != nil {
		return // it was erased
	}
	args := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.Body, &args); err != nil {
		rt.Fatal(err)
	}
	delete(args, "action")
	c := drawnCall{caller: rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"), tool: q.Action, args: string(mustJSON(args))}
	states := []string{q.ID}
	for _, e := range l.elicited {
		states = append(states, e.state)
	}
	l.reply(rt, c, rapid.SampledFrom(states).Draw(rt, "state"), rapid.Bool().Draw(rt, "forms"), accepts)
}

func (l *randomInbox) send(rt *rapid.T, c drawnCall, forms bool, state, answer string) {
	capabilities := withoutForms
	if forms {
		capabilities = `{"elicitation":{}}`
	}
	params := `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":` + capabilities + `},"name":"` + c.tool + `","arguments":` + c.args
	if state != "" {
		params += fmt.Sprintf(`,"inputResponses":{"approve":%s},"requestState":%q`, answer, state)
	}
	who := l.name(c.caller)
	r := l.handle(rt, who, params+"}")
	if r.Result.ResultType == "input_required" {
		c.state, c.at = r.Result.RequestState, l.clock.Now()
		l.elicited = append(l.elicited, c)
		return
	}
	checkShape(l.t, r)
	if by := r.text(l.t, "approvedBy"); by != "" && by != "bob" && by != strings.ToUpper(l.name("bo")) && !strings.EqualFold(by, who) {
		rt.Fatalf("%s gets an approval by %s: %s", who, by, r.Frame)
	}
}

// handle makes a tools/call without a transport.
func (l *randomInbox) handle(rt *rapid.T, who, params string) *reply {
	ctx := tools.WithCaller(context.Background(), tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: who, Via: "test"}, ID: who, Person: who}, Interactive: true})
	r := &reply{Frame: mustJSON(l.server.MCP.HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`)))}
	if err := json.Unmarshal(r.Frame, r); err != nil {
		rt.Fatal(err)
	}
	return r
}

// answer answers a request in the inbox.
func (l *randomInbox) answer(rt *rapid.T) {
	all := l.requests(rt)
	if len(all) == 0 {
		return
	}
	if open := slices.DeleteFunc(slices.Clone(all), func(q ledger.ApprovalRequest) bool { return q.State != ledger.Pending }); len(open) > 0 && rapid.IntRange(0, 4).Draw(rt, "any") < 4 {
		all = open
	}
	q := rapid.SampledFrom(all).Draw(rt, "request")
	who := rapid.SampledFrom([]approval.Person{approver, approver, {Name: l.name("ada")}, {Name: strings.ToUpper(l.name("bo")), Roles: []string{approval.RoleApprover}}, {Name: "eve"},
		{Name: "robot", Roles: []string{approval.RoleApprover, approval.RoleAgent}}}).Draw(rt, "person")
	who.Via, who.Fresh = "inbox", rapid.IntRange(0, 3).Draw(rt, "stale") > 0
	approves := rapid.IntRange(0, 2).Draw(rt, "declines") > 0
	open := q.State == ledger.Pending && l.clock.Now().Before(q.Expires)
	fresh := who.Fresh || !approves || q.Action != "archive_contact"
	want := open && fresh && may(who, &q)
	again := approves && q.State == ledger.Approved && q.By == (ledger.Actor{Name: who.Name, Via: "inbox"}) && may(who, &q) && fresh // the same approval a second time
	got := l.approvals.Answer(context.Background(), []string{q.ID}, who, approval.Reply{Approve: approves})[0].Err
	if (got == nil) != want && !again && q.State != ledger.Approved { // an unused approval can be declined
		rt.Fatalf("%s (%v, fresh %t) answers %t to %s, which needs %s, is %s; %v", who.Name, who.Roles, who.Fresh, approves, q.Action, q.Needs, q.State, got)
	}
	l.settle(rt)
}

// may is the rule who may answer, a second time.
func may(who approval.Person, q *ledger.ApprovalRequest) bool {
	own := strings.EqualFold(who.Name, q.Person)
	isApprover := slices.Contains(who.Roles, approval.RoleApprover)
	if slices.Contains(who.Roles, approval.RoleAgent) {
		return false
	}
	return q.Needs == "confirm" && (own || isApprover) || q.Needs == "approve" && isApprover && !own
}

// settle waits until no approved call is about to run, or runs.
func (l *randomInbox) settle(rt *rapid.T) {
	for range 5000 {
		busy := false
		for _, q := range l.requests(rt) {
			busy = busy || q.State == ledger.Approved && l.clock.Now().Before(q.Expires) && !approval.IsRead(q.Action)
		}
		open, err := l.gate.Ledger.Intents(context.Background(), ledger.IntentFilter{Open: true})
		if err != nil {
			rt.Fatal(err)
		}
		for _, in := range open {
			busy = busy || in.State != ledger.Unknown
		}
		if !busy {
			return
		}
		time.Sleep(time.Millisecond)
	}
	rt.Fatal("an approval was neither used nor revoked")
}

// status calls approval_status for any request of the round.
func (l *randomInbox) status(rt *rapid.T) {
	all := l.requests(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "request")
	who := l.name(rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"))
	r := l.handle(rt, who, `{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+modernVersion+`","io.modelcontextprotocol/clientCapabilities":{}},"name":"approval_status","arguments":{"id":"`+q.ID+`"}}`)
	if known := q.Person == who; known != (r.outcome(l.t) != string(schemas.InvalidArguments)) {
		rt.Fatalf("%s asks for a request of %s: %s", who, q.Person, r.Frame)
	}
}

func (l *randomInbox) revoke(rt *rapid.T) {
	all := l.requests(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "request")
	who := rapid.SampledFrom([]approval.Person{{Name: q.Person}, approver, {Name: "eve"}}).Draw(rt, "who")
	if err := l.approvals.Revoke(context.Background(), q.ID, who); err == nil && who.Name == "eve" {
		rt.Fatal("eve revoked a request of somebody else")
	}
}

func (l *randomInbox) stop(rt *rapid.T) {
	scope := rapid.SampledFrom([]ledger.StopScope{{Kind: ledger.StopEverything}, {Kind: ledger.StopRinging}, {Kind: ledger.StopAssistant, Person: l.name("ada")}}).Draw(rt, "scope")
	switch {
	case l.stopped[scope]:
		if ended, err := l.gate.Ledger.Resume(context.Background(), scope, ledger.Actor{Name: "root"}); err != nil || len(ended) != 1 {
			rt.Fatalf("ended %+v, %v", ended, err)
		}
		delete(l.stopped, scope)
	case rapid.IntRange(0, 3).Draw(rt, "really") == 3:
		if err := l.gate.Ledger.Stop(context.Background(), scope, ledger.Actor{Name: "root"}, ""); err != nil {
			rt.Fatal(err)
		}
		l.stopped[scope] = true
	}
}

func (l *randomInbox) time(rt *rapid.T) {
	l.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 9, 30, 59, 61, 295, 601, 901}).Draw(rt, "seconds")) * time.Second)
}

func (l *randomInbox) upstream(rt *rapid.T) {
	endpoint := rapid.SampledFrom([]string{"validate", "run"}).Draw(rt, "endpoint")
	l.up.On(endpoint, "", rapid.SampledFrom([]rpctest.Handler{nil, nil, nil, nil, rpctest.Refuse("invalid", "is invalid"), rpctest.Status(503, "<html>")}).Draw(rt, "answer"))
}

func (l *randomInbox) requests(rt *rapid.T) (all []ledger.ApprovalRequest) {
	for _, who := range []string{"ada", "bo"} {
		some, err := l.gate.Ledger.Approvals(context.Background(), ledger.ApprovalFilter{Person: l.name(who)})
		if err != nil {
			rt.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func (l *randomInbox) approval(rt *rapid.T, id string) ledger.ApprovalRequest {
	q, err := l.gate.Ledger.Approval(context.Background(), id)
	if err != nil {
		rt.Fatal(err)
	}
	return q
}
