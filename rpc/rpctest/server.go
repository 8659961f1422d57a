package rpctest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The endpoints, as [Request] and [Server.On] name them.
const (
	Validate = "validate"
	Run      = "run"
)

// Key is a secret key that the server takes. It takes any other, too.
const Key = "sk_test_0123456789abcdef"

// Request is one request as it came.
type Request struct {
	// Endpoint is Validate or Run; anything else is the path of a request that should not have been made.
	Endpoint string
	// Action is what the body says; empty where it says none.
	Action string
	Header http.Header
	// Body are the exact bytes. They must not be changed.
	Body []byte
}

// Handler gives the answer to a request. It may block and may call the Server's methods.
type Handler func(Request) Answer

// Server is the stand-in. It is safe for concurrent use.
type Server struct {
	// URL is the base URL for rpc.Config.
	URL string

	http   *httptest.Server
	closed chan struct{}
	once   sync.Once

	mu         sync.Mutex
	requests   []Request
	unrecorded bool
	arrived    chan struct{} // closed and replaced at each request
	handlers   map[[2]string]Handler
	defaults   map[string]string
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{closed: make(chan struct{}), arrived: make(chan struct{}),
		handlers: map[[2]string]Handler{}, defaults: map[string]string{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	t.Cleanup(s.close)
	return s
}

// close ends the server and the requests that hang in it.
func (s *Server) close() {
	s.once.Do(func() { close(s.closed) })
	s.http.CloseClientConnections()
	s.http.Close()
}

// On sets how requests of the action to the endpoint are answered from now on.
// An empty endpoint or action means every one; of several that fit, the one
// that names the action wins, then the one that names the endpoint. A nil handler takes it back.
func (s *Server) On(endpoint, action string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.handlers, [2]string{endpoint, action})
	} else {
		s.handlers[[2]string{endpoint, action}] = h
	}
}

// Requests gives all requests since the start or the last Forget, in the order in which they were whole.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Forget drops what was recorded.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Record says whether requests are recorded; they are until somebody says no. Benchmarks do.
func (s *Server) Record(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unrecorded = !on
}

// Await waits until n requests have been recorded, and gives them; the test fails after 10 seconds.
func (s *Server) Await(t testing.TB, n int) []Request {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		got, next := append([]Request(nil), s.requests...), s.arrived
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-next:
		case <-late:
			t.Fatalf("rpctest: %d requests came, want %d", len(got), n)
		}
	}
}

// Down refuses connections, as a machine does on which nothing listens. Requests that
// have arrived are still answered; for idle connections to go too, answer with [Closing].
func (s *Server) Down() { s.http.Listener.Close() }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	req := Request{Endpoint: r.URL.Path, Header: r.Header}
	if name, ok := strings.CutPrefix(r.URL.Path, "/rpc/public/"); ok && r.Method == http.MethodPost {
		req.Endpoint = name
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away in the middle; rpc says so to its caller
	}
	req.Body = body
	schemas.EachJSON(body, func(k, v []byte) {
		if string(k) == `"action"` {
			req.Action = schemas.DecodeString(v)
		}
	})
	h := s.record(req)
	if h == nil {
		write(w, s.usual(req))
		return
	}
	s.answer(w, r, req, h(req))
}

// record writes the request down and gives its handler; nil for the usual answer.
func (s *Server) record(r Request) Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.unrecorded {
		s.requests = append(s.requests, r)
		close(s.arrived)
		s.arrived = make(chan struct{})
	}
	for _, key := range [][2]string{{r.Endpoint, r.Action}, {"", r.Action}, {r.Endpoint, ""}, {"", ""}} {
		if h, ok := s.handlers[key]; ok {
			return h
		}
	}
	return nil
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, req Request, a Answer) {
	wait := a.Until
	if a.Hang {
		wait = make(chan struct{})
	}
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
	if a.Delay > 0 {
		time.Sleep(a.Delay)
	}
	if a.Reset {
		reset(w)
		return
	}
	if a.Usual {
		a.Body = s.usual(req)
	}
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	if a.Close {
		w.Header().Set("Connection", "close")
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	if a.Endless {
		for _, err := io.WriteString(w, a.Body); err == nil && a.Body != ""; _, err = io.WriteString(w, a.Body) {
		}
		return
	}
	io.WriteString(w, a.Body)
	if a.Truncated {
		w.(http.Flusher).Flush()
		reset(w)
	}
}

func write(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return // HTTP/2, which this server does not speak
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
