package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	crashRounds = 320 // shared by both transports
	crashShort  = 24  // with -short
	callers     = 4   // at once, of one server
)

const crashPolicy = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: confirm, credential: deny}
`

// payload is one call that is made, once or again and again, by the clients of one transport.
type payload struct {
	action *schemas.Action
	args   string
	body   string // the canonical bytes
	txn    ledger.Txn
	lane   *lane

	// Guarded by the world.
	validated, yes int
	state          string // of the last question that was answered yes, where the client was told one
	runs           []*run
	done           int
}

func (p *payload) confirmed() bool { return p.action.Class != schemas.Write }

// ending is what the upstream did with a run request, and so what may become of its intent.
type ending string

const (
	answered ending = "answered" // it ran
	turned   ending = "refused"  // it did not, and the caller was told
	broken   ending = "broken"   // it may have: no answer, half of one, or HTTP 500
)

var mayBecome = map[ending][]ledger.Progress{
	answered: {ledger.Succeeded, ledger.Unknown}, // unknown: the server died before the answer
	turned:   {ledger.Failed, ledger.Unknown},
	broken:   {ledger.Unknown},
}

// run is a run request, and what the ledger held at the moment when it arrived.
type run struct {
	at     time.Time
	intent ledger.Intent
	end    ending
}

// told is an answer that a client got.
type told struct {
	p               *payload
	outcome, intent string
}

// crashWorld is everything beside the servers: upstream, clients and the ledger as the test reads it.
type crashWorld struct {
	t            *testing.T
	dir, policy  string
	url          string
	organisation string
	l            *ledger.SQLite
	closing      chan struct{}
	looking      sync.Mutex

	mu       sync.Mutex
	payloads map[string]*payload // by their token
	told     []told
	counts   map[string]int
}

// fail is for goroutines: the world is checked only when all have ended.
func (w *crashWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
}

func (w *crashWorld) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// A server is killed, again and again, at random moments and at the worst ones, while clients call and the upstream
// fails: nothing runs twice, nothing runs unrecorded, nothing that was recorded or said is lost.
func TestCrashes(t *testing.T) {
	t.Parallel() // with what mostly waits
	began := time.Now()
	w := newCrashWorld(t)
	up := httptest.NewServer(w)
	w.url = up.URL
	c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
	if err != nil {
		t.Fatal(err)
	}
	w.organisation = c.Organisation()
	n := crashRounds
	if testing.Short() {
		n = crashShort
	}
	var outside string
	lanes := []*lane{newLane(w, "http"), newLane(w, "stdio")}
	for half := range 2 {
		var wg sync.WaitGroup
		for _, l := range lanes {
			wg.Go(func() {
				for range n / 2 / len(lanes) {
					l.round()
				}
			})
		}
		wg.Wait()
		if half == 0 {
			outside = w.copyCheckpoints()
		}
	}
	close(w.closing)
	up.Close() // and whatever is still in it
	w.check(outside)
	t.Logf("%d rounds in %v: %s", n, time.Since(began).Round(time.Millisecond), w.figures())
}

func newCrashWorld(t *testing.T) *crashWorld {
	temp := t.TempDir()
	w := &crashWorld{t: t, dir: filepath.Join(temp, "state"), policy: filepath.Join(temp, "policy.yaml"), closing: make(chan struct{}),
		payloads: map[string]*payload{}, counts: map[string]int{}}
	if err := os.WriteFile(w.policy, []byte(crashPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened once: while it is, nothing else in this process may open and close the file. It also signs, five times a second.
	w.l = openState(t, w.dir)
	return w
}

// copyCheckpoints keeps what is signed so far where the servers cannot reach it, and gives the file.
func (w *crashWorld) copyCheckpoints() string {
	elsewhere := w.t.TempDir()
	for _, name := range []string{ledger.CheckpointFile, ledger.VerifyKeyFile} {
		raw, err := os.ReadFile(filepath.Join(w.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(elsewhere, name), raw, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return filepath.Join(elsewhere, ledger.CheckpointFile)
}

// The upstream.

var tokens = regexp.MustCompile(`[0-9a-f]{8}-0000-4000-8000-[0-9]{12}`)

// find gives the payload that a text is about.
func (w *crashWorld) find(text string) *payload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.payloads[tokens.FindString(text)]
}

// ServeHTTP is Sippet: it validates, answers, and fails in every way.
func (w *crashWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	validating := strings.HasSuffix(r.URL.Path, "/validate")
	if chance(0.02) && !(validating && chance(0.8)) { // validating is tried again, which takes time
		w.count("reset unread")
		cut(rw)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it died within its request, of which nothing can have run
	}
	p := w.find(string(body))
	switch {
	case p == nil:
		w.fail("the upstream got what nobody asked for: %s", body)
	case strings.HasPrefix(string(body), `{"action":"list_`):
		fmt.Fprintf(rw, `{"success":true,"data":{"results":[{"id":"%s","fullName":"Ada","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null}],"hasMore":false}}`, tokens.FindString(string(body)))
	case string(body) != p.body:
		w.fail("not the bytes of the payload: %s, want %s", body, p.body)
	case validating:
		w.mu.Lock()
		p.validated++
		w.mu.Unlock()
		p.lane.edge("validate")
		io.WriteString(rw, `{"success":true}`)
	default:
		w.run(rw, r, p)
	}
}

// run writes a run request down, and first of all looks whether its intent is durable.
func (w *crashWorld) run(rw http.ResponseWriter, r *http.Request, p *payload) {
	intent, err := w.look(p)
	run := &run{at: time.Now(), end: answered}
	switch x := rand.Float64(); {
	case x < 0.10:
		run.end = broken
	case x < 0.14:
		run.end = turned
	}
	switch {
	case err != nil:
		w.fail("the ledger cannot be read: %v", err)
	case intent == nil || intent.State == ledger.Succeeded:
		w.fail("%s reached the upstream without an open intent", p.body)
	default:
		run.intent = *intent
	}
	w.mu.Lock()
	p.runs = append(p.runs, run)
	w.counts["runs upstream"]++
	if p.validated == 0 {
		w.fail("%s ran and was not validated", p.body)
	}
	w.mu.Unlock()
	p.lane.edge("arrival")
	time.Sleep(rand.N(15 * time.Millisecond))
	switch run.end {
	case answered:
		fmt.Fprintf(rw, `{"success":true,"data":{"id":"%s"}}`, tokens.FindString(p.body))
		_ = http.NewResponseController(rw).Flush()
	case turned:
		io.WriteString(rw, `{"success":false,"errors":[{"type":"invalid","message":"no","shortMessage":"no","vars":{},"fields":[],"path":[]}]}`)
	default:
		w.breakOff(rw, r)
	}
	p.lane.edge("answer")
}

// look finds what stands in the way of a payload: its latest intent, unless that has failed. One look at a time.
func (w *crashWorld) look(p *payload) (*ledger.Intent, error) {
	w.looking.Lock()
	defer w.looking.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.l.Prior(ctx, p.txn)
}

// breakOff leaves the caller without a usable answer.
func (w *crashWorld) breakOff(rw http.ResponseWriter, r *http.Request) {
	switch rand.N(4) {
	case 0: // until the server dies
		select {
		case <-r.Context().Done():
		case <-w.closing:
		}
	case 1:
		rw.WriteHeader(http.StatusInternalServerError)
	case 2:
		io.WriteString(rw, `{"success":true,"da`)
		_ = http.NewResponseController(rw).Flush()
		cut(rw)
	default:
		cut(rw)
	}
}

// cut resets the connection.
func cut(rw http.ResponseWriter) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func chance(p float64) bool { return rand.Float64() < p }

// The load.

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
	call(p *payload, asked func(p *payload, state, question string) bool) (*reply, error)
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
	return m.answer(p.action.Name, p.args, state, saysYes)
}

func (m modernWire) call(p *payload, asked func(*payload, string, string) bool) (*reply, error) {
	r, err := m.modern.call(p.action.Name, p.args, "")
	if err != nil || r.Result.RequestState == "" {
		return r, err
	}
	said := saysNo
	if asked(p, r.Result.RequestState, r.question()) {
		said = saysYes
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

func (c *legacy) elicited(id, question string) {
	said := saysNo
	if p := c.w.find(question); p == nil {
		c.w.fail("a question about nothing: %s", question)
	} else if c.w.person(p, "", question) {
		said = saysYes
	}
	c.write(`{"jsonrpc":"2.0","id":` + id + `,"result":` + said + `}`)
}

func (c *legacy) call(p *payload, _ func(*payload, string, string) bool) (*reply, error) {
	return c.request("tools/call", `{"name":"`+p.action.Name+`","arguments":`+p.args+`}`)
}

func (c *legacy) again(p *payload, _ string) (*reply, error) { return c.call(p, nil) }

// person answers a question: no to what may have run before, and now and then to what did not.
func (w *crashWorld) person(p *payload, state, question string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["questions"]++
	if strings.Contains(question, "The same was") {
		w.counts["questions of a repeat, refused"]++
		return false
	}
	if !p.confirmed() {
		w.fail("a person was asked without need: %s", question)
	}
	if chance(0.05) {
		return false
	}
	p.yes++
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
	p := &payload{action: a, args: args, body: string(checked.Body), lane: l, txn: ledger.Txn{Repeatable: a.Repeatable,
		Call: ledger.Call{Principal: principal, Upstream: w.organisation, Action: name, Class: a.Class, Hash: checked.Hash()}}}
	w.payloads[token] = p
	return p
}

// What must hold.

// check holds what the upstream saw and the clients were told against the ledger, once no server lives.
func (w *crashWorld) check(outside string) {
	t := w.t
	if err := w.l.Close(); err != nil {
		t.Error(err)
	}
	w.verifyCommand(outside)
	w.l = openState(t, w.dir) // sweeps what the last ones left
	report := verified(t, w.l, ledger.VerifyOptions{})
	var o ledger.VerifyOptions
	var key []byte
	var err error
	if o.Checkpoint, err = os.ReadFile(outside); err == nil {
		key, err = os.ReadFile(filepath.Join(filepath.Dir(outside), ledger.VerifyKeyFile))
		o.Key = string(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	verified(t, w.l, o)
	if report.InFlight != 0 {
		t.Errorf("%d intents are in flight, and nobody is alive", report.InFlight)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts["intents"], w.counts["unknown"], w.counts["records"] = report.Intents, report.Unknown, int(report.Records)
	intents := w.checkIntents()
	for _, p := range w.payloads {
		checkRuns(t, p, intents)
	}
	w.checkTold(intents)
}

// verifyCommand is what a person does after a crash.
func (w *crashWorld) verifyCommand(outside string) {
	var errs bytes.Buffer
	c := exec.Command("sippet-mcp", "audit", "verify", "--state-dir", w.dir, "--checkpoint", outside)
	c.Stderr = &errs
	if out, err := c.Output(); err != nil {
		w.t.Errorf("audit verify: %v: %s %s", err, out, errs.String())
	}
}

// kept is an intent and the payload that it is of.
type kept struct {
	ledger.Intent
	p *payload
}

// checkIntents reads the chain: every intent is of one of our payloads and has ended, and no yes was spent twice.
func (w *crashWorld) checkIntents() map[string]kept {
	t := w.t
	records, err := w.l.Records(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	intents, err := w.l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	of := w.payloadsByPrint(records)
	prints, spent := map[string]string{}, map[string]int{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhasePrepared:
			prints[r.Intent] = r.Print
			if r.Grant != "" {
				spent[r.Grant]++
			}
		case r.Phase == ledger.PhaseSwept:
			w.counts["swept"]++
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent) && r.Grant != "":
			spent[r.Grant]-- // given back: nothing had left the machine
		}
	}
	for grant, n := range spent {
		if n > 1 {
			t.Errorf("the yes %s was spent %d times", grant, n)
		}
	}
	all := map[string]kept{}
	for _, in := range intents {
		w.counts["intents "+string(in.State)]++
		all[in.ID] = kept{in, of[prints[in.ID]]}
		switch {
		case all[in.ID].p == nil:
			t.Errorf("intent %s is of no payload: %+v", in.ID, in)
		case in.Principal != all[in.ID].p.txn.Principal || in.Action != all[in.ID].p.action.Name:
			t.Errorf("intent %s is of another call: %+v", in.ID, in)
		case in.State == ledger.Prepared || in.State == ledger.Sent:
			t.Errorf("intent %s has no outcome", in.ID)
		}
	}
	return all
}

// payloadsByPrint says which payload a print is of: by a sealed copy that can be read, or, where the subject was
// erased since, by what was durable when it ran.
func (w *crashWorld) payloadsByPrint(records []ledger.Record) map[string]*payload {
	bodies, ran, of := map[string]*payload{}, map[string]*payload{}, map[string]*payload{}
	for _, p := range w.payloads {
		bodies[p.body] = p
		for _, r := range p.runs {
			ran[r.intent.ID] = p
		}
	}
	for _, r := range records {
		if r.Private != nil && bodies[string(r.Private.Payload)] != nil {
			of[r.Print] = bodies[string(r.Private.Payload)]
		} else if p := ran[r.Intent]; p != nil && r.Phase == ledger.PhasePrepared {
			of[r.Print] = p
		}
	}
	return of
}

// checkRuns: each run had an intent of its own and, where one was due, a yes of its own; and it was followed by
// another only where it was known how it had ended.
func checkRuns(t *testing.T, p *payload, intents map[string]kept) {
	seen, yeses := map[string]bool{}, map[string]bool{}
	for i, r := range p.runs {
		in := intents[r.intent.ID]
		switch {
		case in.p != p:
			t.Errorf("%s ran, and its intent %q is lost", p.body, r.intent.ID)
			continue
		case seen[in.ID]:
			t.Errorf("%s ran twice by the one intent %s", p.body, in.ID)
		case p.confirmed() && (in.Grant == "" || yeses[in.Grant]):
			t.Errorf("%s ran without a yes of its own (%q)", p.body, in.Grant)
		case !slices.Contains(mayBecome[r.end], in.State):
			t.Errorf("%s was %s, and its intent is %s", p.body, r.end, in.State)
		case in.Prepared.After(r.at.Add(time.Millisecond)):
			t.Errorf("%s ran at %v, before its intent of %v", p.body, r.at, in.Prepared)
		}
		seen[in.ID], yeses[in.Grant] = true, true
		if i+1 < len(p.runs) {
			checkRepeat(t, p, in, p.runs[i+1])
		}
	}
	if p.confirmed() && len(p.runs) > p.yes {
		t.Errorf("%s ran %d times after %d yeses", p.body, len(p.runs), p.yes)
	}
}

// checkRepeat: nobody agrees to a repeat here, so one may only follow where nothing ran, or where running again is no harm.
func checkRepeat(t *testing.T, p *payload, first kept, second *run) {
	known := first.State == ledger.Failed || first.State == ledger.Succeeded && p.action.Repeatable
	if !known || first.Settled.After(second.intent.Prepared) {
		t.Errorf("%s ran again at %v, when the run before was %s (settled %v)", p.body, second.at, first.State, first.Settled)
	}
}

// checkTold holds each answer against the ledger.
func (w *crashWorld) checkTold(intents map[string]kept) {
	t := w.t
	succeeded := map[*payload]int{}
	for _, in := range intents {
		if in.State == ledger.Succeeded {
			succeeded[in.p]++
			if !slices.ContainsFunc(in.p.runs, func(r *run) bool { return r.intent.ID == in.ID && r.end == answered }) {
				t.Errorf("intent %s succeeded, and the upstream did not run it: %s", in.ID, in.p.body)
			}
		}
	}
	for _, p := range w.payloads {
		if p.done > succeeded[p] {
			t.Errorf("clients were told %d times that %s ran; in the ledger it did %d times", p.done, p.body, succeeded[p])
		}
	}
	for _, a := range w.told {
		in := intents[a.intent]
		switch a.outcome {
		case "recorded":
			if in.p != a.p || in.State != ledger.Succeeded {
				t.Errorf("an answer came from the record, and that says: %+v", in)
			}
		case "outcome_unknown":
			if in.p != a.p {
				t.Errorf("nobody knows how %s ended, and its intent %q is lost", a.p.body, a.intent)
			}
		case "done", "crashed", "declined", "denied", "upstream_error", "upstream_unavailable":
		default:
			t.Errorf("%s was answered with %s", a.p.body, a.outcome)
		}
	}
}

func (w *crashWorld) figures() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(w.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", w.counts[k], k))
	}
	return strings.Join(parts, ", ")
}
