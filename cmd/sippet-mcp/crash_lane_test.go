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
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// lane is one server after the other on one transport, and what its clients have called so far. A payload stays in its
// lane: to the ledger the caller of another transport is another caller.
type lane struct {
	w         *crashWorld
	transport string
	// sharp hears of each validate, and of each arrival and answer of a run, and may kill the server that runs now.
	sharp atomic.Pointer[func(edge string)]

	// Guarded by the world.
	ended map[string][]*payload // by how their last call ended
}

func newLane(w *crashWorld, transport string) *lane {
	return &lane{w: w, transport: transport, ended: map[string][]*payload{}}
}

func (l *lane) edge(name string) {
	if f := l.sharp.Load(); f != nil {
		(*f)(name)
	}
}

// round starts a server, loads it, and kills it.
func (l *lane) round() {
	// The questions of the dead wait on, and there is a limit to how many may.
	p, err := launch(l.transport, l.w.dir, l.w.url, l.w.policy, time.Second)
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
	if chance(0.1) { // while it starts, and opens and sweeps the ledger
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
		l.sharp.Store(nil)
		c.close()
	} else if !killed.Load() {
		l.w.fail("the %s server does not start: %v", l.transport, err)
	}
	kill()
	<-p.ended
	if s := p.faults(); s != "" {
		l.w.fail("the %s server complained: %s", l.transport, s)
	}
	l.w.count("kills")
}

// aim chooses the moment: any, or that at which a run has arrived, or at which its answer has left.
func (l *lane) aim(kill func()) {
	time.AfterFunc(10*time.Millisecond+rand.N(300*time.Millisecond), kill)
	if chance(0.6) {
		return
	}
	want := []string{"arrival", "answer"}[rand.N(2)]
	left := atomic.Int32{}
	left.Store(1 + rand.Int32N(6))
	at := func(edge string) {
		if edge == want && left.Add(-1) == 0 {
			kill()
		}
	}
	l.sharp.Store(&at)
}

// wire is a client of one server.
type wire interface {
	// call makes a call; asked decides what a person says to a question. state is the question's, where the client is told.
	call(p *payload, asked func(p *payload, state, request string) bool) (*reply, error)
	// again brings a yes that was brought before.
	again(p *payload, state string) (*reply, error)
	close()
}

func (l *lane) connect(p *process) (wire, error) {
	if l.transport == "stdio" {
		return newLegacy(p, l.w)
	}
	err := p.listening()
	return modernWire{newModern(p.url)}, err
}

type modernWire struct{ *modern }

func (m modernWire) close() { m.http.CloseIdleConnections() }

func (m modernWire) again(p *payload, state string) (*reply, error) {
	return m.answer(p.action.Name, p.args, state, approves)
}

func (m modernWire) call(p *payload, asked func(*payload, string, string) bool) (*reply, error) {
	r, err := m.modern.call(p.action.Name, p.args, "")
	if err != nil || r.Result.RequestState == "" {
		return r, err
	}
	said := saysNo
	if asked(p, r.Result.RequestState, r.request()) {
		said = approves
	}
	return m.answer(p.action.Name, p.args, r.Result.RequestState, said)
}

// legacy is a client of the era with sessions, over stdio: the server asks while a call waits.
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
	_, _ = io.WriteString(c.in, frame+"\n") // where it is dead, the reader says so
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
			c.w.fail("no message: %s", line)
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
	said := saysNo
	if p := c.w.find(request); p == nil {
		c.w.fail("a question about nothing: %s", request)
	} else if c.w.person(p, "", request) {
		said = approves
	}
	c.write(`{"jsonrpc":"2.0","id":` + id + `,"result":` + said + `}`)
}

func (c *legacy) call(p *payload, _ func(*payload, string, string) bool) (*reply, error) {
	return c.request("tools/call", `{"name":"`+p.action.Name+`","arguments":`+p.args+`}`)
}

func (c *legacy) again(p *payload, _ string) (*reply, error) { return c.call(p, nil) }

// person answers a question: no to what may have run before, and now and then to what did not.
func (w *crashWorld) person(p *payload, state, request string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["questions"]++
	if strings.Contains(request, "The same was") {
		w.counts["questions of a repeat, refused"]++
		return false
	}
	if !p.confirmed() {
		w.fail("a person was asked without need: %s", request)
	}
	if chance(0.05) {
		return false
	}
	p.approved++
	p.state = state
	return true
}

// call makes one call, new or known, and reports whether the server lives on.
func (l *lane) call(c wire) bool {
	w := l.w
	p, state := l.pick()
	var r *reply
	var err error
	if state != "" {
		r, err = c.again(p, state)
	} else {
		r, err = c.call(p, w.person)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	got := told{p: p, outcome: "crashed"}
	if err == nil {
		got.outcome, got.intent = r.outcome(), r.Result.StructuredContent.Intent
		if r.Error != nil || got.outcome == "" {
			w.fail("no outcome: %+v", r)
		}
	}
	if got.outcome == "done" {
		p.done++
	}
	w.told = append(w.told, got)
	w.counts["calls"]++
	w.counts["told "+got.outcome]++
	l.ended[got.outcome] = append(l.ended[got.outcome], p)
	return err == nil
}

// pick gives a new payload, or a known one: it ran, is in flight, may have run, or its server died; now and then with
// the yes that it had before.
func (l *lane) pick() (p *payload, state string) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	after := []string{"done", "begun", "outcome_unknown", "crashed", "declined", "upstream_error"}[rand.N(6)]
	known := l.ended[after]
	if chance(0.6) || len(known) == 0 {
		p = l.invent()
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

// templates are the arguments of what is called; %s is the token.
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

func (l *lane) invent() *payload {
	return l.w.invent(l, me()+" ("+l.transport+")", templateNames)
}

// invent makes a payload of one of the actions that nobody has called.
func (w *crashWorld) invent(l *lane, principal string, names []string) *payload {
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
	p := &payload{action: a, args: args, body: string(checked.Body), lane: l, txn: ledger.Txn{Idempotent: a.Idempotent,
		Call: ledger.Call{Caller: ledger.Actor{Name: principal}, Organisation: w.organisation, Action: name, Class: a.Class, Hash: checked.Hash()}}}
	w.payloads[token] = p
	return p
}

// What must hold.
