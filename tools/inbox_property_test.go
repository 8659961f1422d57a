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

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// lottery is random calls, answers in the inbox and from clients, stops and faults, over one server. What must hold is
// looked up afterwards in what reached upstream and in the ledger, by rules that are written here anew.
type lottery struct {
	*world
	t     *testing.T
	clock *ledgertest.Clock
	n     int // of the round, which is in all names, so that rounds do not meet
	seen  int // requests and
	runs  int // intents of the round that were looked at
	// elicited are questions that clients were asked, and accepted those that their own call answered with yes.
	elicited []drawn
	accepted map[string]bool
	stopped  bool
}

// drawn is a call.
type drawn struct {
	who, tool, args, state string
}

// demands is what byName demands of each call.
var demands = map[string]struct{ args, decision string }{
	"create_contact":      {`{"input":{"fullName":"%s %d"}}`, ""}, // what the name says
	"archive_contact":     {`{"identity":"` + anID + `"}`, "approve"},
	"update_contact":      {`{"identity":"` + anID + `","input":{"metadata":{"n":%[2]d}}}`, "validate"},
	"end_call":            {`{"input":{"callUuid":"c-%[2]d"}}`, "confirm"},
	"start_outbound_call": {`{"input":{"phoneNumber":"+44207946000%[2]d"}}`, "confirm"},
	"list_calls":          {`{"fields":["id"],"filter":{"callUuid":{"eq":"c-%[2]d"}}}`, "confirm"},
}

func (l *lottery) name(who string) string { return fmt.Sprintf("%s-%d", who, l.n) }

func TestRandomInbox(t *testing.T) {
	l := &lottery{t: t, clock: ledgertest.NewClock(noon)}
	l.world = newWorld(t, setup{policy: byName, inbox: time.Millisecond, now: l.clock.Now})
	steps := map[string]func(*rapid.T){"call": l.call, "call again": l.call, "answer": l.answer, "answer ": l.answer, "client answers": l.clientAnswers,
		"bring": l.bring, "status": l.status, "take back": l.takeBack, "stop": l.stop, "time": l.time, "upstream": l.upstream}
	names := slices.Sorted(maps.Keys(steps))
	rapid.Check(t, func(rt *rapid.T) {
		l.n++
		l.clock.Add(48 * time.Hour) // nothing of the round before is open, or stands in the way
		l.elicited, l.accepted, l.stopped = nil, map[string]bool{}, false
		if _, err := l.gate.Ledger.Resume(context.Background(), ledger.Actor{Name: "root"}); err != nil {
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

// call makes a call, by a program that can ask its person or cannot.
func (l *lottery) call(rt *rapid.T) {
	c := drawn{who: rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"), tool: rapid.SampledFrom(slices.Sorted(maps.Keys(demands))).Draw(rt, "tool")}
	decision := rapid.SampledFrom([]string{"validate", "confirm", "approve", "deny"}).Draw(rt, "name")
	c.args = demands[c.tool].args
	if strings.Contains(c.args, "%s") {
		c.args = fmt.Sprintf(c.args, decision, rapid.IntRange(0, 1).Draw(rt, "number"))
	} else if strings.Contains(c.args, "%") {
		c.args = fmt.Sprintf(c.args, "", rapid.IntRange(0, 1).Draw(rt, "number"))
	}
	l.send(rt, c, rapid.Bool().Draw(rt, "forms"), "", "")
}

// clientAnswers brings the answer to what a client was asked.
func (l *lottery) clientAnswers(rt *rapid.T) {
	if len(l.elicited) == 0 {
		return
	}
	c := rapid.SampledFrom(l.elicited).Draw(rt, "question")
	answer := rapid.SampledFrom([]string{accepts, accepts, refuses}).Draw(rt, "answer")
	l.accepted[c.state] = l.accepted[c.state] || answer == accepts
	l.send(rt, c, true, c.state, answer)
}

// bring brings a yes for any question at all, with any call.
func (l *lottery) bring(rt *rapid.T) {
	all := l.questions(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "question")
	p, err := schemas.Restore(l.approval(rt, q.ID).Payload)
	if err != nil {
		return // erased
	}
	args := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.Body, &args); err != nil {
		rt.Fatal(err)
	}
	delete(args, "action")
	c := drawn{who: rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"), tool: q.Action, args: string(mustJSON(args))}
	if !q.Inbox && q.Person == l.name(c.who) {
		l.accepted[q.ID] = true
	}
	l.send(rt, c, rapid.Bool().Draw(rt, "forms"), q.ID, accepts)
}

func (l *lottery) send(rt *rapid.T, c drawn, forms bool, state, answer string) {
	capabilities := noForms
	if forms {
		capabilities = `{"elicitation":{}}`
	}
	params := `{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion + `","io.modelcontextprotocol/clientCapabilities":` + capabilities + `},"name":"` + c.tool + `","arguments":` + c.args
	if state != "" {
		params += fmt.Sprintf(`,"inputResponses":{"approve":%s},"requestState":%q`, answer, state)
	}
	who := l.name(c.who)
	r := l.handle(rt, who, params+"}")
	if r.Result.ResultType == "input_required" {
		c.state = r.Result.RequestState
		l.elicited = append(l.elicited, c)
		return
	}
	checkShape(l.t, r)
	if by := r.text(l.t, "approvedBy"); by != "" && by != "bob" && by != strings.ToUpper(l.name("bo")) && !strings.EqualFold(by, who) {
		rt.Fatalf("%s hears that %s agreed: %s", who, by, r.Frame)
	}
}

// handle makes a tools/call without a transport.
func (l *lottery) handle(rt *rapid.T, who, params string) *reply {
	ctx := tools.WithCaller(context.Background(), tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: who, Via: "test"}, ID: who, Person: who}, Interactive: true})
	r := &reply{Frame: mustJSON(l.server.MCP.HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`)))}
	if err := json.Unmarshal(r.Frame, r); err != nil {
		rt.Fatal(err)
	}
	return r
}

// answer lets somebody answer something in the inbox.
func (l *lottery) answer(rt *rapid.T) {
	all := l.questions(rt)
	if len(all) == 0 {
		return
	}
	if open := slices.DeleteFunc(slices.Clone(all), func(q ledger.ApprovalRequest) bool { return q.State != ledger.Pending || !q.Inbox }); len(open) > 0 && rapid.IntRange(0, 4).Draw(rt, "any") < 4 {
		all = open
	}
	q := rapid.SampledFrom(all).Draw(rt, "question")
	who := rapid.SampledFrom([]approval.Person{approver, approver, {Name: l.name("ada")}, {Name: strings.ToUpper(l.name("bo")), Roles: []string{approval.RoleApprover}}, {Name: "eve"},
		{Name: "robot", Roles: []string{approval.RoleApprover, approval.RoleAgent}}}).Draw(rt, "who")
	who.Via, who.Fresh = "inbox", rapid.IntRange(0, 3).Draw(rt, "stale") > 0
	yes := rapid.IntRange(0, 2).Draw(rt, "no") > 0
	open := q.State == ledger.Pending && l.clock.Now().Before(q.Expires)
	proved := who.Fresh || !yes || q.Action != "archive_contact"
	want := q.Inbox && open && proved && may(who, &q)
	again := q.Inbox && yes && q.State == ledger.Approved && q.By == (ledger.Actor{Name: who.Name, Via: "inbox"}) && may(who, &q) && proved // said already
	got := l.approvals.Answer(context.Background(), []string{q.ID}, who, approval.Reply{Approve: yes})[0].Err
	if (got == nil) != want && !again && q.State != ledger.Approved { // a no takes back a yes that is not used
		rt.Fatalf("%s (%v, fresh %t) says %t to %s, which needs %s, is %s and in the inbox: %t; %v", who.Name, who.Roles, who.Fresh, yes, q.Action, q.Needs, q.State, q.Inbox, got)
	}
	l.quiet(rt)
}

// may is the rule about who answers, once more.
func may(who approval.Person, q *ledger.ApprovalRequest) bool {
	own := strings.EqualFold(who.Name, q.Person)
	isApprover := slices.Contains(who.Roles, approval.RoleApprover)
	if slices.Contains(who.Roles, approval.RoleAgent) {
		return false
	}
	return q.Needs == "confirm" && (own || isApprover) || q.Needs == "approve" && isApprover && !own
}

// quiet waits until nothing that is agreed to is about to run, or runs.
func (l *lottery) quiet(rt *rapid.T) {
	for range 5000 {
		busy := false
		for _, q := range l.questions(rt) {
			busy = busy || q.Inbox && q.State == ledger.Approved && l.clock.Now().Before(q.Expires) && !approval.IsRead(q.Action)
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
	rt.Fatal("what was agreed to neither runs nor is void")
}

// status asks for any question of the round.
func (l *lottery) status(rt *rapid.T) {
	all := l.questions(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "question")
	who := l.name(rapid.SampledFrom([]string{"ada", "bo"}).Draw(rt, "caller"))
	r := l.handle(rt, who, `{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+modernVersion+`","io.modelcontextprotocol/clientCapabilities":{}},"name":"approval_status","arguments":{"id":"`+q.ID+`"}}`)
	if known := q.Inbox && q.Person == who; known != (r.outcome(l.t) != string(schemas.InvalidArguments)) {
		rt.Fatalf("%s asks for a question of %s in the inbox %t: %s", who, q.Person, q.Inbox, r.Frame)
	}
}

func (l *lottery) takeBack(rt *rapid.T) {
	all := l.questions(rt)
	if len(all) == 0 {
		return
	}
	q := rapid.SampledFrom(all).Draw(rt, "question")
	who := rapid.SampledFrom([]approval.Person{{Name: q.Person}, approver, {Name: "eve"}}).Draw(rt, "who")
	if err := l.approvals.Revoke(context.Background(), q.ID, who); err == nil && who.Name == "eve" {
		rt.Fatal("eve took back what is none of hers")
	}
}

func (l *lottery) stop(rt *rapid.T) {
	if !l.stopped && rapid.IntRange(0, 3).Draw(rt, "really") < 3 {
		return
	}
	var err error
	if l.stopped = !l.stopped; l.stopped {
		err = l.gate.Ledger.Stop(context.Background(), ledger.Actor{Name: "root"}, "")
	} else {
		_, err = l.gate.Ledger.Resume(context.Background(), ledger.Actor{Name: "root"})
	}
	if err != nil {
		rt.Fatal(err)
	}
}

func (l *lottery) time(rt *rapid.T) {
	l.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 9, 30, 59, 61, 295, 601, 901}).Draw(rt, "seconds")) * time.Second)
}

func (l *lottery) upstream(rt *rapid.T) {
	endpoint := rapid.SampledFrom([]string{"validate", "run"}).Draw(rt, "endpoint")
	l.up.On(endpoint, "", rapid.SampledFrom([]rpctest.Handler{nil, nil, nil, nil, rpctest.Refuse("invalid", "is invalid"), rpctest.Status(503, "<html>")}).Draw(rt, "answer"))
}

func (l *lottery) questions(rt *rapid.T) (all []ledger.ApprovalRequest) {
	for _, who := range []string{"ada", "bo"} {
		some, err := l.gate.Ledger.Approvals(context.Background(), ledger.ApprovalFilter{Person: l.name(who)})
		if err != nil {
			rt.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func (l *lottery) approval(rt *rapid.T, id string) ledger.ApprovalRequest {
	q, err := l.gate.Ledger.Approval(context.Background(), id)
	if err != nil {
		rt.Fatal(err)
	}
	return q
}
