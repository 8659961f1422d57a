package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const testKey = rpc.Key("sk_live_0123456789/abcdef")

// upstream is a server below HTTP. It reads complete requests and records them; the test decides
// what it does with the connection.
type upstream struct {
	listener net.Listener
	url      string

	mu       sync.Mutex
	requests []request
	accepted int
}

type request struct {
	method, path, body string
	header             http.Header
}

// exchange answers a request on a connection. The connection is closed if it returns false.
type exchange func(n int, conn net.Conn) (keep bool)

// serve answers the n-th request (from 0, over all connections) with answer.
func serve(t testing.TB, answer exchange) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{listener: l, url: "http://" + l.Addr().String()}
	var conns sync.WaitGroup
	closing := make(chan struct{})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.accepted++
			u.mu.Unlock()
			conns.Go(func() {
				defer conn.Close()
				go func() { <-closing; conn.Close() }()
				u.converse(conn, answer)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(closing)
		conns.Wait()
	})
	return u
}

func (u *upstream) converse(conn net.Conn, answer exchange) {
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		u.mu.Lock()
		n := len(u.requests)
		u.requests = append(u.requests, request{r.Method, r.URL.Path, string(body), r.Header})
		u.mu.Unlock()
		if !answer(n, conn) {
			return
		}
	}
}

func (u *upstream) seen() []request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]request(nil), u.requests...)
}

func (u *upstream) connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accepted
}

// say writes the texts one after the other and closes the connection.
func say(texts ...string) exchange {
	return func(_ int, conn net.Conn) bool {
		for _, text := range texts {
			io.WriteString(conn, text)
		}
		return false
	}
}

// keep writes a text and keeps the connection.
func keep(text string) exchange {
	return func(_ int, conn net.Conn) bool {
		io.WriteString(conn, text)
		return true
	}
}

// reply writes a complete HTTP answer and keeps the connection.
func reply(status int, body string, header ...string) exchange {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	for _, h := range header {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return keep(b.String())
}

// hang writes a text and then nothing, until the other side or the test ends.
func hang(text string) exchange {
	return func(_ int, conn net.Conn) bool {
		io.WriteString(conn, text)
		io.Copy(io.Discard, conn)
		return false
	}
}

// reset answers with a TCP reset.
func reset(_ int, conn net.Conn) bool {
	conn.(*net.TCPConn).SetLinger(0)
	return false
}

// inTurn answers the first request with the first, and so on; the last answers the rest.
func inTurn(answers ...exchange) exchange {
	return func(n int, conn net.Conn) bool { return answers[min(n, len(answers)-1)](n, conn) }
}

func client(t testing.TB, url string, change ...func(*rpc.Config)) *rpc.Client {
	t.Helper()
	config := rpc.Config{BaseURL: url, Key: testKey, RetryDelay: time.Millisecond}
	for _, f := range change {
		f(&config)
	}
	c, err := rpc.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var (
	aRead  = rpc.Request{Action: "list_contacts", Body: []byte(`{"action":"list_contacts","fields":["id"]}`), Read: true}
	aWrite = rpc.Request{Action: "delete_contact", Body: []byte(`{"action":"delete_contact","fields":["id"],"input":{"contactId":"x"}}`)}
)

// failure returns the error, and checks what holds for every error.
func failure(t testing.TB, e *schemas.Error) *schemas.Error {
	t.Helper()
	if e == nil {
		t.Fatal("no error came")
	}
	if e.Message == "" || e.Next == "" {
		t.Errorf("no message or no next step: %+v", e)
	}
	for _, text := range []string{e.Message, e.Next} {
		if strings.ContainsAny(text, "<>\n\r") || strings.Contains(text, "127.0.0.1") || strings.HasSuffix(text, ".") {
			t.Errorf("message holds a foreign text, an address or a full stop: %q", text)
		}
	}
	return e
}

func outcome(t testing.TB, err *schemas.Error) schemas.Outcome {
	t.Helper()
	if err == nil {
		return schemas.Done
	}
	return failure(t, err).Outcome
}

// run runs a request and checks what holds for every result.
func run(t testing.TB, c *rpc.Client, r rpc.Request) (rpc.Result, *schemas.Error) {
	t.Helper()
	return runContext(t, context.Background(), c, r)
}

func runContext(t testing.TB, ctx context.Context, c *rpc.Client, r rpc.Request) (rpc.Result, *schemas.Error) {
	t.Helper()
	res, err := c.Run(ctx, r)
	switch o := outcome(t, err); {
	case o == schemas.OutcomeUnknown && (r.Read || !res.Sent):
		t.Errorf("outcome_unknown for a read, or though nothing was sent")
	case o == schemas.UpstreamUnavailable && !r.Read && res.Sent:
		t.Errorf("a write that was sent is said not to have run")
	case err == nil && (res.Data == nil || !res.Sent), err != nil && res.Data != nil:
		t.Errorf("result does not fit the error: %+v, %v", res, err)
	case bytes.Contains(res.Data, []byte(testKey)):
		t.Errorf("the key is in the data: %s", res.Data)
	}
	if err != nil && strings.Contains(err.Error(), string(testKey)) {
		t.Errorf("the key is in the error: %v", err)
	}
	return res, err
}
