package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	ok          = schemas.Done
	invalid     = schemas.ValidationFailed
	rejected    = schemas.UpstreamError
	unavailable = schemas.UpstreamUnavailable
	unknown     = schemas.OutcomeUnknown
)

const html = "<html><body><h1>Bad Gateway</h1></body></html>"

// TestFaults has every kind of wrong answer, with the outcome for a write, a read and a validation.
// tries is how often a read is sent. A write is always sent once.
func TestFaults(t *testing.T) {
	const max = 4 << 10
	long := `{"success":true,"data":"` + strings.Repeat("x", max) + `"}`
	chunk := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"success\":true,\r\n"
	tests := []struct {
		name                  string
		answer                exchange
		write, read, validate schemas.Outcome
		tries                 int
		status                int
	}{
		{"400 JSON", reply(400, `{"errors":{"detail":"Bad Request"}}`), rejected, rejected, rejected, 1, 400},
		{"401", reply(401, "no"), rejected, rejected, rejected, 1, 401},
		{"403 HTML", reply(403, html), rejected, rejected, rejected, 1, 403},
		{"404", reply(404, `{"errors":{"detail":"Not Found"}}`), rejected, rejected, rejected, 1, 404},
		{"406", reply(406, ""), rejected, rejected, rejected, 1, 406},
		{"409", reply(409, "{}"), rejected, rejected, rejected, 1, 409},
		{"413 long", reply(413, strings.Repeat("x", 2*max)), rejected, rejected, rejected, 1, 413},
		{"422 cut", say("HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\n{"), rejected, rejected, rejected, 1, 422},
		{"408", reply(408, ""), unknown, unavailable, unavailable, 3, 408},
		{"499", reply(499, ""), unknown, unavailable, unavailable, 3, 499},

		{"301", reply(301, "", "Location: http://127.0.0.1:1/"), rejected, rejected, rejected, 1, 301},
		{"307", reply(307, "", "Location: http://127.0.0.1:1/"), rejected, rejected, rejected, 1, 307},
		{"308", reply(308, "", "Location: http://127.0.0.1:1/"), rejected, rejected, rejected, 1, 308},
		{"302", reply(302, "", "Location: http://127.0.0.1:1/"), unknown, unavailable, unavailable, 1, 302},
		{"303", reply(303, "", "Location: http://127.0.0.1:1/"), unknown, unavailable, unavailable, 1, 303},
		{"304", reply(304, ""), unknown, unavailable, unavailable, 1, 304},

		{"500 JSON", reply(500, `{"errors":{"detail":"Internal Server Error"}}`), unknown, rejected, unavailable, 1, 500},
		{"500 HTML", reply(500, html), unknown, rejected, unavailable, 1, 500},
		{"502 HTML", reply(502, html), unknown, unavailable, unavailable, 3, 502},
		{"503", reply(503, ""), unknown, unavailable, unavailable, 3, 503},
		{"504 hangs up", say("HTTP/1.1 504 No\r\nContent-Length: 100\r\n\r\n"), unknown, unavailable, unavailable, 3, 504},
		{"503 that says success", reply(503, `{"success":true,"data":{}}`), unknown, unavailable, unavailable, 3, 503},
		{"600", reply(600, ""), unknown, unavailable, unavailable, 1, 600},

		{"200 HTML", reply(200, html), unknown, unavailable, unavailable, 3, 200},
		{"200 empty", reply(200, ""), unknown, unavailable, unavailable, 3, 200},
		{"204", keep("HTTP/1.1 204 No Content\r\n\r\n"), unknown, unavailable, unavailable, 3, 204},
		{"200 null", reply(200, "null"), unknown, unavailable, unavailable, 3, 200},
		{"200 list", reply(200, `[{"success":true}]`), unknown, unavailable, unavailable, 3, 200},
		{"200 without success", reply(200, `{"data":{}}`), unknown, unavailable, unavailable, 3, 200},
		{"200 success in words", reply(200, `{"success":"true","data":{}}`), unknown, unavailable, unavailable, 3, 200},
		{"200 success null", reply(200, `{"success":null}`), unknown, unavailable, unavailable, 3, 200},
		{"200 contradiction", reply(200, `{"success":true,"data":{},"errors":[{"type":"x"}]}`), unknown, unavailable, unavailable, 1, 200},
		{"200 two documents", reply(200, `{"success":true,"data":{}}{}`), unknown, unavailable, unavailable, 3, 200},
		{"200 bad data", reply(200, `{"success":true,"data":[1,,2]}`), unknown, unavailable, unavailable, 3, 200},
		{"200 cut, length told", say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + `{"success":true}`), unknown, unavailable, unavailable, 3, 200},
		{"200 cut, no length", say("HTTP/1.1 200 OK\r\n\r\n" + `{"success":true,"data":`), unknown, unavailable, unavailable, 3, 200},
		{"200 cut in a chunk", say(chunk), unknown, unavailable, unavailable, 3, 200},
		{"200 too long, length told", reply(200, long), unknown, rejected, unavailable, 1, 200},
		{"200 too long, no length", say("HTTP/1.1 200 OK\r\n\r\n" + long), unknown, rejected, unavailable, 1, 200},
		{"200 bad gzip", reply(200, "xx", "Content-Encoding: gzip"), unknown, unavailable, unavailable, 3, 200},

		{"not HTTP", say("SSH-2.0-OpenSSH_9.6\r\n"), unknown, unavailable, unavailable, 3, 0},
		{"hangs up", say(), unknown, unavailable, unavailable, 3, 0},
		{"hangs up in the head", say("HTTP/1.1 200 OK\r\nContent-"), unknown, unavailable, unavailable, 3, 0},
		{"reset", reset, unknown, unavailable, unavailable, 3, 0},

		{"success", reply(200, `{"success":true,"data":{}}`), ok, ok, ok, 1, 200},
		{"success without data", reply(200, `{"success":true}`), ok, ok, ok, 1, 200},
		{"success, empty errors", reply(200, `{"success":true,"data":1,"errors":[]}`), ok, ok, ok, 1, 200},
		{"failure", reply(200, `{"success":false,"errors":[{"type":"required","message":"x"}]}`), rejected, rejected, invalid, 1, 200},
		{"forbidden", reply(200, `{"success":false,"errors":[]}`), rejected, rejected, invalid, 1, 200},
		{"failure without errors", reply(200, `{"success":false}`), rejected, rejected, invalid, 1, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := serve(t, test.answer)
			c := client(t, u.url, func(c *rpc.Config) { c.MaxResponse = max })

			res, err := run(t, c, aWrite)
			if got := outcome(t, err); got != test.write {
				t.Errorf("write: %v, want %v (%v)", got, test.write, err)
			}
			if n := len(u.seen()); n != 1 {
				t.Errorf("write was sent %d times", n)
			}
			if !res.Sent || res.Status != test.status || res.Attempts != 1 {
				t.Errorf("write: sent %v, status %d, attempts %d, want true, %d, 1", res.Sent, res.Status, res.Attempts, test.status)
			}

			before := len(u.seen())
			res, err = run(t, c, aRead)
			if got := outcome(t, err); got != test.read {
				t.Errorf("read: %v, want %v (%v)", got, test.read, err)
			}
			if n := len(u.seen()) - before; n != test.tries || res.Attempts != n || !res.Sent || res.Status != test.status {
				t.Errorf("read was sent %d times, want %d: %+v", n, test.tries, res)
			}

			before = len(u.seen())
			err = c.Validate(context.Background(), aWrite)
			if got := outcome(t, err); got != test.validate {
				t.Errorf("validate: %v, want %v (%v)", got, test.validate, err)
			}
			want := test.tries
			if n := len(u.seen()) - before; n != want {
				t.Errorf("validate was sent %d times, want %d", n, want)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	for name, text := range map[string]string{
		"before the head": "",
		"in the head":     "HTTP/1.1 200 OK\r\n",
		"in the body":     "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"success\":true,",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, hang(text))
			c := client(t, u.url)
			write, read := aWrite, aRead
			write.Deadline, read.Deadline = 300*time.Millisecond, 300*time.Millisecond
			if res, err := run(t, c, write); outcome(t, err) != unknown || !res.Sent || !errors.Is(err.Err, context.DeadlineExceeded) {
				t.Errorf("write: %+v, %v", res, err)
			}
			if res, err := run(t, c, read); outcome(t, err) != unavailable || !res.Sent {
				t.Errorf("read: %+v, %v", res, err)
			}
			if err := c.Validate(context.Background(), write); outcome(t, err) != unavailable {
				t.Errorf("validate: %v", err)
			}
			if n := len(u.seen()); n != 3 {
				t.Errorf("%d requests, want 3: a hang leaves no time for repeats", n)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Run("before anything is sent", func(t *testing.T) {
		u := serve(t, reply(200, `{"success":true,"data":{}}`))
		c := client(t, u.url)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for _, r := range []rpc.Request{aWrite, aRead} {
			res, err := runContext(t, ctx, c, r)
			if outcome(t, err) != unavailable || res.Sent || !errors.Is(err.Err, context.Canceled) {
				t.Errorf("%s: %+v, %v", r.Action, res, err)
			}
		}
		if err := c.Validate(ctx, aWrite); outcome(t, err) != unavailable {
			t.Errorf("validate: %v", err)
		}
		if n := len(u.seen()); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
	t.Run("while waiting for the answer", func(t *testing.T) {
		for _, text := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"} {
			for _, r := range []rpc.Request{aWrite, aRead} {
				ctx, cancel := context.WithCancel(context.Background())
				u := serve(t, func(n int, conn net.Conn) bool {
					io.WriteString(conn, text)
					time.AfterFunc(10*time.Millisecond, cancel)
					return hang("")(n, conn)
				})
				want := unknown
				if r.Read {
					want = unavailable
				}
				res, err := runContext(t, ctx, client(t, u.url), r)
				if outcome(t, err) != want || !res.Sent {
					t.Errorf("%s: %+v, %v", r.Action, res, err)
				}
			}
		}
	})
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := client(t, "http://"+l.Addr().String())
	for r, tries := range map[*rpc.Request]int{&aWrite: 1, &aRead: 3} {
		res, err := run(t, c, *r)
		if outcome(t, err) != unavailable || res.Sent || res.Status != 0 || res.Attempts != tries {
			t.Errorf("%s: %+v, %v", r.Action, res, err)
		}
		if !strings.Contains(failure(t, err).Message, "refused") {
			t.Errorf("message does not say why: %v", err)
		}
	}
	if err := c.Validate(context.Background(), aWrite); outcome(t, err) != unavailable {
		t.Errorf("validate: %v", err)
	}
}

// TestResetOnAccept: a server that resets each connection before it reads races with the client
// that writes. In either order the result must be consistent; run checks that.
func TestResetOnAccept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reset(0, conn)
			conn.Close()
		}
	}()
	c := client(t, "http://"+l.Addr().String())
	for range 50 {
		if _, err := run(t, c, aWrite); err == nil {
			t.Fatal("success from a server that never answers")
		}
	}
}

// deadEnd is a connection that the other side has left: every write fails without sending a byte,
// except for the first bytes that allow permits.
type deadEnd struct {
	net.Conn
	dead  *atomic.Bool
	allow int
}

func (d *deadEnd) Write(p []byte) (int, error) {
	if !d.dead.Load() {
		return d.Conn.Write(p)
	}
	n := min(d.allow, len(p))
	d.Conn.Write(p[:n])
	return n, errors.New("connection reset by peer")
}

func TestStaleConnection(t *testing.T) {
	dialer := func(c *rpc.Client, dead *atomic.Bool, allow int) *atomic.Int32 {
		var dialled atomic.Int32
		c.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if dialled.Add(1) > 1 || err != nil {
				return conn, err
			}
			return &deadEnd{conn, dead, allow}, nil
		})
		return &dialled
	}
	t.Run("nothing written: once more on a new connection", func(t *testing.T) {
		u := serve(t, reply(200, `{"success":true,"data":{}}`))
		c := client(t, u.url)
		var dead atomic.Bool
		dialled := dialer(c, &dead, 0)
		run(t, c, aWrite)
		dead.Store(true)
		res, err := run(t, c, aWrite)
		if err != nil || res.Attempts != 2 {
			t.Errorf("%+v, %v", res, err)
		}
		if n := len(u.seen()); n != 2 || dialled.Load() != 2 {
			t.Errorf("%d requests over %d connections, want 2 over 2", n, dialled.Load())
		}
	})
	t.Run("a byte written: nobody knows", func(t *testing.T) {
		u := serve(t, reply(200, `{"success":true,"data":{}}`))
		c := client(t, u.url)
		var dead atomic.Bool
		dialled := dialer(c, &dead, 1)
		run(t, c, aWrite)
		dead.Store(true)
		res, err := run(t, c, aWrite)
		if outcome(t, err) != unknown || !res.Sent || res.Attempts != 1 || dialled.Load() != 1 {
			t.Errorf("%+v, %v, %d connections", res, err, dialled.Load())
		}
	})
	t.Run("dead from the beginning: not repeated", func(t *testing.T) {
		u := serve(t, reply(200, `{"success":true,"data":{}}`))
		c := client(t, u.url)
		var dead atomic.Bool
		dead.Store(true)
		dialler := dialer(c, &dead, 0)
		res, err := run(t, c, aWrite)
		if outcome(t, err) != unavailable || res.Sent || res.Attempts != 1 || dialler.Load() != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	})
	t.Run("the server reads and hangs up: net/http must not repeat", func(t *testing.T) {
		u := serve(t, inTurn(reply(200, `{"success":true,"data":{}}`), say(), reply(200, `{"success":true,"data":{}}`)))
		c := client(t, u.url)
		run(t, c, aWrite)
		res, err := run(t, c, aWrite)
		if outcome(t, err) != unknown || !res.Sent {
			t.Errorf("%+v, %v", res, err)
		}
		if n := len(u.seen()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
	t.Run("the server closed it while idle: nothing is lost", func(t *testing.T) {
		u := serve(t, func(n int, conn net.Conn) bool {
			reply(200, `{"success":true,"data":{}}`)(n, conn)
			return false // after a complete answer that promised keep-alive
		})
		c := client(t, u.url)
		for i := range 20 {
			// net/http has noticed, or noticed while writing, or the bytes were lost; the write is
			// never sent twice.
			before := len(u.seen())
			_, err := run(t, c, aWrite)
			if n := len(u.seen()) - before; err == nil && n != 1 || err != nil && n > 1 {
				t.Errorf("call %d: %d requests, %v", i, n, err)
			}
		}
	})
}
