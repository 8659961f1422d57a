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

// The endpoints, for [Request] and [Server.On].
const (
	Validate = "validate"
	Run      = "run"
)

// Key is a secret key for tests. The server accepts any key.
const Key = "sk_test_0123456789abcdef"

// Request is one recorded request.
type Request struct {
	// Endpoint is Validate or Run. Any other value is the path of an unexpected request.
	Endpoint string
	// Action is the action in the body; empty if there is none.
	Action string
	Header http.Header
	// Body is the exact bytes. They must not be changed.
	Body []byte
}

// Handler returns the answer to a request. It may block and may call methods of the Server.
type Handler func(Request) Answer

// Server is a server in place of Sippet. It is safe for concurrent use.
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

// New starts a server. It is closed at the end of the test.
func New(t testing.TB) *Server {
	s := Start()
	t.Cleanup(s.Close)
	return s
}

// Start starts a server, for examples, which have no testing.TB. Close stops it.
func Start() *Server {
	s := &Server{closed: make(chan struct{}), arrived: make(chan struct{}),
		handlers: map[[2]string]Handler{}, defaults: map[string]string{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	return s
}

// Close stops the server and the requests that hang in it.
func (s *Server) Close() {
	s.once.Do(func() { close(s.closed) })
	s.http.CloseClientConnections()
	s.http.Close()
}

// On sets the handler for requests of the action to the endpoint. An empty endpoint or action
// matches all. If several handlers match, the one with the action is used, then the one with the
// endpoint. A nil handler removes the setting.
func (s *Server) On(endpoint, action string, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.handlers, [2]string{endpoint, action})
	} else {
		s.handlers[[2]string{endpoint, action}] = h
	}
}

// Requests returns all requests since the start or the last Forget, in the order in which they were
// complete.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Forget removes the recorded requests.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// Record sets whether requests are recorded. They are by default; benchmarks turn it off.
func (s *Server) Record(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unrecorded = !on
}

// Await waits until n requests are recorded, and returns them. The test fails after 10 seconds.
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
			t.Fatalf("rpctest: %d requests arrived, want %d", len(got), n)
		}
	}
}

// Down makes the server refuse connections. Requests that have arrived are still answered. Use
// [Closing] to close idle connections too.
func (s *Server) Down() { s.http.Listener.Close() }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	req := Request{Endpoint: r.URL.Path, Header: r.Header}
	if name, ok := strings.CutPrefix(r.URL.Path, "/rpc/public/"); ok && r.Method == http.MethodPost {
		req.Endpoint = name
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client closed the connection; package rpc reports it
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

// record records the request and returns its handler; nil for the usual answer.
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
