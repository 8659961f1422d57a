package policy_test

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

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// sippet is an upstream for several goroutines. It answers as a test sets it, and keeps what it was
// sent.
type sippet struct {
	mu      sync.Mutex
	invalid *schemas.Error    // the result of validate
	fault   *schemas.Error    // the result of runs, without reads
	sent    bool              // with fault
	numbers map[string]string // by contact; a contact without one does not exist
	secret  string            // in the answer of a credential action
	record  string            // the answer to reads of a record, if it is set
	unread  *schemas.Error    // the result of these reads
	onRun   func()            // called before a run returns, without reads
	onCheck func()            // called before a validate returns
	seen    []string
}

func (s *sippet) with(f func(*sippet)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *sippet) Validate(_ context.Context, r rpc.Request) *schemas.Error {
	s.mu.Lock()
	s.seen = append(s.seen, "validate "+string(r.Body))
	hook, fault := s.onCheck, s.invalid
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	return fault
}

func (s *sippet) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	s.mu.Lock()
	s.seen = append(s.seen, "run "+string(r.Body))
	hook, fault, sent, secret := s.onRun, s.fault, s.sent, s.secret
	numbers, record, unread := s.numbers, s.record, s.unread
	s.mu.Unlock()
	if r.Action == "list_contacts" && strings.Contains(string(r.Body), `"filter":{"or":`) { // nobody shares anything
		return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(`{"results":[],"hasMore":false}`)}, nil
	}
	if r.Action == "list_contacts" && strings.Contains(string(r.Body), `"in":[`) {
		return rpc.Result{Sent: true, Status: 200, Data: contactsOf(r, numbers)}, nil
	}
	if r.Read && unread != nil {
		return rpc.Result{}, unread
	}
	if r.Read && record != "" {
		return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(record)}, nil
	}
	if r.Read {
		return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(`[{"id":"` + anID + `","callUuid":"c-1","fullName":"Ada","contactFullName":"the caller's secret"}]`)}, nil
	}
	if hook != nil {
		hook()
	}
	if fault != nil {
		return rpc.Result{Sent: sent, Status: 200}, fault
	}
	data := `{"id":"` + anID + `","fullName":"Ada"}`
	if secret != "" {
		data = `{"token":"` + secret + `"}`
	}
	return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(data)}, nil
}

func contactsOf(r rpc.Request, numbers map[string]string) json.RawMessage {
	var body struct {
		Filter struct{ ID struct{ In []string } }
	}
	_ = json.Unmarshal(r.Body, &body)
	rows := []map[string]any{}
	for _, id := range body.Filter.ID.In {
		if n := numbers[id]; n != "" {
			rows = append(rows, map[string]any{"id": id, "fullName": "Ada", "phoneE164": n, "erasedAt": nil, "deletedAt": nil, "metadata": nil})
		}
	}
	raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "limit": 250, "type": "keyset"})
	return raw
}

// lifecycle returns all requests, in their order, with their bytes.
func (s *sippet) lifecycle() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// runs returns the bodies that ran, without reads.
func (s *sippet) runs() (out []string) {
	for _, line := range s.lifecycle() {
		body, ok := strings.CutPrefix(line, "run ")
		var what struct{ Action string }
		if ok && json.Unmarshal([]byte(body), &what) == nil && !approval.IsRead(what.Action) {
			out = append(out, body)
		}
	}
	return out
}

// approvalWorld is a gate with an inbox, in which requests are answered.
type approvalWorld struct {
	*policy.Gate
	up        *sippet
	clock     *ledgertest.Clock
	watch     *approval.Watcher
	approvals *approval.Approvals
	// gateFor is the executor's GateFor; nil: it returns the gate and the requester.
	gateFor func(context.Context, ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error)
}

const house = head + `defaults:
  class: {read: allow, write: confirm, outbound: confirm, destructive: approve, credential: approve}
  action: {start_bulk_outbound_call: approve, list_calls: confirm, end_call: confirm}
`

// daytime is house with a rule about the time. Tests begin at noon.
const daytime = house + "rules: [{id: late, match: {actions: [create_contact]}, when: \"!between(now, 'UTC', '08:00', '12:05')\", decision: approve, reason: It is late.}]\n"

var (
	adaCaller = policy.Caller{Actor: ledger.Actor{Name: "ada", Via: "http"}, ID: "ada", Person: "ada", Client: "test 1"}
	boCaller  = policy.Caller{Actor: ledger.Actor{Name: "bo", Via: "http"}, ID: "bo", Person: "bo"}
	adaPerson = approval.Person{Name: "ada", Via: "inbox", Fresh: true}
	bobPerson = approval.Person{Name: "bob", Roles: []string{approval.RoleApprover}, Via: "inbox", Fresh: true}
)

func parsePolicy(t testing.TB, text string) *policy.PolicySet {
	t.Helper()
	p, err := rules.Parse("house.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return policy.FixedPolicySet(p)
}

// newApprovalWorld returns a world with a policy. Approved calls run only after startExecutor.
func newApprovalWorld(t testing.TB, text string) *approvalWorld {
	t.Helper()
	o := &approvalWorld{up: &sippet{numbers: map[string]string{anID: "+442079460123"}}, clock: ledgertest.NewClock(noon)}
	o.Gate = &policy.Gate{Policy: parsePolicy(t, text), Upstream: o.up, Organisation: "here", Lifetime: 15 * time.Minute, Now: o.clock.Now,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	o.useLedger(ledgertest.Open(t, ledger.Options{Now: o.clock.Now}))
	return o
}

// useLedger replaces the ledger.
func (o *approvalWorld) useLedger(l ledger.Ledger) {
	o.Ledger, o.watch = l, &approval.Watcher{Ledger: l, Log: o.Log}
	o.approvals = &approval.Approvals{Ledger: l, Watch: o.watch, Now: o.clock.Now}
}

// startExecutor runs approved calls until the test ends or stop is called.
func (o *approvalWorld) startExecutor(t testing.TB) (stop func()) {
	return o.startExecutorOn(t, o.Ledger)
}

// startExecutorOn is startExecutor with another view of the ledger.
func (o *approvalWorld) startExecutorOn(t testing.TB, l ledger.Ledger) (stop func()) {
	t.Helper()
	e := &policy.Executor{Ledger: l, Watch: o.watch, Log: o.Log, GateFor: o.gateFor}
	if e.GateFor == nil {
		e.GateFor = func(_ context.Context, q ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
			return o.Gate, policy.Caller{Actor: q.Requester, Credential: q.Credential, ID: q.Person, Person: q.Person, Client: q.Client}, nil
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func call(t testing.TB, who policy.Caller, action, args string) policy.Call {
	t.Helper()
	a, err := schemas.Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), schemas.Limits{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return policy.Call{Caller: who, Payload: p}
}

// ask takes a call through the gate, which must make a new request in the inbox, and returns the
// request's id.
func (o *approvalWorld) ask(t testing.TB, c policy.Call) string {
	t.Helper()
	a := o.Do(t.Context(), c)
	if a.Pending == nil || !a.Pending.New || a.Outcome() != schemas.ApprovalPending {
		t.Fatalf("%s made no new request in the inbox: %+v, %v", c.Payload.Action.Name, a, a.Err)
	}
	return a.Pending.ApprovalID
}

// await waits for the outcome of a request, as the call that made it does.
func (o *approvalWorld) await(t testing.TB, id string) <-chan policy.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	out := make(chan policy.Result, 1)
	go func() {
		defer cancel()
		out <- o.AwaitApproval(ctx, o.watch, id)
	}()
	return out
}

// answer records a person's answer to a request. It must count.
func (o *approvalWorld) answer(t testing.TB, id string, who approval.Person, r approval.Reply) {
	t.Helper()
	if got := o.approvals.Answer(t.Context(), []string{id}, who, r); got[0].Err != nil {
		t.Fatalf("%s's answer: %v", who.Name, got[0].Err)
	}
}

var approves = approval.Reply{Approve: true}

func (o *approvalWorld) request(t testing.TB, id string) ledger.ApprovalRequest {
	t.Helper()
	q, err := o.Ledger.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// status returns the result that approval_status shows.
func (o *approvalWorld) status(t testing.TB, id string) policy.Result {
	t.Helper()
	return o.ResultOf(t.Context(), o.request(t, id))
}

// outcome waits until a request has an outcome, and returns it.
func (o *approvalWorld) outcome(t testing.TB, id string) policy.Result {
	t.Helper()
	a := <-o.await(t, id)
	if a.Pending != nil {
		t.Fatalf("no outcome: %+v", a.Err)
	}
	return a
}

// brief returns a result in short, for comparisons.
func brief(a policy.Result) string {
	if a.Err != nil {
		return fmt.Sprintf("%s: %s | %s", a.Err.Outcome, a.Err.Message, a.Err.Next)
	}
	return fmt.Sprintf("%s: %s", a.Outcome(), a.Data)
}

// waitFor waits until ok returns true.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("waited 10 seconds")
}
