package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc"
)

// secure is a TLS server that counts connections and requests.
type secure struct {
	*httptest.Server
	conns, requests atomic.Int32
}

func serveTLS(t *testing.T, http2 bool, handler http.HandlerFunc) *secure {
	s := &secure{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := map[bool]int{true: 2, false: 1}[http2]; r.ProtoMajor != want {
			t.Errorf("HTTP/%d, want %d", r.ProtoMajor, want)
		}
		io.Copy(io.Discard, r.Body)
		s.requests.Add(1)
		handler(w, r)
	}))
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func trusting(t *testing.T, s *secure) *rpc.Client {
	c := client(t, s.URL)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c.SetTLS(&tls.Config{RootCAs: roots})
	return c
}

func TestTLS(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Run("reused", func(t *testing.T) {
				s := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) { status(200)(0, w, r) })
				c := trusting(t, s)
				for range 5 {
					if res, err := run(t, c, aWrite); err != nil || string(res.Data) != "{}" {
						t.Fatal(err)
					}
				}
				if n := s.conns.Load(); n != 1 {
					t.Errorf("%d connections", n)
				}
			})
			t.Run("hangs", func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				s := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
				if res, err := runContext(t, ctx, trusting(t, s), aWrite); outcome(t, err) != unknown || !res.Sent {
					t.Errorf("%+v, %v", res, err)
				}
			})
			t.Run("breaks off", func(t *testing.T) {
				s := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "100")
					io.WriteString(w, `{"success":true}`)
					panic(http.ErrAbortHandler)
				})
				c := trusting(t, s)
				if res, err := run(t, c, aWrite); outcome(t, err) != unknown || !res.Sent || s.requests.Load() != 1 {
					t.Errorf("%+v, %v", res, err)
				}
				if res, err := run(t, c, aRead); outcome(t, err) != unavailable || res.Attempts != 3 {
					t.Errorf("%+v, %v", res, err)
				}
			})
			t.Run("resets", func(t *testing.T) {
				s := serveTLS(t, http2, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
				if res, err := run(t, trusting(t, s), aWrite); outcome(t, err) != unknown || !res.Sent || s.requests.Load() != 1 {
					t.Errorf("%+v, %v, %d requests", res, err, s.requests.Load())
				}
			})
			t.Run("cancelled at any moment", func(t *testing.T) {
				s := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) { status(200)(0, w, r) })
				c := trusting(t, s)
				run(t, c, aWrite)
				var all sync.WaitGroup
				var done, unsent atomic.Int32
				const calls = 200
				s.requests.Store(0)
				for i := range calls {
					all.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*10)*time.Microsecond)
						defer cancel()
						res, err := runContext(t, ctx, c, aWrite)
						if err == nil {
							done.Add(1)
						} else if !res.Sent {
							unsent.Add(1)
						}
					})
				}
				all.Wait()
				s.Close() // waits for handlers
				if n := s.requests.Load(); n < done.Load() || n > calls-unsent.Load() {
					t.Errorf("%d requests came; %d calls were done and %d of %d said to be unsent", n, done.Load(), unsent.Load(), calls)
				}
			})
			t.Run("a stranger's certificate", func(t *testing.T) {
				s := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) { t.Error("was sent the key") })
				for _, r := range []rpc.Request{aWrite, aRead} {
					if res, err := run(t, client(t, s.URL), r); outcome(t, err) != unavailable || res.Sent || res.Attempts != 1 {
						t.Errorf("%+v, %v", res, err)
					}
				}
			})
		})
	}
}

// TestStaleTLS: over TLS too, a write is repeated after a dead connection that got none of it.
// Closing the connection writes an alert, which does not count.
func TestStaleTLS(t *testing.T) {
	s := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) { status(200)(0, w, r) })
	c := trusting(t, s)
	var dead atomic.Bool
	var dialled atomic.Int32
	c.SetDial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if dialled.Add(1) > 1 || err != nil {
			return conn, err
		}
		return &deadEnd{conn, &dead, 0}, nil
	})
	run(t, c, aWrite)
	dead.Store(true)
	res, err := run(t, c, aWrite)
	if err != nil || res.Attempts != 2 || s.requests.Load() != 2 {
		t.Errorf("%+v, %v, %d requests", res, err, s.requests.Load())
	}
}
