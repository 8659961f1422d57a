package serve_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// dial opens a connection to a server and sends a text.
func dial(t *testing.T, base, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// closes reports whether the server closes a connection within a time.
func closes(conn net.Conn, within time.Duration) bool {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, conn)
	return err == nil || !strings.Contains(err.Error(), "timeout")
}

// TestSlowBodies: on every route, a body that does not arrive in time ends its connection. A call that
// takes longer than that is finished.
func TestSlowBodies(t *testing.T) {
	serve.SetPatience(t, 300*time.Millisecond, time.Second)
	g := listenWith(t, func(h *serve.HTTP) {
		h.Inbox = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.FormValue("token")) })
	})
	for _, route := range []string{"POST /mcp", "POST /inbox/login", "GET /inbox", "GET /healthz", "POST /nothing", "POST /mcp HTTP/1.1\r\nAuthorization: Bearer guess"} {
		if !strings.Contains(route, "HTTP/1.1") {
			route += " HTTP/1.1\r\nAuthorization: Bearer " + bobs
		}
		conn := dial(t, g.base, route+"\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n{")
		if !closes(conn, 5*time.Second) {
			t.Errorf("%q: the connection is open after 5 seconds", route)
		}
	}
	g.up.On(rpctest.Run, "list_contacts", func(r rpctest.Request) rpctest.Answer {
		time.Sleep(time.Second)
		return rpctest.OK("[]")(r)
	})
	if code, _, body := g.try(t, as(bobs)...); code != 200 {
		t.Errorf("a call of a second: HTTP %d %s", code, body)
	}
	res := g.request(t, "POST", "/inbox/login", "token=x", as(bobs, "Content-Type", "application/x-www-form-urlencoded")...)
	if body, _ := io.ReadAll(res.Body); string(body) != "x" {
		t.Errorf("the inbox got %q", body)
	}
	res.Body.Close()
	res = g.request(t, "POST", "/inbox/login", "token="+strings.Repeat("x", 256<<10), as(bobs, "Content-Type", "application/x-www-form-urlencoded")...)
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of 256 KiB: HTTP %d", res.StatusCode)
	}
	res.Body.Close()
}

// TestMessageSizes: only a call of a tool may be long.
func TestMessageSizes(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	long := func(method string, n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"clientInfo":{"name":"` + strings.Repeat("x", n) + `"}}}`
	}
	for body, want := range map[string]string{
		long("initialize", 20<<10):                   "a message of initialize has at most 16 KiB",
		long("tools/list", 70<<10):                   "a message of tools/list has at most 64 KiB",
		long("", 70<<10):                             "a message of this kind has at most 64 KiB",
		long("tools/call", 70<<10):                   "",
		strings.Repeat(" ", 70<<10) + `{"method":1}`: "a message of this kind",
	} {
		if code, answer := s.post(t, body); want != "" && (code != http.StatusRequestEntityTooLarge || !strings.Contains(answer, want)) || want == "" && code == http.StatusRequestEntityTooLarge {
			t.Errorf("%.60s: HTTP %d %.200s, want %q", strings.TrimSpace(body), code, answer, want)
		}
	}
}

// TestLargeMessages: messages that would not fit in memory together wait, small ones do not.
func TestLargeMessages(t *testing.T) {
	serve.SetPatience(t, 2*time.Second, 300*time.Millisecond)
	s := listen(t, newWorld(t, nil))
	large := call("1", "create_contact", `{"input":{"fullName":"`+strings.Repeat("x", serve.MaxMessage/2)+`"}}`, "")
	var held []net.Conn
	for range 4 {
		held = append(held, dial(t, s.base, fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", serve.MaxMessage)))
	}
	time.Sleep(200 * time.Millisecond)
	if code, body := s.post(t, large); code != http.StatusServiceUnavailable || !strings.Contains(body, "too many large messages") {
		t.Errorf("beside four: HTTP %d %.200s", code, body)
	}
	if code, body := s.post(t, call("1", "list_contacts", "{}", "")); code == http.StatusServiceUnavailable {
		t.Errorf("a small one: HTTP %d %.200s", code, body)
	}
	for _, conn := range held {
		if !closes(conn, 10*time.Second) {
			t.Fatal("a large message that does not arrive holds its room")
		}
	}
	if code, body := s.post(t, large); code == http.StatusServiceUnavailable {
		t.Errorf("alone: HTTP %d %.200s", code, body)
	}
}

// TestCrowd: one address cannot use all connections, and all of them together not more than there are.
// A connection that is held open without a request keeps no further one out.
func TestCrowd(t *testing.T) {
	for name, c := range map[string]struct {
		all, one int
		proxied  bool
		most     int
	}{
		"of one address": {40, 20, false, 20},
		"in all":         {15, 20, false, 15},
		"of a proxy":     {40, 20, true, 40},
	} {
		t.Run(name, func(t *testing.T) {
			serve.SetCrowd(t, c.all, c.one)
			g := listenWith(t, func(h *serve.HTTP) {
				if c.proxied {
					h.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
				}
			})
			var open []net.Conn
			for range c.most {
				open = append(open, dial(t, g.base, "GET /healthz HTTP/1.1\r\n"))
			}
			if closes(open[0], 300*time.Millisecond) {
				t.Error("the first one was closed")
			}
			res, err := http.Get(g.base + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if !closes(open[0], 5*time.Second) {
				t.Error("the first one stays open for one more")
			}
			if closes(open[1], 300*time.Millisecond) {
				t.Error("the second one was closed too")
			}
		})
	}
}

// TestManySessions: a token has so many sessions at most, and that is no other token's matter.
func TestManySessions(t *testing.T) {
	g := listenWith(t, nil)
	begin := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	start := func(secret string) (int, string) {
		res := g.request(t, "POST", "/mcp", begin, as(secret, "Content-Type", "application/json", "Accept", "application/json, text/event-stream")...)
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Header.Get("Mcp-Session-Id")
	}
	_, first := start(bobs)
	for i := 1; i < serve.MaxSessionsOf; i++ {
		if code, _ := start(bobs); code != 200 {
			t.Fatalf("session %d: HTTP %d", i, code)
		}
	}
	if code, _ := start(bobs); code != http.StatusTooManyRequests {
		t.Errorf("one more: HTTP %d", code)
	}
	if code, _ := start(adas); code != 200 {
		t.Errorf("another token: HTTP %d", code)
	}
	res := g.request(t, "DELETE", "/mcp", "", as(bobs, "Mcp-Session-Id", first)...)
	res.Body.Close()
	if code, _ := start(bobs); code != 200 {
		t.Errorf("after one ended: HTTP %d", code)
	}
}
