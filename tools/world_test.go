package tools_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// world is the whole program without its command line, over an upstream that records requests.
type world struct {
	up        *rpctest.Server
	client    *rpc.Client
	gate      *policy.Gate
	runner    *tools.Runner
	server    *tools.Server
	log       *lockedBuffer
	watch     *approval.Watcher
	approvals *approval.Approvals
	// shift is added to the clock: what persons took to think.
	shift atomic.Int64
}

// think lets a person take two seconds.
func (w *world) think() { w.shift.Add(int64(2 * time.Second)) }

// setup are the options of a world. Zero values mean the program's defaults.
type setup struct {
	policy      string        // a profile's name, or a whole file
	shadow      string        // the text of a shadow policy
	deadline    time.Duration // of one call to upstream; 0: the action's own
	now         func() time.Time
	rows, bytes int
	selection   tools.Selection
	simulated   bool
	ledger      ledger.Ledger // nil: a new one
	window      time.Duration // in which a run conflicts with the same call; 0: the ledger's own
	up          *rpctest.Server
	inbox       time.Duration // how long a call waits for an answer; 0: 3 seconds
	idle        bool          // no executor
	watch       *approval.Watcher
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// withDeadline is the real client with a shorter deadline than that of actions.
type withDeadline struct {
	*rpc.Client
	deadline time.Duration
}

func (h withDeadline) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	r.Deadline = h.deadline
	return h.Client.Run(ctx, r)
}

func (h withDeadline) Validate(ctx context.Context, r rpc.Request) *schemas.Error {
	r.Deadline = h.deadline
	return h.Client.Validate(ctx, r)
}

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	w := &world{up: s.up, log: &lockedBuffer{}}
	if w.up == nil {
		w.up = rpctest.New(t)
	}
	var err error
	if w.client, err = rpc.New(rpc.Config{BaseURL: w.up.URL, Key: rpctest.Key, RetryDelay: time.Millisecond, MaxResponse: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	if s.policy == "" {
		s.policy = "desktop"
	}
	var p *rules.Policy
	if strings.Contains(s.policy, "\n") {
		p, err = rules.Parse("test.yaml", []byte(s.policy))
	} else {
		p, err = rules.Load(s.policy)
	}
	if err != nil {
		t.Fatal(err)
	}
	set := policy.FixedPolicySet(p)
	if s.shadow != "" {
		dir := t.TempDir()
		name, file := s.policy, filepath.Join(dir, "shadow.yaml")
		if strings.Contains(name, "\n") {
			name = filepath.Join(dir, "test.yaml")
			writeFile(t, name, s.policy)
		}
		writeFile(t, file, s.shadow)
		if set, err = policy.LoadPolicySet([]string{name}, nil, file); err != nil {
			t.Fatal(err)
		}
	}
	if s.inbox == 0 {
		s.inbox = 3 * time.Second
	}
	if s.now == nil {
		s.now = time.Now
	}
	clock := s.now
	s.now = func() time.Time { return clock().Add(time.Duration(w.shift.Load())) }
	if s.ledger == nil {
		s.ledger = ledgertest.Open(t, ledger.Options{Now: s.now, Window: s.window})
	}
	var up policy.Upstream = w.client
	if s.deadline > 0 {
		up = withDeadline{w.client, s.deadline}
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.gate = &policy.Gate{Policy: set, Upstream: up, Ledger: s.ledger, Lifetime: 15 * time.Minute, ClientFirst: 15 * time.Second, Now: s.now, Log: log}
	w.runner = &tools.Runner{Gate: w.gate, Rows: s.rows, Bytes: s.bytes, Simulated: s.simulated,
		Command: func(action string, args []byte, _ bool) string {
			return "sippet-mcp call " + action + " '" + string(args) + "'"
		}}
	w.withInbox(t, s)
	if w.server, err = tools.NewServer(tools.Options{Version: "v0", Runner: w.runner, Select: s.selection, Log: log}); err != nil {
		t.Fatal(err)
	}
	return w
}

// withInbox adds an inbox and an executor.
func (w *world) withInbox(t testing.TB, s setup) {
	if w.watch = s.watch; w.watch == nil {
		w.watch = &approval.Watcher{Ledger: s.ledger, Log: w.gate.Log}
	}
	w.approvals = &approval.Approvals{Ledger: s.ledger, Watch: w.watch, Now: s.now}
	w.runner.Inbox = &tools.Inbox{Watch: w.watch, Wait: s.inbox, Link: func(id string) string { return "http://127.0.0.1/inbox/approvals/" + id },
		Show: func(policy.Caller, *policy.PendingApproval, bool) {}}
	if s.idle {
		return
	}
	e := &policy.Executor{Ledger: s.ledger, Watch: w.watch, Log: w.gate.Log, GateFor: w.gateFor}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { e.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
}

// gateFor returns the gate and the requester of a request.
func (w *world) gateFor(_ context.Context, q ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
	return w.gate, policy.Caller{Actor: q.Requester, Credential: q.Credential, ID: q.Person, Person: q.Person, Client: q.Client}, nil
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listen serves the world over HTTP to one caller, and returns the URL.
func (w *world) listen(t testing.TB, c tools.Caller) string {
	t.Helper()
	ln, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- (&serve.HTTP{Server: w.server, Caller: c, Log: slog.New(slog.NewTextHandler(w.log, nil))}).Serve(ctx, ln)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving HTTP: %v", err)
		}
	})
	url := "http://" + ln.Addr().String() + "/mcp"
	worlds.Store(url, w)
	t.Cleanup(func() { worlds.Delete(url) })
	return url
}

// worlds are the worlds that are served, by URL.
var worlds sync.Map

var ada = tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}, Person: "ada"}, Interactive: true}

// httpPeer is an MCP client over HTTP.
func (w *world) httpPeer(t testing.TB, modern bool) *peer {
	t.Helper()
	return overHTTP(t, w.listen(t, ada), modern)
}

func overHTTP(t testing.TB, url string, modern bool) *peer {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	p := &peer{t: t, modern: modern, capabilities: `{"elicitation":{}}`, wire: &httpWire{url: url, client: &http.Client{Transport: tr}}}
	if w, ok := worlds.Load(url); ok {
		p.think = w.(*world).think
	}
	return p
}

// stdioPeer is an MCP client over pipes. A process has one at a time.
func (w *world) stdioPeer(t testing.TB, modern bool) *peer {
	t.Helper()
	return w.overStdio(t, ada, modern)
}

func (w *world) overStdio(t testing.TB, c tools.Caller, modern bool) *peer {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := serve.Stdio(context.Background(), w.server, c, inR, outW, slog.New(slog.NewTextHandler(w.log, nil)))
		outW.Close()
		served <- err
	}()
	wire := newStdioWire(inW, outR)
	t.Cleanup(func() {
		inW.Close()
		if err := <-served; err != nil {
			t.Errorf("serving stdio: %v", err)
		}
	})
	return &peer{t: t, modern: modern, capabilities: `{"elicitation":{}}`, wire: wire, think: w.think}
}

// transports runs a test over both transports and protocols.
func transports(t *testing.T, s func() setup, f func(t *testing.T, w *world, p *peer)) {
	t.Helper()
	for _, modern := range []bool{false, true} {
		protocol := "legacy"
		if modern {
			protocol = "modern"
		}
		t.Run("http "+protocol, func(t *testing.T) {
			w := newWorld(t, s())
			f(t, w, w.httpPeer(t, modern))
		})
		t.Run("stdio "+protocol, func(t *testing.T) {
			w := newWorld(t, s())
			f(t, w, w.stdioPeer(t, modern))
		})
	}
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

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// canonical returns the payload that the arguments should become.
func (w *world) canonical(t testing.TB, action, args string) string {
	t.Helper()
	return string(w.payload(t, action, args).Body)
}

// decide returns what the policy decides about the arguments, and the reads that resolve
// recipients.
func (w *world) decide(t testing.TB, c policy.Caller, action, args string) (v rules.Verdict, reads []string) {
	t.Helper()
	p, own := w.payload(t, action, args), w.gate.Policy.Own()
	f := rules.Facts{Payload: p, Caller: rules.Caller{ID: c.ID, Person: c.Person, Roles: c.Roles}, Now: w.gate.Now()}
	read := func(_ context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
		reads = append(reads, "run "+string(read.Body))
		var answer struct{ Data json.RawMessage }
		if err := json.Unmarshal([]byte(rpctest.UsualAnswer(rpctest.Run, read)), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Data, nil
	}
	if recipients.HasRecipients(p.Action) && own.Mildest(p.Action, f.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if f.Recipients, fault = recipients.Resolve(t.Context(), p, read); fault != nil {
			t.Fatal(fault)
		}
	}
	if recipients.HasRelated(p.Action) && own.Mildest(p.Action, f.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if f.Related, fault = recipients.FindRelated(t.Context(), p, read); fault != nil {
			t.Fatal(fault)
		}
	}
	return own.Decide(f), reads
}

func (w *world) payload(t testing.TB, action, args string) *schemas.Payload {
	t.Helper()
	a, err := schemas.Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), schemas.Limits{Now: w.gate.Now(), Rows: tools.DefaultRows, Hidden: w.gate.Hidden(ada.Caller, a)})
	if err != nil {
		t.Fatalf("%s %s: %v", action, args, err)
	}
	return p
}

// lifecycle returns what reached upstream, one line a request.
func lifecycle(rs []rpctest.Request) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, r.Endpoint+" "+string(r.Body))
	}
	return out
}

func object(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&m); err != nil || m == nil {
		t.Fatalf("not an object: %v: %s", err, raw)
	}
	return m
}
