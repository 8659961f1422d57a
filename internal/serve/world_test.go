package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"

	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/tools"
)

const anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"

// world is an MCP server with an upstream that records requests.
type world struct {
	up     *rpctest.Server
	ledger *ledger.SQLite
	server *tools.Server
	log    *buffer
}

var ada = tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Interactive: true}

// newWorld returns a world. wrap may add something between the gate and the client.
func newWorld(t *testing.T, wrap func(policy.Upstream) policy.Upstream) *world {
	t.Helper()
	w := &world{up: rpctest.New(t), log: &buffer{}}
	c, err := rpc.New(rpc.Config{BaseURL: w.up.URL, Key: rpctest.Key, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p, err := rules.Load("desktop")
	if err != nil {
		t.Fatal(err)
	}
	var up policy.Upstream = c
	if wrap != nil {
		up = wrap(up)
	}
	log := w.logger()
	w.ledger = ledgertest.Open(t)
	gate := &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: up, Ledger: w.ledger, Lifetime: 15 * time.Minute, ClientFirst: time.Minute, Now: time.Now, Log: log}
	box := &tools.Inbox{Watch: &approval.Watcher{Ledger: w.ledger, Log: log}, Wait: tools.MaxWait,
		Link: func(string) string { return "" }, Show: func(policy.Caller, *policy.PendingApproval, bool) {}}
	executor := &policy.Executor{Ledger: w.ledger, Watch: box.Watch, Log: log,
		GateFor: func(_ context.Context, r ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
			return gate, policy.Caller{Actor: r.Requester, Person: r.Person, Credential: r.Credential}, nil
		}}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { executor.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	if w.server, err = tools.NewServer(tools.Options{Version: "v0", Runner: &tools.Runner{Gate: gate, Inbox: box}, Log: log}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w.log, nil)) }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// served is a world over HTTP.
type served struct {
	*world
	base   string
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

func listen(t *testing.T, w *world) *served {
	t.Helper()
	ln, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tr := &http.Transport{}
	s := &served{world: w, base: "http://" + ln.Addr().String(), client: &http.Client{Transport: tr}, stop: cancel, done: make(chan error, 1)}
	h := &serve.HTTP{Server: w.server, Caller: ada, Health: map[string]any{"version": "v0"}, Log: w.logger()}
	go func() { s.done <- h.Serve(ctx, ln); close(s.done) }()
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		<-s.done
	})
	return s
}

const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// request makes an HTTP request; headers are pairs.
func (s *served) request(t *testing.T, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (s *served) post(t *testing.T, body string, headers ...string) (int, string) {
	t.Helper()
	res := s.request(t, "POST", "/mcp", body, headers...)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

const initialize = `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"test","version":"1"}}}`

// session begins a legacy session and returns its id.
func (s *served) session(t *testing.T) string {
	t.Helper()
	res := s.request(t, "POST", "/mcp", initialize)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	id := res.Header.Get("Mcp-Session-Id")
	if id == "" {
		t.Fatalf("no session: HTTP %d", res.StatusCode)
	}
	return id
}

func call(id, tool, args, meta string) string {
	if meta != "" {
		meta = "," + meta
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + meta + `}}`
}

// piped is a world on stdio. A process can have one at a time.
type piped struct {
	*world
	in   *io.PipeWriter
	out  chan string
	done chan error
}

func pipe(t *testing.T, w *world) *piped {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p := &piped{world: w, in: inW, out: make(chan string, 100), done: make(chan error, 1)}
	go func() {
		p.done <- serve.Stdio(context.Background(), w.server, ada, inR, outW, w.logger())
		close(p.done)
		outW.Close()
	}()
	go func() {
		defer close(p.out)
		r := bufio.NewReaderSize(outR, 1<<20)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			p.out <- strings.TrimSpace(line)
		}
	}()
	t.Cleanup(func() {
		inW.Close()
		go func() {
			for range p.out {
			}
		}()
		if err := <-p.done; err != nil {
			t.Errorf("stdio: %v", err)
		}
	})
	return p
}

func (p *piped) write(t *testing.T, frame string) {
	t.Helper()
	if _, err := io.WriteString(p.in, frame+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (p *piped) read(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.out:
		if !ok {
			t.Fatal("the output ended")
		}
		return line
	case <-time.After(20 * time.Second):
		t.Fatal("no message arrived")
	}
	return ""
}

// begin makes the handshake of the legacy protocol.
func (p *piped) begin(t *testing.T) {
	t.Helper()
	p.write(t, initialize)
	if got := p.read(t); !strings.Contains(got, `"serverInfo"`) {
		t.Fatalf("initialize: %s", got)
	}
	p.write(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func outcomeOf(t *testing.T, frame string) string {
	t.Helper()
	var r struct {
		Result struct {
			StructuredContent struct{ Outcome string }
		}
	}
	frame = frame[strings.Index(frame, "{"):]
	if err := json.NewDecoder(strings.NewReader(frame)).Decode(&r); err != nil {
		t.Fatalf("%v: %s", err, frame)
	}
	return r.Result.StructuredContent.Outcome
}

// reads waits until a reply to a dialogue can be a person's.
func reads() { time.Sleep(policy.SoonestAnswer + 50*time.Millisecond) }

func runs(up *rpctest.Server) (n int) {
	for _, r := range up.Requests() {
		if r.Endpoint == rpctest.Run && r.Action != "list_calls" { // it reads the call for the card
			n++
		}
	}
	return n
}
