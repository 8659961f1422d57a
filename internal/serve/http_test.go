package serve_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

func TestListenOnThisMachineOnly(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:0": "refusing", ":0": "refusing", "[::]:0": "refusing", "192.0.2.1:0": "refusing", "example.org:0": "refusing",
		"localhost.example.org:0": "refusing", "127.0.0.1": "host:port", "": "host:port", "127.0.0.1:99999": "choose another",
		"127.0.0.1:0": "", "localhost:0": "", "127.1.2.3:0": "",
	} {
		ln, err := serve.Listen(addr)
		if err == nil {
			if want != "" {
				t.Errorf("%q was accepted", addr)
			}
			if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
				t.Errorf("%q listens on %s", addr, ip)
			}
			ln.Close()
		} else if want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestGuard(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	frame := call("1", "list_contacts", "{}", "")
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"a page of elsewhere":        {[]string{"Origin", "https://evil.example"}, 403},
		"a name that looks like us":  {[]string{"Origin", "http://127.0.0.1.evil.example"}, 403},
		"localhost as a prefix":      {[]string{"Origin", "http://localhost.evil.example:8765"}, 403},
		"a user of our name":         {[]string{"Origin", "http://127.0.0.1@evil.example"}, 403},
		"null":                       {[]string{"Origin", "null"}, 403},
		"no URL":                     {[]string{"Origin", "%%%"}, 403},
		"a file":                     {[]string{"Origin", "file://"}, 403},
		"a rebound name":             {[]string{"Host", "evil.example"}, 403},
		"a rebound name with a port": {[]string{"Host", "evil.example:8765"}, 403},
		"another address":            {[]string{"Host", "192.0.2.1"}, 403},
		"our own page":               {[]string{"Origin", "http://localhost:3000"}, 0},
		"our own name":               {[]string{"Host", "localhost:8765"}, 0},
		"IPv6":                       {[]string{"Host", "[::1]:8765"}, 0},
	} {
		for _, path := range []string{"/mcp", "/healthz"} {
			method, body := "POST", frame
			if path == "/healthz" {
				method, body = "GET", ""
			}
			res := s.request(t, method, path, body, c.headers...)
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if got := res.StatusCode; got != c.want && (c.want != 0 || got == 403) {
				t.Errorf("%s, %s: HTTP %d", name, path, got)
			}
		}
	}
}

func TestGuardLetsNothingThrough(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	frame := call("1", "list_contacts", "{}", modern)
	head := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "list_contacts"}
	for _, bad := range [][]string{{"Origin", "https://evil.example"}, {"Host", "evil.example"}} {
		if code, body := s.post(t, frame, append(bad, head...)...); code != 403 || strings.Contains(body, "outcome") {
			t.Errorf("%s: HTTP %d %s", bad, code, body)
		}
	}
	if n := len(s.up.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	if code, body := s.post(t, frame, head...); code != 200 || outcomeOf(t, body) != "done" {
		t.Errorf("HTTP %d %s", code, body)
	}
}

func TestBodyLimit(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	long := call("1", "create_contact", `{"input":{"fullName":"`+strings.Repeat("x", 16<<20)+`"}}`, "")
	if code, body := s.post(t, long); code != http.StatusRequestEntityTooLarge || !strings.Contains(body, `"error"`) || !strings.Contains(body, "15 MiB") {
		t.Errorf("HTTP %d %s", code, body)
	}
	// The length may be unknown beforehand.
	r, _ := http.NewRequest("POST", s.base+"/mcp", io.MultiReader(strings.NewReader(long)))
	res, err := s.client.Do(r)
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("HTTP %d", res.StatusCode)
		}
	}
	if n := len(s.up.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestHealthAndOtherPaths(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	res := s.request(t, "GET", "/healthz", "")
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || !strings.Contains(string(b), `"status":"ok"`) || !strings.Contains(string(b), `"version":"v0"`) {
		t.Errorf("HTTP %d %s", res.StatusCode, b)
	}
	for _, path := range []string{"/", "/rpc/public/run", "/mcp/x", "/sse"} {
		res := s.request(t, "GET", path, "")
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s: HTTP %d", path, res.StatusCode)
		}
	}
	if n := len(s.up.Requests()); n != 0 {
		t.Errorf("%d requests: health must not cost a call", n)
	}
}

func TestSessionEnds(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	id := s.session(t)
	frame := call("1", "list_contacts", "{}", "")
	if code, body := s.post(t, frame, "Mcp-Session-Id", id); code != 200 || outcomeOf(t, body) != "done" {
		t.Fatalf("HTTP %d %s", code, body)
	}
	res := s.request(t, "DELETE", "/mcp", "", "Mcp-Session-Id", id)
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Errorf("DELETE: HTTP %d", res.StatusCode)
	}
	if code, body := s.post(t, frame, "Mcp-Session-Id", id); code != 404 {
		t.Errorf("after the end: HTTP %d %s", code, body)
	}
	if code, body := s.post(t, frame, "Mcp-Session-Id", "mcp-session-00000000-0000-4000-8000-000000000000"); code != 404 {
		t.Errorf("invented: HTTP %d %s", code, body)
	}
	if n := len(s.up.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestCancel: a call can be cancelled only from its own session.
func TestCancel(t *testing.T) {
	modernHead := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "list_contacts"}
	cancelHead := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled"}
	const cancel = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"x"}}`
	for name, c := range map[string]struct {
		legacy   bool   // the call is in a legacy session
		cancel   string // frame
		head     func(session, other string) []string
		honoured bool
	}{
		"own session":          {true, cancel, func(s, _ string) []string { return []string{"Mcp-Session-Id", s} }, true},
		"another session":      {true, cancel, func(_, o string) []string { return []string{"Mcp-Session-Id", o} }, false},
		"no session":           {true, cancel, func(_, _ string) []string { return nil }, false},
		"modern by no session": {false, cancel, func(_, _ string) []string { return nil }, false},
		"modern by header":     {false, cancel, func(_, _ string) []string { return cancelHead }, false},
		"modern by _meta":      {false, strings.Replace(cancel, `"requestId":7`, `"requestId":7,`+modern, 1), func(_, _ string) []string { return cancelHead }, false},
		"modern by a session":  {false, cancel, func(s, _ string) []string { return []string{"Mcp-Session-Id", s} }, false},
		// The SDK ignores the session of a modern message, so a valid one must not pass its
		// cancellation.
		"modern with a session": {false, strings.Replace(cancel, `"requestId":7`, `"requestId":7,`+modern, 1),
			func(s, _ string) []string { return append([]string{"Mcp-Session-Id", s}, cancelHead...) }, false},
		"modern by odd writing": {false, strings.NewReplacer(`"method"`, `"METHOD"`, "cancelled", `cancelle\u0064`).Replace(cancel), func(_, _ string) []string { return nil }, false},
		"modern with two methods": {false, strings.Replace(cancel, `{"jsonrpc"`, `{"method":"ping","jsonrpc"`, 1),
			func(_, _ string) []string { return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := listen(t, newWorld(t, nil))
			id, other := s.session(t), s.session(t)
			hold := make(chan struct{})
			s.up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
			answer := make(chan string, 1)
			go func() {
				frame, head := call("7", "list_contacts", "{}", modern), modernHead
				if c.legacy {
					frame, head = call("7", "list_contacts", "{}", ""), []string{"Mcp-Session-Id", id}
				}
				_, body := s.post(t, frame, head...)
				answer <- body
			}()
			s.up.Await(t, 1)
			if code, body := s.post(t, c.cancel, c.head(id, other)...); code != http.StatusAccepted {
				t.Errorf("HTTP %d %s", code, body)
			}
			if c.honoured {
				// It ends although the upstream never answers.
				if body := <-answer; strings.Contains(body, `"outcome":"done"`) {
					t.Errorf("not cancelled: %s", body)
				}
				close(hold)
				return
			}
			close(hold)
			if body := <-answer; outcomeOf(t, body) != "done" {
				t.Errorf("cancelled from outside: %s", body)
			}
			if n := len(s.up.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestShutdown: a call in flight is finished and answered, and open streams end.
func TestShutdown(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	id := s.session(t)
	stream := s.request(t, "GET", "/mcp", "", "Mcp-Session-Id", id)
	defer stream.Body.Close()
	hold := make(chan struct{})
	s.up.On(rpctest.Run, "update_contact", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
	answer := make(chan string, 1)
	go func() {
		_, body := s.post(t, call("1", "update_contact", `{"identity":"`+anID+`","input":{}}`, ""), "Mcp-Session-Id", id)
		answer <- body
	}()
	s.up.Await(t, 3) // the contact was read, the call validated and run
	s.stop()
	if _, err := io.Copy(io.Discard, stream.Body); err != nil && err != io.ErrUnexpectedEOF {
		t.Logf("the stream ended with %v", err)
	}
	select {
	case err := <-s.done:
		t.Fatalf("stopped with a call in flight: %v", err)
	default:
	}
	if c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.base, "http://"), time.Second); err == nil {
		c.Close()
		t.Error("new connections are accepted")
	}
	close(hold)
	if body := <-answer; outcomeOf(t, body) != "done" {
		t.Errorf("%s", body)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// TestShutdownWithPendingRequest: the shutdown does not wait for a person, nothing runs, and the
// request stays in the inbox.
func TestShutdownWithPendingRequest(t *testing.T) {
	s := listen(t, newWorld(t, nil))
	id := s.session(t)
	res := s.request(t, "POST", "/mcp", call("1", "end_call", `{"input":{"callUuid":"c"}}`, ""), "Mcp-Session-Id", id)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	last := ""
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if last = data; strings.Contains(data, "elicitation/create") {
				s.stop()
			}
		}
	}
	if outcomeOf(t, last) != "approval_pending" || runs(s.up) != 0 {
		t.Errorf("%d runs, %s", runs(s.up), last)
	}
	select {
	case err := <-s.done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the shutdown waits for a person")
	}
	// A server that is started again runs it once a person has approved.
	all, err := s.ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
	if err != nil || len(all) != 1 || !all[0].Departed.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
}
