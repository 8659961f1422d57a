package serve_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

func publicURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestPublicListen: a server that has only an inbox listens beyond this machine with a public URL
// alone. MCP needs what it needs without one.
func TestPublicListen(t *testing.T) {
	public := publicURL(t, "https://ops.example.com/sippet")
	for name, c := range map[string]struct {
		h    serve.HTTP
		want string // in the error; empty: it listens
	}{
		"an inbox":               {serve.HTTP{Public: public}, ""},
		"an inbox, without one":  {serve.HTTP{}, "callers are not authenticated"},
		"MCP with tokens":        {serve.HTTP{Public: public, Authenticate: newFakeTokens().authenticate}, "--trusted-proxy CIDR"},
		"MCP without tokens":     {serve.HTTP{Public: public, Server: newWorld(t, nil).server}, "callers are not authenticated"},
		"MCP with a local proxy": {serve.HTTP{Public: publicURL(t, "http://127.0.0.1:9000"), Authenticate: newFakeTokens().authenticate}, "--trusted-proxy CIDR"},
	} {
		ln, err := c.h.Listen("0.0.0.0:0")
		if err == nil {
			ln.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whoever can reach the public URL is not on this machine.
	ln, err := serve.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	door := newFakeTokens().authenticate
	if h := (&serve.HTTP{Authenticate: door, Public: public}); h.Open(ln) {
		t.Error("with a public URL everybody is accepted without a token")
	}
	if h := (&serve.HTTP{Authenticate: door, Public: publicURL(t, "http://127.0.0.1:9000")}); !h.Open(ln) {
		t.Error("with a public URL of this machine a token is needed")
	}
}

// TestPublicHost: an inbox with a public URL answers requests for its host and for this machine
// only, with and without the URL's path.
func TestPublicHost(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	h := &serve.HTTP{Inbox: page, Public: publicURL(t, "https://ops.example.com:8443/a/sippet"), Log: newWorld(t, nil).logger()}
	ln, err := h.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.Serve(ctx, ln) }()
	defer func() { cancel(); <-done }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	try := func(at, path, host, origin string) (int, string) {
		t.Helper()
		r, err := http.NewRequest("GET", "http://"+net.JoinHostPort(at, port)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Host = host; origin != "" {
			r.Header.Set("Origin", origin)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	for path, want := range map[string]string{"/inbox": "/inbox", "/a/sippet/inbox": "/inbox", "/a/sippet/inbox/approvals/1": "/inbox/approvals/1", "/inbox/x": "/inbox/x"} {
		if code, body := try("127.0.0.1", path, "ops.example.com:8443", ""); code != 200 || body != want {
			t.Errorf("%s: HTTP %d %s", path, code, body)
		}
	}
	for _, path := range []string{"/a/sippet", "/a/sippetinbox", "/a/inbox", "/sippet/inbox", "/a/sippet/a/sippet/inbox"} {
		if code, _ := try("127.0.0.1", path, "ops.example.com:8443", ""); code != 404 {
			t.Errorf("%s: HTTP %d", path, code)
		}
	}
	for host, want := range map[string]int{"ops.example.com": 200, "OPS.example.com.:8443": 200, "127.0.0.1:8766": 200, "example.com": 403, "evil.ops.example.com": 403, "10.0.0.1": 403, "": 200} {
		if code, _ := try("127.0.0.1", "/inbox", host, ""); code != want {
			t.Errorf("the host %q: HTTP %d", host, code)
		}
	}
	for origin, want := range map[string]int{"https://ops.example.com:8443": 200, "https://evil.example": 403, "null": 403} {
		if code, _ := try("127.0.0.1", "/inbox", "ops.example.com", origin); code != want {
			t.Errorf("the origin %q: HTTP %d", origin, code)
		}
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			if code, body := try(n.IP.String(), "/inbox", n.IP.String(), ""); code != 403 || !strings.Contains(body, "a proxy must pass on the Host") {
				t.Errorf("the address of the connection: HTTP %d %s", code, body)
			}
		}
	}
}
