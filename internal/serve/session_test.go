package serve_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestSessionOwner: in neither protocol can a caller use the session of another.
func TestSessionOwner(t *testing.T) {
	g := listenWith(t, nil)
	begin := func(secret string) string {
		res := g.request(t, "POST", "/mcp", initialize, as(secret)...)
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Header.Get("Mcp-Session-Id") == "" {
			t.Fatalf("HTTP %d", res.StatusCode)
		}
		return res.Header.Get("Mcp-Session-Id")
	}
	id := begin(adas)
	frame := call("1", "list_contacts", "{}", "")

	// A request for ada's person is pending in her session.
	res := g.request(t, "POST", "/mcp", call("2", "end_call", `{"input":{"callUuid":"c"}}`, ""), as(adas, "Mcp-Session-Id", id)...)
	defer res.Body.Close()
	answers := bufio.NewScanner(res.Body)
	answers.Buffer(nil, 1<<20)
	next := func() string {
		for answers.Scan() {
			if data, ok := strings.CutPrefix(answers.Text(), "data: "); ok {
				return data
			}
		}
		t.Fatal("the answer ended")
		return ""
	}
	q := next()
	if !strings.Contains(q, "elicitation/create") {
		t.Fatal(q)
	}
	qid := q[strings.Index(q, `"id":`)+5:]
	qid = qid[:strings.IndexAny(qid, ",}")]
	accept := `{"jsonrpc":"2.0","id":` + qid + `,"result":{"action":"accept","content":{"approve":true}}}`

	for name, c := range map[string]struct{ method, frame string }{
		"call": {"POST", frame}, "answer": {"POST", accept}, "ping's answer": {"POST", `{"jsonrpc":"2.0","id":1,"result":{}}`}, "listen": {"GET", ""}, "end": {"DELETE", ""}, "head": {"HEAD", ""},
		"cancel":     {"POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`},
		"initialize": {"POST", initialize},
	} {
		if res := g.request(t, c.method, "/mcp", c.frame, as(bobs, "Mcp-Session-Id", id)...); res.StatusCode != 404 {
			t.Errorf("%s by another caller: HTTP %d", name, res.StatusCode)
			res.Body.Close()
		} else {
			res.Body.Close()
		}
		if res := g.request(t, c.method, "/mcp", c.frame, "Mcp-Session-Id", id); res.StatusCode != 401 && res.StatusCode != 429 {
			t.Errorf("%s without a token: HTTP %d", name, res.StatusCode)
			res.Body.Close()
		} else {
			res.Body.Close()
		}
	}
	if n := strings.Count(g.log.String(), "another token than the one that began it"); n != 8 {
		t.Errorf("%d lines in the log", n)
	}
	// A stolen id and an invented one get the same answer.
	_, stolen := g.post(t, frame, as(bobs, "Mcp-Session-Id", id)...)
	_, madeUp := g.post(t, frame, as(bobs, "Mcp-Session-Id", "mcp-session-0")...)
	if stolen != madeUp {
		t.Errorf("%q, %q", stolen, madeUp)
	}
	for _, method := range []string{"GET", "DELETE"} {
		res := g.request(t, method, "/mcp", "", as(bobs, "Mcp-Session-Id", "mcp-session-0")...)
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s of an invented session: HTTP %d", method, res.StatusCode)
		}
	}
	if runs(g.up) != 0 {
		t.Errorf("%d runs", runs(g.up))
	}
	reads()
	if code, _ := g.post(t, accept, as(adas, "Mcp-Session-Id", id)...); code != 202 {
		t.Errorf("HTTP %d", code)
	}
	if a := next(); outcomeOf(t, a) != "done" {
		t.Error(a)
	}
	if code, body := g.post(t, frame, as(adas, "Mcp-Session-Id", id)...); code != 200 || outcomeOf(t, body) != "done" {
		t.Errorf("HTTP %d %s", code, body)
	}

	// The modern protocol has no sessions, but a call can carry the state of a request.
	head := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "end_call"}
	meta := strings.Replace(modern, `clientCapabilities":{}`, `clientCapabilities":{"elicitation":{}}`, 1)
	_, body := g.post(t, call("3", "end_call", `{"input":{"callUuid":"d"}}`, meta), as(adas, head...)...)
	_, state, ok := strings.Cut(body, `"requestState":"`)
	if !ok {
		t.Fatal(body)
	}
	state = state[:strings.Index(state, `"`)]
	reads()
	again := call("4", "end_call", `{"input":{"callUuid":"d"}}`, `"requestState":"`+state+`","inputResponses":{"approve":{"action":"accept","content":{"approve":true}}},`+meta)
	if code, body := g.post(t, again, as(bobs, head...)...); code == 200 && outcomeOf(t, body) == "done" {
		t.Errorf("bob's reply counts: HTTP %d %s", code, body)
	}
	if code, body := g.post(t, again, as(adas, head...)...); code != 200 || outcomeOf(t, body) != "done" {
		t.Errorf("HTTP %d %s", code, body)
	}
	if code, body := g.post(t, frame, as(bobs, "Mcp-Session-Id", begin(bobs))...); code != 200 {
		t.Errorf("HTTP %d %s", code, body)
	}
}

// TestRevokedStream: a stream ends within a second after its token was revoked.
func TestRevokedStream(t *testing.T) {
	g := listenWith(t, nil)
	res := g.request(t, "POST", "/mcp", initialize, as(adas)...)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	stream := g.request(t, "GET", "/mcp", "", as(adas, "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id"))...)
	defer stream.Body.Close()
	if stream.StatusCode != 200 {
		t.Fatalf("HTTP %d", stream.StatusCode)
	}
	g.tokens.set(func(d *fakeTokens) { delete(d.valid, adas) })
	begun := time.Now()
	ends(t, stream.Body)
	if d := time.Since(begun); d > time.Second {
		t.Errorf("it took %s", d)
	}
	if code, _, _ := g.try(t, as(adas)...); code != 401 {
		t.Errorf("HTTP %d", code)
	}
}

// TestCallInFlightIsFinished: an accepted call is not cut off, because then its outcome would be
// unknown.
func TestCallInFlightIsFinished(t *testing.T) {
	g := listenWith(t, nil)
	hold := make(chan struct{})
	g.up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
	answer := make(chan string, 1)
	go func() {
		_, _, body := g.try(t, as(adas)...)
		answer <- body
	}()
	g.up.Await(t, 1)
	g.tokens.set(func(d *fakeTokens) { delete(d.valid, adas) })
	time.Sleep(1200 * time.Millisecond) // longer than a stream would stay open
	close(hold)
	if body := <-answer; outcomeOf(t, body) != "done" {
		t.Error(body)
	}
}
