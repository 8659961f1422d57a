package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// lane is a series of servers on one transport, and the payloads that their clients have called. A
// payload stays in its lane, because each transport is another caller for the ledger.
type lane struct {
	w         *crashWorld
	transport string
	// caller makes the calls. token is its secret over HTTP, where only callers with one are asked.
	caller ledger.Actor
	token  string
	// trigger is called for each validation, and for each arrival and answer of a run. It may kill
	// the server.
	trigger atomic.Pointer[func(event string)]

	// Guarded by the world.
	ended map[string][]*payload // by the outcome of their last call
	asked []*asked              // over HTTP, and not answered yet
}

// asked is a request for input that a client got. Its person answers later, maybe after the server
// was started again.
type asked struct {
	p              *payload
	state, request string
	at             time.Time
}

// reads is a little more than the time in which no person can answer.
const reads = policy.SoonestAnswer + 50*time.Millisecond

func newLane(w *crashWorld, transport string) *lane {
	return &lane{w: w, transport: transport, caller: local(transport).Actor, ended: map[string][]*payload{}}
}

func (l *lane) event(name string) {
	if f := l.trigger.Load(); f != nil {
		(*f)(name)
	}
}

// round starts a server, loads it, and kills it.
func (l *lane) round() {
	l.clear()
	p, err := launch(l.transport, l.w.dir, l.w.url, l.w.policy)
	if err != nil {
		l.w.fail("%v", err)
		return
	}
	var killed atomic.Bool
	kill := func() {
		if !killed.Swap(true) {
			p.kill()
		}
	}
	if chance(0.1) { // while it starts and opens the ledger
		time.AfterFunc(rand.N(200*time.Millisecond), kill)
	}
	c, err := l.connect(p)
	if err == nil {
		l.aim(kill)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for !killed.Load() && l.call(c) {
				}
			})
		}
		wg.Wait()
		l.trigger.Store(nil)
		c.close()
	} else if !killed.Load() {
		l.w.fail("the %s server does not start: %v", l.transport, err)
	}
	kill()
	<-p.ended
	if s := p.faults(); s != "" {
		l.w.fail("the %s server logged an error: %s", l.transport, s)
	}
	l.w.count("kills")
}

// clear declines what is pending, before there is too much of it: a client on stdio that has lost
// its server does not answer any more.
func (l *lane) clear() {
	open, err := l.w.l.Approvals(l.w.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
	if err != nil {
		l.w.fail("%v", err)
	}
	open = slices.DeleteFunc(open, func(r ledger.ApprovalRequest) bool { return r.Requester != l.caller })
	if len(open) < 10 {
		return
	}
	for _, r := range open {
		if err := l.w.l.AnswerApproval(l.w.t.Context(), r, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "ada", Via: "inbox"}}); err != nil {
			l.w.fail("%v", err)
		}
	}
}

// aim chooses when to kill: at a random moment, or when a run has arrived or its answer has left. On
// stdio half of the servers live until a person can have answered.
func (l *lane) aim(kill func()) {
	least := time.Duration(0)
	if l.transport == "stdio" && chance(0.5) {
		least = reads
	}
	began := time.Now()
	time.AfterFunc(least+10*time.Millisecond+rand.N(300*time.Millisecond), kill)
	if chance(0.6) {
		return
	}
	want := []string{"arrival", "answer"}[rand.N(2)]
	left := atomic.Int32{}
	left.Store(1 + rand.Int32N(6))
	at := func(event string) {
		if event == want && time.Since(began) >= least && left.Add(-1) == 0 {
			kill()
		}
	}
	l.trigger.Store(&at)
}

// client calls one server.
type client interface {
	// call makes a call. On stdio the server asks during it or later, and elicited replies.
	call(p *payload) (*reply, error)
	// answer sends a person's reply for a request state.
	answer(p *payload, state, reply string) (*reply, error)
	close()
}

func (l *lane) connect(p *process) (client, error) {
	if l.transport == "stdio" {
		return newLegacy(p, l.w)
	}
	err := p.listening()
	m := newModern(p.url)
	m.http.Transport = bearerBy{l.token, m.http.Transport}
	return modernClient{m}, err
}

type modernClient struct{ *modern }

func (m modernClient) close() { m.http.CloseIdleConnections() }

func (m modernClient) call(p *payload) (*reply, error) {
	return m.modern.call(p.action.Name, p.args, "")
}

func (m modernClient) answer(p *payload, state, reply string) (*reply, error) {
	return m.modern.answer(p.action.Name, p.args, state, reply)
}

// legacy is a client of the protocol with sessions, over stdio: the server asks during a call.
type legacy struct {
	w  *crashWorld
	mu sync.Mutex
	in io.Writer

	ids     int
	waiting map[string]chan *reply
}

var errDead = errors.New("the server is dead")

func newLegacy(p *process, w *crashWorld) (*legacy, error) {
	c := &legacy{w: w, in: p.in, waiting: map[string]chan *reply{}}
	go c.read(p.out)
	_, err := c.request("initialize", `{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}`)
	c.write(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c, err
}

func (c *legacy) close() {}

func (c *legacy) write(frame string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.in, frame+"\n") // read reports a dead server
}

func (c *legacy) request(method, params string) (*reply, error) {
	answer := make(chan *reply, 1)
	c.mu.Lock()
	c.ids++
	id := fmt.Sprint(c.ids)
	dead := c.waiting == nil
	if !dead {
		c.waiting[id] = answer
	}
	c.mu.Unlock()
	if dead {
		return nil, errDead
	}
	c.write(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`)
	r, ok := <-answer
	if !ok {
		return nil, errDead
	}
	return r, nil
}

func (c *legacy) read(out *bufio.Reader) {
	for {
		line, err := out.ReadBytes('\n')
		if err != nil {
			break
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Message string }
			reply
		}
		if err := json.Unmarshal(line, &m); err != nil {
			c.w.fail("not a message: %s", line)
			continue
		}
		if m.Method == "elicitation/create" {
			go c.elicited(string(m.ID), m.Params.Message)
			continue
		}
		c.mu.Lock()
		answer := c.waiting[string(m.ID)]
		delete(c.waiting, string(m.ID))
		c.mu.Unlock()
		if answer != nil {
			answer <- &m.reply
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answer := range c.waiting {
		close(answer)
	}
	c.waiting = nil
}

func (c *legacy) elicited(id, request string) {
	answer := declines
	if p := c.w.find(request); p == nil {
		c.w.fail("a request without a payload: %s", request)
	} else {
		answer = c.w.decide(p, "", request)
	}
	time.Sleep(reads)
	c.write(`{"jsonrpc":"2.0","id":` + id + `,"result":` + answer + `}`)
}

func (c *legacy) call(p *payload) (*reply, error) {
	return c.request("tools/call", `{"name":"`+p.action.Name+`","arguments":`+p.args+`}`)
}

func (c *legacy) answer(p *payload, _, _ string) (*reply, error) { return c.call(p) }

// decide returns a person's reply to a request: they decline repeats, and some other calls.
func (w *crashWorld) decide(p *payload, state, request string) (reply string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["requests"]++
	if strings.Contains(request, "The same call ") {
		w.counts["requests for a repeat, declined"]++
		return declines
	}
	if !p.confirmed() {
		w.fail("a person was asked needlessly: %s", request)
	}
	if chance(0.05) {
		return declines
	}
	p.approved++
	p.state = state
	return approves
}

// call makes one call, new or known, and reports whether the server is still running.
func (l *lane) call(c client) bool {
	w := l.w
	var r *reply
	var err error
	var p *payload
	if a := l.due(); a != nil {
		p = a.p
		r, err = c.answer(p, a.state, w.decide(p, a.state, a.request))
	} else {
		var state string
		if p, state = l.pick(); state == "" {
			r, err = c.call(p)
		} else { // an approval for the second time
			r, err = c.answer(p, state, approves)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && r.Result.RequestState != "" {
		l.asked = append(l.asked, &asked{p, r.Result.RequestState, r.request(), time.Now()})
		return true
	}
	got := clientResult{p: p, outcome: "crashed"}
	if err == nil {
		got.outcome, got.intent = r.outcome(), r.Result.StructuredContent.Intent
		switch {
		case got.outcome == "limit_exceeded" && strings.Contains(r.Result.StructuredContent.Message, "approval requests of this caller"):
			got.outcome = "denied" // a fast machine asks for more than a person may have to answer
		case got.outcome == "limit_exceeded" && strings.Contains(r.Result.StructuredContent.Message, "were declined"):
			got.outcome = "denied"
			liftPauses(w.t, w.l)
		case r.Error != nil, got.outcome == "", got.outcome == "unavailable":
			w.fail("no outcome: %+v", r)
		}
	}
	if got.outcome == "done" {
		p.done++
	}
	w.results = append(w.results, got)
	w.counts["calls"]++
	w.counts["got "+got.outcome]++
	l.ended[got.outcome] = append(l.ended[got.outcome], p)
	return err == nil
}

// due returns a request that its person answers now; nil for none.
func (l *lane) due() *asked {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if len(l.asked) == 0 || time.Since(l.asked[0].at) < reads || chance(0.3) {
		return nil
	}
	a := l.asked[0]
	l.asked = l.asked[1:]
	return a
}

// pick returns a new payload, or a known one after any outcome, sometimes with the request state of
// its last approval.
func (l *lane) pick() (p *payload, state string) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	after := []string{"done", "begun", "outcome_unknown", "crashed", "declined", "upstream_error"}[rand.N(6)]
	known := l.ended[after]
	if chance(0.6) || len(known) == 0 {
		p = l.newPayload()
		l.ended["begun"] = append(l.ended["begun"], p)
		return p, ""
	}
	w.counts["repeats after "+after]++
	known = known[max(0, len(known)-callers*4):]
	p = known[rand.N(len(known))]
	if chance(0.4) {
		state = p.state
	}
	return p, state
}

// templates are the arguments of the actions that are called; %s is the token.
var templates = map[string]string{
	"create_contact":       `{"input":{"fullName":"Ada %s"}}`,
	"create_call":          `{"input":{"callUuid":"%s","direction":"inbound","fromNumber":"+442079460123","toNumber":"+442079460124"}}`,
	"update_contact":       `{"identity":"%s","input":{"fullName":"Ada"}}`,
	"flag_call_for_review": `{"identity":"%s"}`,
	"start_outbound_call":  `{"input":{"contactId":"%s"}}`,
	"leave_call":           `{"input":{"callUuid":"%s"}}`,
	"archive_contact":      `{"identity":"%s"}`,
	"delete_contact":       `{"input":{"contactId":"%s"},"fields":["id"]}`,
}

var templateNames = slices.Sorted(maps.Keys(templates))

func (l *lane) newPayload() *payload {
	return l.w.newPayload(l, l.caller, templateNames)
}

// newPayload returns a call of one of the actions that was not made before.
func (w *crashWorld) newPayload(l *lane, caller ledger.Actor, names []string) *payload {
	token := fmt.Sprintf("%08x-0000-4000-8000-%012d", rand.Uint32(), len(w.payloads))
	name := names[rand.N(len(names))]
	a, err := schemas.Find(name)
	if err != nil {
		panic(err)
	}
	args := fmt.Sprintf(templates[name], token)
	checked, err := a.Check([]byte(args), schemas.Limits{})
	if err != nil {
		panic(err)
	}
	p := &payload{action: a, args: args, body: string(checked.Body), lane: l, txn: ledger.Txn{Repeats: a.Repeats(),
		Call: ledger.Call{Caller: caller, Organisation: w.organisation, Action: name, Class: a.Class, Hash: checked.Hash(), EffectKey: checked.EffectKey()}}}
	w.payloads[token] = p
	return p
}
