package serve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// fakeTokens is a fake of the ledger's tokens.
type fakeTokens struct {
	mu     sync.Mutex
	valid  map[string]string // secret to name
	asked  int
	broken error
	empty  bool
}

const adas, bobs = "smcp_aaaaaaaaaaaa_secret-of-ada", "smcp_bbbbbbbbbbbb_secret-of-bob"

func newFakeTokens() *fakeTokens {
	return &fakeTokens{valid: map[string]string{adas: "ada", bobs: "bob"}}
}

func (d *fakeTokens) authenticate(_ context.Context, secret string) (tools.Caller, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	switch name := d.valid[secret]; {
	case d.broken != nil:
		return tools.Caller{}, d.broken
	case d.empty:
		return tools.Caller{}, serve.ErrNoTokens
	case name != "":
		return tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: name}, Credential: secret[5:17]}, Interactive: true}, nil
	case strings.Contains(secret, "expired"):
		return tools.Caller{}, fmt.Errorf("%w: it has expired", serve.ErrUnauthorized)
	}
	return tools.Caller{}, fmt.Errorf("%w: unknown", serve.ErrUnauthorized)
}

func (d *fakeTokens) set(f func(*fakeTokens)) { d.mu.Lock(); f(d); d.mu.Unlock() }

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); c.at = c.at.Add(d); c.mu.Unlock() }

// guarded is a server with callers who send tokens.
type guarded struct {
	*served
	tokens *fakeTokens
	clock  *clock
}

func listenWith(t *testing.T, change func(*serve.HTTP)) *guarded {
	t.Helper()
	w := newWorld(t, nil)
	g := &guarded{tokens: newFakeTokens(), clock: &clock{at: time.Now()}}
	h := &serve.HTTP{Server: w.server, Caller: ada, Authenticate: g.tokens.authenticate, Health: map[string]any{"version": "v0"}, Log: w.logger(), Now: g.clock.now}
	if change != nil {
		change(h)
	}
	ln, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tr := &http.Transport{}
	g.served = &served{world: w, base: "http://" + ln.Addr().String(), client: &http.Client{Transport: tr}, stop: cancel, done: make(chan error, 1)}
	go func() { g.done <- h.Serve(ctx, ln); close(g.done) }()
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		<-g.done
		if log := w.log.String(); strings.Contains(log, "secret-of") {
			t.Errorf("the log holds a secret: %s", log)
		}
	})
	return g
}

func as(secret string, more ...string) []string {
	return append([]string{"Authorization", "Bearer " + secret}, more...)
}

// try makes a harmless call, and returns the status, the headers and the body.
func (s *served) try(t *testing.T, headers ...string) (int, http.Header, string) {
	t.Helper()
	res := s.request(t, "POST", "/mcp", call("1", "list_contacts", "{}", modern),
		append(headers, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "list_contacts")...)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestBearer(t *testing.T) {
	g := listenWith(t, nil)
	for name, c := range map[string]struct {
		headers   []string
		code      int
		challenge string
	}{
		"good":               {as(adas), 200, ""},
		"scheme in capitals": {[]string{"Authorization", "BEARER " + adas}, 200, ""},
		"missing":            {nil, 401, `Bearer realm="sippet-mcp"`},
		"another scheme":     {[]string{"Authorization", "Basic " + adas}, 401, `Bearer realm="sippet-mcp"`},
		"no token in it":     {[]string{"Authorization", "Bearer"}, 401, `Bearer realm="sippet-mcp"`},
		"bare":               {[]string{"Authorization", adas}, 401, `Bearer realm="sippet-mcp"`},
		"wrong":              {as(adas + "x"), 401, `Bearer realm="sippet-mcp", error="invalid_token", error_description="the token is invalid, expired or revoked"`},
		"expired":            {as("smcp_expired"), 401, `Bearer realm="sippet-mcp", error="invalid_token", error_description="the token is invalid, expired or revoked"`},
		"two in one":         {as(adas + ", Bearer " + bobs), 401, `Bearer realm="sippet-mcp", error="invalid_token", error_description="the token is invalid, expired or revoked"`},
	} {
		code, head, body := g.try(t, c.headers...)
		if code != c.code || head.Get("WWW-Authenticate") != c.challenge || strings.Contains(body, "jsonrpc") != (code == 200) {
			t.Errorf("%s: HTTP %d %q %s", name, code, head.Get("WWW-Authenticate"), body)
		}
	}
	// The answers to a wrong and to an expired token are equal, byte by byte.
	_, wrong, one := g.try(t, as(adas+"x")...)
	_, expired, two := g.try(t, as("smcp_expired")...)
	wrong.Del("Date")
	expired.Del("Date")
	if one != two || fmt.Sprint(wrong) != fmt.Sprint(expired) {
		t.Errorf("%v %s\n%v %s", wrong, one, expired, two)
	}
	res := g.request(t, "POST", "/mcp", "{}", "Authorization", "Bearer "+adas)
	res.Body.Close()
	r, _ := http.NewRequest("POST", g.base+"/mcp", strings.NewReader("{}"))
	r.Header["Authorization"] = []string{"Bearer " + adas, "Bearer " + bobs}
	if res, err := g.client.Do(r); err != nil || res.StatusCode != 400 || !strings.Contains(res.Header.Get("WWW-Authenticate"), "invalid_request") {
		t.Errorf("%v %v", err, res)
	}
	for _, path := range []string{"/healthz", "/"} {
		res := g.request(t, "GET", path, "")
		res.Body.Close()
		if res.StatusCode == 401 {
			t.Errorf("%s: HTTP %d", path, res.StatusCode)
		}
	}
	for _, method := range []string{"GET", "DELETE", "HEAD", "PUT", "OPTIONS"} {
		res := g.request(t, method, "/mcp", "")
		res.Body.Close()
		if res.StatusCode != 401 && res.StatusCode != 429 {
			t.Errorf("%s: HTTP %d", method, res.StatusCode)
		}
	}
}

func TestTokenInURL(t *testing.T) {
	g := listenWith(t, nil)
	for _, query := range []string{"access_token=" + adas, "ACCESS_TOKEN=x", "access%5Ftoken=x", "token=" + adas, "x=smcp%5Faaaaaaaaaaaa", adas, "a;b=" + adas} {
		res := g.request(t, "POST", "/mcp?"+query, call("1", "list_contacts", "{}", ""), as(adas)...)
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 400 || !strings.Contains(res.Header.Get("WWW-Authenticate"), "invalid_request") || strings.Contains(string(b), "secret-of") {
			t.Errorf("%s: HTTP %d %s", query, res.StatusCode, b)
		}
	}
	if code, _, _ := g.try(t, as(adas)...); code != 200 || len(g.up.Requests()) != 1 {
		t.Errorf("HTTP %d", code)
	}
}

// TestOpen: while no tokens are in use, this machine needs none, unless Strict is set. After that
// everybody needs one.
func TestOpen(t *testing.T) {
	g := listenWith(t, nil)
	g.tokens.set(func(d *fakeTokens) { d.empty = true })
	id := g.session(t)
	stream := g.request(t, "GET", "/mcp", "", "Mcp-Session-Id", id)
	defer stream.Body.Close()
	if code, _, _ := g.try(t); code != 200 {
		t.Errorf("HTTP %d", code)
	}
	if code, _, _ := g.try(t, as(adas)...); code != 401 {
		t.Errorf("an unknown token: HTTP %d", code)
	}
	g.tokens.set(func(d *fakeTokens) { d.empty = false })
	if code, _, _ := g.try(t); code != 401 {
		t.Errorf("HTTP %d", code)
	}
	frame := call("1", "list_contacts", "{}", "")
	if code, body := g.post(t, frame, "Mcp-Session-Id", id); code != 401 {
		t.Errorf("the session continues: HTTP %d %s", code, body)
	}
	if code, body := g.post(t, frame, as(adas, "Mcp-Session-Id", id)...); code != 404 {
		t.Errorf("another caller uses the session: HTTP %d %s", code, body)
	}
	ends(t, stream.Body)

	for name, change := range map[string]func(*serve.HTTP){
		"strict":        func(h *serve.HTTP) { h.Strict = true },
		"by a name":     func(h *serve.HTTP) { h.Hosts = []string{"mcp.example.com"} },
		"through proxy": func(h *serve.HTTP) { h.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} },
	} {
		g := listenWith(t, change)
		g.tokens.set(func(d *fakeTokens) { d.empty = true })
		if code, _, _ := g.try(t); code != 401 {
			t.Errorf("%s: HTTP %d", name, code)
		}
	}
}

// ends fails the test unless the stream ends soon.
func ends(t *testing.T, body io.Reader) {
	t.Helper()
	over := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, body); close(over) }()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Error("the stream continues")
	}
}

func TestStoreFails(t *testing.T) {
	g := listenWith(t, nil)
	g.tokens.set(func(d *fakeTokens) { d.broken = errors.New("the disk is gone") })
	code, head, body := g.try(t, as(adas)...)
	if code != 503 || head.Get("Retry-After") == "" || strings.Contains(body, "disk") || len(g.up.Requests()) != 0 {
		t.Errorf("HTTP %d %s", code, body)
	}
	if code, _, _ := g.try(t); code != 503 {
		t.Errorf("without a token: HTTP %d", code)
	}
}

// endless is a body that counts how much of it was read.
type endless struct {
	mu   sync.Mutex
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.read > 64<<20 {
		return 0, io.EOF
	}
	e.read += len(p)
	return len(p), nil
}

// TestBodyBeforeAuthentication: no body of an unknown caller is read, and none that is too long.
func TestBodyBeforeAuthentication(t *testing.T) {
	g := listenWith(t, nil)
	for secret, want := range map[string]int{"wrong": 401, adas: 413} {
		body := &endless{}
		r, _ := http.NewRequest("POST", g.base+"/mcp", body)
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", "application/json")
		res, err := g.client.Do(r)
		if err == nil {
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("HTTP %d, not %d", res.StatusCode, want)
			}
		}
		body.mu.Lock()
		if body.read > 32<<20 || want == 401 && body.read > 16<<20 {
			t.Errorf("%d bytes were read (%v)", body.read, err)
		}
		body.mu.Unlock()
	}
	if n := len(g.up.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAnotherHostName(t *testing.T) {
	g := listenWith(t, func(h *serve.HTTP) { h.Hosts = []string{"mcp.example.com"} })
	for host, want := range map[string]int{"mcp.example.com": 200, "MCP.example.com:8443": 200, "mcp.example.com.": 200, "127.0.0.1": 200,
		"evil.example": 403, "x.mcp.example.com": 403, "mcp.example.com.evil.example": 403, "192.0.2.1": 403, "": 403} {
		if host == "" {
			c, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, "GET /mcp HTTP/1.0\r\n\r\n")
			line, _ := bufio.NewReader(c).ReadString('\n')
			c.Close()
			if !strings.Contains(line, "403") {
				t.Errorf("no host: %s", line)
			}
			continue
		}
		if code, _, body := g.try(t, as(adas, "Host", host)...); code != want {
			t.Errorf("%s: HTTP %d %s", host, code, body)
		}
	}
	for origin, want := range map[string]int{"https://mcp.example.com": 200, "https://evil.example": 403, "null": 403} {
		if code, _, _ := g.try(t, as(adas, "Origin", origin)...); code != want {
			t.Errorf("%s: HTTP %d", origin, code)
		}
	}
}
