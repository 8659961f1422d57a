package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/rpc"
)

func TestNew(t *testing.T) {
	for _, url := range []string{"https://api.sippet.ai", "https://api.sippet.ai/", "https://gw.example/sippet/v1", "http://127.0.0.1:4000",
		"http://localhost", "http://[::1]:80", "HTTPS://API.sippet.ai:8443"} {
		if _, err := rpc.New(rpc.Config{BaseURL: url, Key: testKey}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	const secret = "hunter2"
	for _, url := range []string{"", "api.sippet.ai", "/rpc", "https://", "https:api.sippet.ai", "ftp://api.sippet.ai", "http://api.sippet.ai",
		"http://10.0.0.1", "http://localhost.evil.example", "http://127.0.0.1.nip.io", "https://u:" + secret + "@api.sippet.ai",
		"https://u:" + secret + "@api.sippet.ai:bad", "https://api.sippet.ai?k=" + secret, "https://api.sippet.ai?", "https://api.sippet.ai/#x",
		"https://api.sippet.ai#", "https://api.sippet.ai:x", "https://a\nb", "https://" + strings.Repeat("a", 2000)} {
		_, err := rpc.New(rpc.Config{BaseURL: url, Key: testKey})
		if err == nil || !strings.Contains(err.Error(), "SIPPET_BASE_URL") || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, key := range []string{"", "hunter2\n", "hun\rter2", " hunter2", "hunter 2", "hunter2\x00", "hunter2\x7f", "hünter2", strings.Repeat(secret, 200)} {
		_, err := rpc.New(rpc.Config{BaseURL: rpc.DefaultBaseURL, Key: rpc.Key(key)})
		if err == nil || !strings.Contains(err.Error(), "SIPPET_SECRET_KEY") || strings.Contains(err.Error(), secret) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// TestRequest: a request has the exact bytes, the right address and the necessary headers only.
func TestRequest(t *testing.T) {
	u := serve(t, reply(200, `{"success":true,"data":null}`))
	c := client(t, u.url+"/gateway/")
	r := rpc.Request{Action: "x", Body: []byte("{\"b\":1,  \"a\":9007199254740993.0e0,\"é\":\"\\u00e9\xff<\"}\n")}
	run(t, c, r)
	c.Validate(context.Background(), r)
	for i, path := range []string{"/gateway/rpc/public/run", "/gateway/rpc/public/validate"} {
		got := u.seen()[i]
		if got.method != "POST" || got.path != path || got.body != string(r.Body) {
			t.Errorf("got %s %s %q", got.method, got.path, got.body)
		}
		want := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {"sippet-mcp"},
			"X-Api-Key": {string(testKey)}, "Accept-Encoding": {"gzip"}, "Content-Length": {fmt.Sprint(len(r.Body))}}
		if diff := cmp.Diff(want, got.header); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
	}
	if _, err := c.Run(context.Background(), rpc.Request{Action: "x"}); err == nil || len(u.seen()) != 2 {
		t.Errorf("an empty payload was sent: %v", err)
	}
}

// TestRedirect: the key is sent to one origin, and nothing is sent to the address of a redirect.
func TestRedirect(t *testing.T) {
	other := serve(t, reply(200, `{"success":true,"data":{}}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		u := serve(t, reply(status, "", "Location: "+other.url+"/rpc/public/run"))
		c := client(t, u.url)
		run(t, c, aWrite)
		run(t, c, aRead)
		c.Validate(context.Background(), aWrite)
	}
	if n := other.connections(); n != 0 {
		t.Errorf("%d connections to another origin", n)
	}
}

// TestKeyIsSecret: the key is in no result, error or log, whatever the server answers.
func TestKeyIsSecret(t *testing.T) {
	k := string(testKey)
	escaped := strings.ReplaceAll(k, "/", `\/`)
	echoes := map[string]exchange{
		"message":        reply(200, `{"success":false,"errors":[{"type":"x","message":"key `+k+` is bad"}]}`),
		"escaped":        reply(200, `{"success":false,"errors":[{"type":"x","message":"key `+escaped+` is bad"}]}`),
		"unicode escape": reply(200, `{"success":false,"errors":[{"type":"x","message":"key \u0073`+k[1:]+` is bad"}]}`),
		"var":            reply(200, `{"success":false,"errors":[{"type":"x","message":"%{a}","vars":{"a":"`+k+`"}}]}`),
		"cut in a var":   reply(200, `{"success":false,"errors":[{"type":"x","message":"%{a}","vars":{"a":"`+strings.Repeat("x", 180)+k+`"}}]}`),
		"cut":            reply(200, `{"success":false,"errors":[{"type":"x","message":"`+strings.Repeat("x", 480)+k+`"}]}`),
		"path":           reply(200, `{"success":false,"errors":[{"type":"`+k+`","path":["`+k+`"],"fields":["`+k+`"]}]}`),
		"object":         reply(400, `{"errors":{"`+k+`":["`+k+`"]}}`),
		"data":           reply(200, `{"success":true,"data":{"`+k+`":["`+k+`","`+escaped+`"]}}`),
		"header":         reply(401, k, "WWW-Authenticate: "+k, "Retry-After: "+k),
		"status line":    say("HTTP/1.1 " + k + " no\r\n\r\n"),
		"not HTTP":       say(k + "\r\n\r\n"),
		"bad header":     say("HTTP/1.1 200 OK\r\n" + k + "\r\n\r\n"),
		"location":       reply(302, "", "Location: http://x/"+k),
	}
	var log bytes.Buffer
	for name, echo := range echoes {
		u := serve(t, echo)
		c := client(t, u.url, func(c *rpc.Config) {
			c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c.Log.Info("config", "config", *c, "key", c.Key)
		})
		res, fault := run(t, c, aWrite)
		var err error
		if fault != nil {
			err = fault
		}
		out := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", err, err, err, res.Data, c, c, c)
		for e := err; e != nil; {
			out += fmt.Sprintf(" %v %#v", e, e)
			u, isWrapper := e.(interface{ Unwrap() error })
			if !isWrapper {
				break
			}
			e = u.Unwrap()
		}
		if strings.Contains(out, k[:12]) {
			t.Errorf("%s: the key is in %s", name, out)
		}
		if res.Data != nil && !json.Valid(res.Data) {
			t.Errorf("%s: no JSON any more: %s", name, res.Data)
		}
	}
	if log.Len() == 0 || strings.Contains(log.String(), k[:12]) {
		t.Errorf("the key is in the log, or there is none:\n%s", &log)
	}
	// A key of digits may be a number of the answer.
	u := serve(t, reply(200, `{"success":true,"data":{"n":1234567890123}}`))
	c := client(t, u.url, func(c *rpc.Config) { c.Key = "1234567890123" })
	if res, err := run(t, c, aRead); err != nil || !json.Valid(res.Data) || bytes.Contains(res.Data, []byte("123")) {
		t.Errorf("%s, %v", res.Data, err)
	}
}

func TestKeyFormats(t *testing.T) {
	type holder struct {
		Key    rpc.Key
		hidden *rpc.Key
	}
	k := testKey
	h := holder{k, &k}
	out := fmt.Sprintf("%v %+v %#v %s %q %x %X %d %c %t %U %z", k, k, k, k, k, k, k, k, k, k, k, k) +
		fmt.Sprintf("%v %+v %#v", h, h, h) + fmt.Sprint(k, &k, []rpc.Key{k}, map[rpc.Key]rpc.Key{k: k}) + k.String() + k.GoString()
	b, err := json.Marshal([]any{k, &k, h})
	if err != nil {
		t.Fatal(err)
	}
	out += string(b)
	if strings.Contains(out, "sk_live") || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", "sk_live")) {
		t.Error(out)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Run("in a row, whatever is answered", func(t *testing.T) {
		u := serve(t, inTurn(reply(200, `{"success":true,"data":{}}`), reply(500, html), reply(200, html), reply(404, ""), reply(401, strings.Repeat("x", 100000)),
			reply(200, `{"success":false,"errors":[]}`), reply(302, "x", "Location: /"), reply(200, `{"success":true,"data":{}}`)))
		c := client(t, u.url)
		for range 20 {
			run(t, c, aWrite)
		}
		if n := u.connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
	t.Run("at once", func(t *testing.T) {
		const workers = 56 // as many as run at a time, without those kept for hanging up
		var gate sync.WaitGroup
		gate.Add(workers)
		u := serve(t, func(n int, conn net.Conn) bool {
			if n < workers { // so that each worker needs its own connection
				gate.Done()
				gate.Wait()
			}
			return reply(200, `{"success":true,"data":{}}`)(n, conn)
		})
		c := client(t, u.url)
		for range 3 {
			var all sync.WaitGroup
			for n := range workers {
				r := aWrite
				r.Caller = string("abcd"[n%4])
				all.Go(func() {
					if _, err := c.Run(context.Background(), r); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		if n := u.connections(); n != workers {
			t.Errorf("%d connections for %d workers", n, workers)
		}
	})
}
