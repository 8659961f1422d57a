package serve_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// TestListenBeyond: other machines can connect only if callers show tokens and nobody between can
// read them.
func TestListenBeyond(t *testing.T) {
	door := newFakeTokens().authenticate
	cert := selfSigned(t, t.TempDir(), "a")
	proxy := prefixes("10.0.0.1/32")
	for name, c := range map[string]struct {
		h    serve.HTTP
		addr string
		want string // in the error; empty: it listens
	}{
		"nothing":                     {serve.HTTP{}, "0.0.0.0:0", "callers are not authenticated"},
		"TLS without tokens":          {serve.HTTP{Certificate: cert}, "0.0.0.0:0", "callers are not authenticated"},
		"a proxy without tokens":      {serve.HTTP{Proxies: proxy}, "0.0.0.0:0", "callers are not authenticated"},
		"a near proxy without tokens": {serve.HTTP{Proxies: prefixes("127.0.0.1/32")}, "127.0.0.1:0", "callers are not authenticated"},
		"a name without tokens":       {serve.HTTP{Hosts: []string{"mcp.example.com"}}, "127.0.0.1:0", "callers are not authenticated"},
		"tokens alone":                {serve.HTTP{Authenticate: door}, "0.0.0.0:0", "--tls-cert FILE"},
		"tokens alone, both ways":     {serve.HTTP{Authenticate: door}, "[::]:0", "--trusted-proxy CIDR"},
		"tokens and a name":           {serve.HTTP{Authenticate: door, Hosts: []string{"x"}}, ":0", "--trusted-proxy CIDR"},
		"tokens and TLS":              {serve.HTTP{Authenticate: door, Certificate: cert}, "0.0.0.0:0", ""},
		"tokens and a proxy":          {serve.HTTP{Authenticate: door, Proxies: proxy}, "0.0.0.0:0", ""},
		"tokens on this machine":      {serve.HTTP{Authenticate: door}, "127.0.0.1:0", ""},
		"TLS on this machine":         {serve.HTTP{Certificate: cert}, "127.0.0.1:0", ""},
	} {
		ln, err := c.h.Listen(c.addr)
		if err == nil {
			ln.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A listener that was opened elsewhere is checked too.
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	w := newWorld(t, nil)
	for _, h := range []*serve.HTTP{{Server: w.server, Log: w.logger()}, {Server: w.server, Log: w.logger(), Authenticate: door}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Serve(ctx, ln); err == nil || !strings.Contains(err.Error(), "refusing") {
			t.Errorf("%v", err)
		}
	}
}

func TestProxy(t *testing.T) {
	g := listenWith(t, func(h *serve.HTTP) { h.Proxies, h.Hosts = prefixes("127.0.0.1/32"), []string{"mcp.example.com"} })
	from := func(xff ...string) []string {
		h := []string{"Host", "mcp.example.com"}
		for _, x := range xff {
			h = append(h, "X-Forwarded-For", x)
		}
		return h
	}
	if code, _, body := g.try(t, append(from("198.51.100.7"), as(adas)...)...); code != 200 {
		t.Errorf("HTTP %d %s", code, body)
	}
	if code, _, _ := g.try(t, from("127.0.0.1")...); code != 401 {
		t.Errorf("as if from this machine: HTTP %d", code)
	}
	// The last hop is what the proxy saw. A client can write the earlier ones.
	for i := range 11 {
		g.try(t, append(from(fmt.Sprintf("203.0.113.%d, 198.51.100.7", i)), as("guess")...)...)
	}
	for i := range 11 {
		g.try(t, append(from(fmt.Sprintf("2001:db8:0:9::%x", i+2)), as("guess")...)...)
	}
	for xff, want := range map[string]int{"198.51.100.7": 429, "192.0.2.9,198.51.100.7": 429, "198.51.100.7:4711": 429, "::ffff:198.51.100.7": 429,
		"198.51.100.8": 401, "198.51.100.7, 198.51.100.9": 401, "[2001:db8::1]:4711": 401, "2001:db8:0:9::1": 429, "2001:db8:0:a::1": 401, "nonsense": 401, "": 401} {
		if code, _, _ := g.try(t, append(from(xff), as("guess")...)...); code != want {
			t.Errorf("%q: HTTP %d, not %d", xff, code, want)
		}
	}
	if log := g.log.String(); !strings.Contains(log, "from=198.51.100.7") || !strings.Contains(log, "from=127.0.0.1") {
		t.Error(log)
	}
}

// TestNotTheProxy: only the proxy may connect, whatever the token.
func TestNotTheProxy(t *testing.T) {
	g := listenWith(t, func(h *serve.HTTP) { h.Proxies = prefixes("10.1.2.3/32", "2001:db8::/64") })
	for _, path := range []string{"/mcp", "/healthz"} {
		res := g.request(t, "GET", path, "", as(adas, "X-Forwarded-For", "10.1.2.3")...)
		res.Body.Close()
		if res.StatusCode != 403 {
			t.Errorf("%s: HTTP %d", path, res.StatusCode)
		}
	}
	if g.tokens.asked != 0 {
		t.Error("a token was checked")
	}
}

// TestForwardedWithoutProxy: without a proxy the header has no effect.
func TestForwardedWithoutProxy(t *testing.T) {
	g := listenWith(t, nil)
	for i := range 11 {
		g.try(t, as("guess", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))...)
	}
	if code, _, _ := g.try(t, as("guess", "X-Forwarded-For", "203.0.113.99")...); code != 429 {
		t.Errorf("HTTP %d", code)
	}
}

// TestOwnAddress: a client may use the address of the connection as the host, and no other address.
func TestOwnAddress(t *testing.T) {
	var own net.IP
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			own = n.IP
		}
	}
	if own == nil {
		t.Skip("this machine has no address but loopback")
	}
	w := newWorld(t, nil)
	h := &serve.HTTP{Server: w.server, Log: w.logger(), Authenticate: newFakeTokens().authenticate, Proxies: prefixes("0.0.0.0/1", "128.0.0.0/1")}
	ln, err := h.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.Serve(ctx, ln) }()
	defer func() { cancel(); <-done }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for host, want := range map[string]int{own.String(): 200, "192.0.2.1": 403, "evil.example": 403} {
		r, _ := http.NewRequest("GET", "http://"+net.JoinHostPort(own.String(), port)+"/healthz", nil)
		r.Host = host
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: HTTP %d", host, res.StatusCode)
		}
	}
}
