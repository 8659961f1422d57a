package inbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// testPolicy is the profile team, with larger budgets, and with credentials that an approver may
// issue.
const testPolicy = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: approve, credential: approve}
  action: {start_bulk_outbound_call: approve, end_call: confirm, get_campaign: confirm}
budgets:
  rings: {key: caller, rate: 60/h, burst: 20000, cost: recipients.size()}
rules:
  - {id: identity-fields, match: {actions: [update_contact]}, when: has(input.phoneE164) || has(input.email), decision: confirm, reason: "These fields decide who we ring."}
  - {id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: "So many people an hour."}
  - {id: nobody-zero, match: {actions: [start_outbound_call]}, when: "has(input.phoneNumber) && input.phoneNumber == '+442079460000'", decision: deny, reason: No.}
`

const (
	anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"
	ring = `{"input":{"contactId":"` + anID + `"},"reason":"She asked to be rung back about her invoice."}`
)

// world is a server with an inbox, and with an upstream that records requests.
type world struct {
	up        *rpctest.Server
	ledger    *ledger.SQLite
	gate      *policy.Gate
	box       *inbox.Inbox
	approvals *approval.Approvals
	base      string // the URL under which people reach it
	direct    string // the URL of its listener
	client    *http.Client
	log       *buffer
	stop      func()
	tokens    map[string]string // by person
}

type setup struct {
	policy string
	wait   time.Duration // of a call for the inbox
	dir    string
	up     *rpctest.Server
	now    func() time.Time
	addr   string
	public *url.URL
	upTo   func(policy.Upstream) policy.Upstream
	// idle is true if no executor runs what is approved.
	idle bool
}

func newWorld(t testing.TB, s setup) *world {
	t.Helper()
	w := &world{up: s.up, log: &buffer{}, tokens: map[string]string{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if w.up == nil {
		w.up = rpctest.New(t)
	}
	client, err := rpc.New(rpc.Config{BaseURL: w.up.URL, Key: rpctest.Key, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if s.policy == "" {
		s.policy = testPolicy
	}
	p, err := rules.Parse("test.yaml", []byte(s.policy))
	if err != nil {
		t.Fatal(err)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.wait == 0 {
		s.wait = 20 * time.Second
	}
	w.ledger = ledgertest.Open(t, ledger.Options{Dir: s.dir, Now: s.now})
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var up policy.Upstream = client
	if s.upTo != nil {
		up = s.upTo(up)
	}
	watch := &approval.Watcher{Ledger: w.ledger, Log: log}
	w.gate = &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: up, Ledger: w.ledger, Organisation: "org", Lifetime: 15 * time.Minute, Now: s.now, Log: log}
	w.approvals = &approval.Approvals{Ledger: w.ledger, Watch: watch, Now: s.now}
	w.box = &inbox.Inbox{Approvals: w.approvals, Ledger: w.ledger, Watch: watch, LoginCommand: "sippet-mcp inbox login", Gates: func() []*policy.Gate { return []*policy.Gate{w.gate} }, Now: s.now, Log: log, Public: s.public}
	runner := &tools.Runner{Gate: w.gate, Inbox: &tools.Inbox{Watch: watch, Wait: s.wait,
		Link: func(id string) string { return w.base + "/inbox/approvals/" + id }, Show: func(policy.Caller, *policy.PendingApproval, bool) {}}}
	server, err := tools.NewServer(tools.Options{Version: "v0", Runner: runner, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if s.addr == "" {
		s.addr = "127.0.0.1:0"
	}
	h := &serve.HTTP{Server: server, Inbox: w.box.Handler(), Public: s.public, Log: log, Authenticate: w.authenticate,
		Caller: tools.Caller{Caller: local, Interactive: true}}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	w.direct = "http://" + ln.Addr().String()
	if w.base = w.direct; s.public != nil {
		w.base = s.public.String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	executor := &policy.Executor{Ledger: w.ledger, Watch: watch, Log: log, GateFor: w.gateFor}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Serve(ctx, ln); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	if !s.idle {
		wg.Go(func() { executor.Run(ctx) })
	}
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			w.client.CloseIdleConnections()
			cancel()
			wg.Wait()
			client.Close()
		})
	}
	t.Cleanup(w.stop)
	return w
}

// local is the caller without a token.
var local = policy.Caller{Actor: ledger.Actor{Name: "root", Via: "http"}, ID: "root", Person: "root"}

func (w *world) authenticate(ctx context.Context, secret string) (tools.Caller, error) {
	t, err := w.ledger.Authenticate(ctx, secret)
	switch {
	case errors.Is(err, ledger.ErrNoTokens):
		return tools.Caller{}, serve.ErrNoTokens
	case err != nil:
		return tools.Caller{}, fmt.Errorf("%w: %w", serve.ErrUnauthorized, err)
	}
	return tools.Caller{Caller: callerOf(t), Interactive: t.Interactive}, nil
}

func callerOf(t ledger.Token) policy.Caller {
	return policy.Caller{Actor: ledger.Actor{Name: t.Person, Via: "token " + t.ID}, ID: t.ID, Person: t.Person, Roles: t.Roles, Credential: t.ID}
}

func (w *world) gateFor(ctx context.Context, req ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
	if req.Credential == "" {
		return w.gate, local, nil
	}
	all, err := w.ledger.Tokens(ctx)
	if err != nil {
		return nil, policy.Caller{}, err
	}
	for _, t := range all {
		if t.ID == req.Credential && t.Live(time.Now()) {
			return w.gate, callerOf(t), nil
		}
	}
	return nil, policy.Caller{}, errors.New("no such token")
}

// token returns the secret of a token with a person and roles. It creates each once.
func (w *world) token(t testing.TB, person string, roles ...string) string {
	t.Helper()
	name := person + " " + strings.Join(roles, ",")
	if s := w.tokens[name]; s != "" {
		return s
	}
	secret, _, err := w.ledger.CreateToken(t.Context(), ledger.Token{Person: person, Roles: roles}, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	w.tokens[name] = secret
	return secret
}

// answer is the result of a call over MCP.
type answer struct {
	Outcome, Message, NextStep, ApprovedBy string
	Ran                                    any
	Result                                 json.RawMessage
	Notes                                  []string
	Approval                               struct{ ID, Link, Needs, Expires string }
	frame                                  string
}

const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"Claude Desktop","version":"1.9"},"io.modelcontextprotocol/clientCapabilities":{}}`

// call makes a tools/call of a client without elicitation. secret is empty for a caller without a
// token.
func (w *world) call(t testing.TB, secret, tool, args string) answer {
	t.Helper()
	a, err := w.try(secret, tool, args)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) try(secret, tool, args string) (a answer, err error) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + `,` + modern + `}}`
	r, err := http.NewRequest("POST", w.base+"/mcp", strings.NewReader(body))
	if err != nil {
		return a, err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool} {
		r.Header.Set(k, v)
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := w.client.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	if _, data, ok := bytes.Cut(raw, []byte("data: ")); ok {
		raw = data
	}
	var m struct {
		Result struct{ StructuredContent json.RawMessage }
	}
	if err := json.Unmarshal(raw, &m); err != nil || m.Result.StructuredContent == nil {
		return a, fmt.Errorf("HTTP %d: %s", res.StatusCode, raw)
	}
	a.frame = string(raw)
	return a, json.Unmarshal(m.Result.StructuredContent, &a)
}

// later makes a call in the background, and asks for its outcome until it is not pending any more.
func (w *world) later(t testing.TB, secret, tool, args string) <-chan answer {
	t.Helper()
	c := make(chan answer, 1)
	go func() {
		a, err := w.try(secret, tool, args)
		for err == nil && a.Outcome == "approval_pending" && t.Context().Err() == nil {
			time.Sleep(20 * time.Millisecond) // one call of a caller waits, the others answer at once
			a, err = w.try(secret, "approval_status", `{"id":"`+a.Approval.ID+`"}`)
		}
		if err != nil {
			a.Outcome, a.Message = "failed", err.Error()
		}
		c <- a
	}()
	return c
}

// pending waits until n requests are open, and returns them, the oldest first.
func (w *world) pending(t testing.TB, n int) []ledger.ApprovalRequest {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		all, err := w.ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == n {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%d requests are open, want %d; the end of the log:\n%s", len(all), n, tail(w.log.String(), 4000))
		}
	}
}

func get(t testing.TB, c <-chan answer) answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("the call did not return")
	}
	return answer{}
}

// ran returns how often the action ran upstream.
func (w *world) ran(action string) (n int) {
	for _, r := range w.up.Requests() {
		if r.Endpoint == rpctest.Run && r.Action == action {
			n++
		}
	}
	return n
}

// loginLink returns a link that logs a person in once.
func (w *world) loginLink(t testing.TB, person string, isLocal bool) string {
	t.Helper()
	code, err := w.ledger.CreateLogin(t.Context(), ledger.Login{Kind: ledger.OpenCode, Person: person, Local: isLocal, Expires: time.Now().Add(time.Minute)}, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	return w.base + "/inbox/enter/" + code
}

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

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
