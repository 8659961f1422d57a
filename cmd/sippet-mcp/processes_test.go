package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// process is the program serving MCP in a process of its own, on either transport.
type process struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	in    io.WriteCloser // of stdio
	url   string         // of http
	told  sync.Mutex     // guards wrong
	wrong bytes.Buffer   // what it wrote to stderr; it logs errors only
	ended chan struct{}
}

// launch starts the program. It is reaped as soon as it ends: to the ledger a dead process that nobody waited for is alive.
func launch(transport, dir, upstream, policy string, wait time.Duration) (*process, error) {
	args := []string{transport, "--base-url", upstream, "--state-dir", dir, "--policy", policy, "--ask-timeout", wait.String(), "--log-level", "error"}
	if transport == "http" {
		args = append(args, "--addr", "127.0.0.1:0")
	}
	return spawn(args)
}

// spawn starts the program with any arguments, and with more in its environment.
func spawn(args []string, env ...string) (*process, error) {
	p := &process{cmd: exec.Command("sippet-mcp", args...), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", "SIPPET_SECRET_KEY="+rpctest.Key), env...)
	p.cmd.Stderr = p
	// A pipe of our own: what it said before it died is still read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p.cmd.Stdout, p.out = w, bufio.NewReader(r)
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Write takes what the program writes to stderr.
func (p *process) Write(b []byte) (int, error) {
	p.told.Lock()
	defer p.told.Unlock()
	return p.wrong.Write(b)
}

func (p *process) faults() string {
	p.told.Lock()
	defer p.told.Unlock()
	return p.wrong.String()
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

var atMCP = regexp.MustCompile(`http://\S+/mcp`)

// listening waits until the program serves HTTP, and remembers where.
func (p *process) listening() error {
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			return err
		}
		if p.url = atMCP.FindString(line); p.url != "" {
			return nil
		}
	}
}

// reply is a response to tools/call.
type reply struct {
	Result struct {
		ResultType, RequestState string
		StructuredContent        struct {
			Outcome, Message, NextStep, Intent, ApprovedBy string
			Approval                                       struct{ ID, Link, Needs string }
		}
		InputRequests map[string]struct{ Params struct{ Message string } }
	}
	Error *struct{ Message string }
}

func (r *reply) outcome() string { return r.Result.StructuredContent.Outcome }
func (r *reply) request() string { return r.Result.InputRequests["approve"].Params.Message }

const (
	approves = `{"action":"accept","content":{"approve":true}}`
	saysNo   = `{"action":"decline"}`
)

// modern is a client of the era without sessions: a question is an answer, and the call comes again with the person's.
type modern struct {
	url  string
	http *http.Client
}

func newModern(url string) *modern {
	return &modern{url, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}}
}

// call is one tools/call; rest are more of its params.
func (m *modern) call(tool, args, rest string) (*reply, error) {
	const version = "2026-07-28"
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + rest +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version + `","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`
	req, err := http.NewRequest("POST", m.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": tool} {
		req.Header.Set(k, v)
	}
	res, err := m.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if _, data, ok := bytes.Cut(raw, []byte("data: ")); ok {
		raw = data
	}
	r := new(reply)
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(r); err != nil {
		return nil, fmt.Errorf("HTTP %d is no answer: %s", res.StatusCode, raw)
	}
	return r, nil
}

// answer calls again with what a person said to the question.
func (m *modern) answer(tool, args, state, said string) (*reply, error) {
	return m.call(tool, args, `,"inputResponses":{"approve":`+said+`},"requestState":"`+state+`"`)
}

// serverFor is an HTTP server that ends with the test, and a client of it.
func serverFor(t *testing.T, dir, upstream string) (*process, *modern) {
	t.Helper()
	p, err := launch("http", dir, upstream, "desktop", time.Minute)
	if err == nil {
		err = p.listening()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := newModern(p.url)
	t.Cleanup(func() {
		m.http.CloseIdleConnections()
		p.kill()
		<-p.ended
		if s := p.faults(); s != "" {
			t.Errorf("a server complained: %s", s)
		}
	})
	return p, m
}

// servers are some of them on one state directory.
func servers(t *testing.T, n int, dir, upstream string) (all []*process, clients []*modern) {
	t.Helper()
	for range n {
		p, m := serverFor(t, dir, upstream)
		all, clients = append(all, p), append(clients, m)
	}
	return all, clients
}

func openState(t *testing.T, dir string) *ledger.SQLite {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, Age: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func verified(t *testing.T, l *ledger.SQLite, o ledger.VerifyOptions) ledger.Report {
	t.Helper()
	r, err := l.Verify(t.Context(), o)
	if err != nil {
		t.Error(err)
	}
	for _, f := range r.Findings {
		t.Errorf("the ledger does not verify: %s (%s)", f.Text, f.Kind)
	}
	return r
}

func ran(up *rpctest.Server, action string) (n int) {
	for _, r := range up.Requests() {
		if r.Endpoint == rpctest.Run && r.Action == action {
			n++
		}
	}
	return n
}

// One yes, brought to three servers by many at once, is spent once.
func TestApprovalRacedOverServers(t *testing.T) {
	const races, each = 12, 6
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Delay: 10 * time.Millisecond}))
	_, clients := servers(t, 3, dir, up.URL)
	outcomes := map[string]int{}
	for race := range races {
		// The first is answered from the record when it comes again, the second may be repeated.
		tool, args := "start_outbound_call", fmt.Sprintf(`{"input":{"phoneNumber":"+4420794%05d"}}`, race)
		if race%2 == 1 {
			tool, args = "archive_contact", fmt.Sprintf(`{"identity":"%s"}`, rpctest.ID(race))
		}
		up.Forget()
		asked, err := clients[race%3].call(tool, args, "")
		if err != nil || asked.Result.RequestState == "" {
			t.Fatalf("no question: %v %+v", err, asked)
		}
		done := 0
		if t.Failed() {
			return // a server that hangs would hold up every race
		}
		for _, o := range raceApproval(t, clients, each, tool, args, asked.Result.RequestState) {
			outcomes[o]++
			if o == "done" {
				done++
			}
		}
		if n := ran(up, tool); n != 1 || done != 1 {
			t.Errorf("%s: one yes ran %d times, and %d callers were told that it was theirs", tool, n, done)
		}
	}
	l := openState(t, dir)
	spent := map[string]int{}
	intents, err := l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range intents {
		spent[in.ApprovalID]++
	}
	if len(intents) != races || len(spent) != races {
		t.Errorf("%d yeses were spent %d times", len(spent), len(intents))
	}
	verified(t, l, ledger.VerifyOptions{})
	t.Logf("%d yeses, each brought %d times to three servers: %v", races, 3*each, outcomes)
}

// raceApproval brings the yes to all servers, several times at once, and gives how that ended.
func raceApproval(t *testing.T, clients []*modern, each int, tool, args, state string) []string {
	var wg sync.WaitGroup
	got := make([]string, each*len(clients))
	gun := make(chan struct{})
	for i := range got {
		wg.Go(func() {
			<-gun
			r, err := clients[i%len(clients)].answer(tool, args, state, approves)
			if err != nil {
				t.Error(err)
				return
			}
			switch got[i] = r.outcome(); got[i] {
			case "done", "recorded", "outcome_unknown", "denied": // the last two: it is running, or the yes is spent
			default:
				t.Errorf("%s: %+v", tool, r)
			}
		})
	}
	close(gun)
	wg.Wait()
	return got
}

// seen is what a client met, and when it had asked.
type seen struct {
	began, ended time.Time
	outcome      string
}

// watcher calls one server again and again, each time something new, and keeps the answers that differed from the one before.
type watcher struct {
	mu      sync.Mutex
	changes []seen
}

func (w *watcher) watch(t *testing.T, m *modern, name string, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond): // an AI thinks longer
		}
		began := time.Now()
		r, err := m.call("create_contact", fmt.Sprintf(`{"input":{"fullName":"%s %d"}}`, name, i), "")
		if err != nil {
			t.Error(err)
			return
		}
		w.mu.Lock()
		if n := len(w.changes); n == 0 || w.changes[n-1].outcome != r.outcome() {
			w.changes = append(w.changes, seen{began, time.Now(), r.outcome()})
		}
		w.mu.Unlock()
	}
}

// await waits until the server answers so, no earlier than then, and gives when the first call that met it was made.
func (w *watcher) await(t *testing.T, then time.Time, outcome string) time.Time {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		last := seen{}
		if n := len(w.changes); n > 0 {
			last = w.changes[n-1]
		}
		w.mu.Unlock()
		if last.outcome == outcome && last.ended.After(then) {
			return last.began
		}
	}
	t.Fatalf("the server never answered %s: %+v", outcome, w.changes)
	return time.Time{}
}

// A freeze that one process makes, here or by the command, is obeyed by all others within a second, and so is its end.
func TestStopHoldsOnServers(t *testing.T) {
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	l := openState(t, dir)
	_, clients := servers(t, 3, dir, up.URL)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	watchers := make([]watcher, len(clients))
	for i, m := range clients {
		wg.Go(func() { watchers[i].watch(t, m, fmt.Sprint("server ", i), stop) })
	}
	// Once only, and also where the test ends early.
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	began := time.Now()
	for i := range watchers {
		watchers[i].await(t, began.Add(-time.Second), "done")
	}
	var slowest, making [2]time.Duration
	for round := range 6 {
		byCommand := round%2 == 1
		froze := time.Now()
		stopServers(t, l, dir, byCommand)
		durable, runs := time.Now(), ran(up, "create_contact")
		making[0] = max(making[0], durable.Sub(froze))
		slowest[0] = max(slowest[0], obeyed(t, watchers, froze, durable, "stopped"))
		// What was committed before the freeze may still arrive; nothing else.
		if more := ran(up, "create_contact") - runs; more > len(clients) {
			t.Errorf("round %d: %d writes arrived after the freeze", round, more)
		}
		for i, m := range clients {
			if r, err := m.call("list_contacts", `{}`, ""); err != nil || r.outcome() != "done" {
				t.Errorf("server %d does not read while all is stopped: %v %+v", i, err, r)
			}
			r, err := m.call("start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`, "")
			if err != nil || r.outcome() != "stopped" {
				t.Errorf("server %d: %v %+v", i, err, r)
			}
		}
		if r, err := hangUp(clients[round%3], round); err != nil || r.outcome() != "done" {
			t.Errorf("hanging up while all is stopped: %v %+v", err, r)
		}
		for _, in := range preparedSince(t, l, durable) {
			t.Errorf("round %d: %s was prepared during the freeze", round, in)
		}
		began := time.Now()
		resume(t, l, dir, byCommand)
		resumed := time.Now()
		making[1] = max(making[1], resumed.Sub(began))
		slowest[1] = max(slowest[1], obeyed(t, watchers, began, resumed, "done"))
	}
	end()
	verified(t, l, ledger.VerifyOptions{})
	t.Logf("at most: %v to freeze, %v more until all obeyed; %v to resume, %v more until all went on", making[0], slowest[0], making[1], slowest[1])
}

// command is the program for a person. The race detector would have it linger for a second at its end.
func command(args ...string) *exec.Cmd {
	c := exec.Command("sippet-mcp", args...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return c
}

func stopServers(t *testing.T, l *ledger.SQLite, dir string, byCommand bool) {
	t.Helper()
	err := error(nil)
	if byCommand {
		err = command("stop", "--state-dir", dir).Run()
	} else {
		err = l.Stop(t.Context(), ledger.Actor{Name: "ada"}, "enough")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, l *ledger.SQLite, dir string, byCommand bool) {
	t.Helper()
	err := error(nil)
	if byCommand {
		err = command("resume", "--state-dir", dir).Run()
	} else {
		_, err = l.Resume(t.Context(), ledger.Actor{Name: "ada"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// obeyed gives how long after the change was made the slowest server answered so.
func obeyed(t *testing.T, watchers []watcher, began, made time.Time, outcome string) (slowest time.Duration) {
	t.Helper()
	for i := range watchers {
		took := watchers[i].await(t, began, outcome).Sub(made)
		if took > time.Second {
			t.Errorf("server %d was %s after %v", i, outcome, took)
		}
		slowest = max(slowest, took)
	}
	return slowest
}

func hangUp(m *modern, n int) (*reply, error) {
	args := fmt.Sprintf(`{"input":{"callUuid":"%s"}}`, rpctest.ID(n))
	asked, err := m.call("end_call", args, "")
	if err != nil || asked.Result.RequestState == "" {
		return asked, err
	}
	return m.answer("end_call", args, asked.Result.RequestState, approves)
}

func preparedSince(t *testing.T, l *ledger.SQLite, since time.Time) (actions []string) {
	t.Helper()
	all, err := l.Intents(t.Context(), ledger.IntentFilter{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		if in.Action != ledger.HangUp {
			actions = append(actions, in.Action)
		}
	}
	return actions
}

// The death of one process neither hinders the others nor leaves an intent open: they find out by themselves.
func TestOthersGoOn(t *testing.T) {
	t.Parallel() // nearly all of it is waiting
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	arrived := make(chan struct{})
	up.On(rpctest.Run, "", func(r rpctest.Request) rpctest.Answer {
		if bytes.Contains(r.Body, []byte("Worker 0,")) {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
		return rpctest.Answer{Usual: true, Delay: 200 * time.Millisecond}
	})
	all, clients := servers(t, 3, dir, up.URL)
	var wg sync.WaitGroup
	var mu sync.Mutex
	calls := map[string]int{}
	lost := map[string]bool{} // calls that the dead process never answered
	stop := make(chan struct{})
	var killed atomic.Bool
	for i := range 12 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				args := fmt.Sprintf(`{"input":{"fullName":"Worker %d, call %d"}}`, i, n)
				r, err := clients[i%3].call("create_contact", args, "")
				mu.Lock()
				switch {
				case i%3 == 0 && killed.Load() && err != nil:
					lost[args] = true
					mu.Unlock()
					return
				case err != nil:
					t.Errorf("server %d: %v", i%3, err)
				default:
					calls[r.outcome()]++
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	<-arrived // of the first server's calls one at least is in flight
	killed.Store(true)
	all[0].kill()
	<-all[0].ended
	death := time.Now()
	time.Sleep(time.Second)
	close(stop)
	wg.Wait()
	if calls["done"] < 10 || len(calls) != 1 || len(lost) == 0 {
		t.Errorf("beside the death of one: %v, and %d calls lost", calls, len(lost))
	}
	unknown := 0
	for args := range maps.Keys(lost) {
		known, err := learned(clients[1], args, death)
		if err != nil {
			t.Error(err)
		}
		if known {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("the dead process left nothing behind, so nothing was shown")
	}
	took := time.Since(death)
	l := openState(t, dir)
	r := verified(t, l, ledger.VerifyOptions{})
	if r.InFlight != 0 || r.Unknown != unknown {
		t.Errorf("%+v, want %d unknown", r, unknown)
	}
	t.Logf("%v on the others; %d calls of the dead one lost, all %d intents in flight were unknown after %v", calls, len(lost), unknown, took)
}

// learned repeats a lost call at another server until that one knows that nobody knows how it ended, and says no.
// false: the call had not come as far as its intent, and ran now.
func learned(m *modern, args string, death time.Time) (bool, error) {
	for time.Since(death) < 30*time.Second {
		r, err := m.call("create_contact", args, "")
		switch {
		case err != nil:
			return false, err
		case r.outcome() == "done" || r.outcome() == "recorded":
			return false, nil
		case strings.Contains(r.request(), "nobody knows whether it ran"):
			_, err = m.answer("create_contact", args, r.Result.RequestState, saysNo)
			return true, err
		case r.outcome() != "outcome_unknown": // it is said to be running
			return false, fmt.Errorf("%+v", r)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return false, errors.New("half a minute later a dead process's call is still said to be running")
}
