package rpc_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// pipes is a listener without a network, so that a test can use virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// virtual runs a test with a server in virtual time. when holds the times of the requests, since
// the start.
func virtual(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request), test func(t *testing.T, c *rpc.Client, when func() []time.Duration)) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var times []time.Duration
		begun := time.Now()
		listener := make(pipes)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			n := len(times)
			times = append(times, time.Since(begun))
			mu.Unlock()
			handle(n, w, r)
		})}
		go server.Serve(listener)
		c, err := rpc.New(rpc.Config{BaseURL: "http://127.0.0.1", Key: testKey})
		if err != nil {
			t.Fatal(err)
		}
		c.SetDial(func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			listener <- theirs
			return ours, nil
		})
		test(t, c, func() []time.Duration { mu.Lock(); defer mu.Unlock(); return append([]time.Duration(nil), times...) })
		c.Close()
		server.Close()
	})
}

func status(code int, header ...string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, `{"success":true,"data":{}}`)
	}
}

func TestBackoff(t *testing.T) {
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		status([]int{503, 502, 200}[n])(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		if res, err := run(t, c, aRead); err != nil || res.Attempts != 3 || res.Status != 200 {
			t.Fatalf("%+v, %v", res, err)
		}
		at := when()
		for i, most := range []time.Duration{134 * time.Millisecond, 267 * time.Millisecond} {
			if wait := at[i+1] - at[i]; wait < most/2-time.Millisecond || wait > most {
				t.Errorf("wait %d took %v, want a half to the whole of %v", i, wait, most)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name     string
		code     int
		header   func() string
		deadline time.Duration
		tries    int
		least    time.Duration // between two tries
		read     schemas.Outcome
		write    schemas.Outcome
		want     time.Duration // RetryAfter of the read's error
	}{
		{"503 in a second", 503, func() string { return "1" }, 0, 3, time.Second, unavailable, unknown, time.Second},
		{"503 at a time", 503, func() string { return date(2 * time.Second) }, 0, 2, time.Second, unavailable, unknown, 0},
		{"503 in a while", 503, func() string { return "30" }, 0, 1, 0, unavailable, unknown, 30 * time.Second},
		{"503 at a later time", 503, func() string { return date(time.Minute) }, 0, 1, 0, unavailable, unknown, time.Minute},
		{"503 in an age", 503, func() string { return "999999" }, 0, 1, 0, unavailable, unknown, time.Hour},
		{"503 and nonsense", 503, func() string { return "soon" }, 0, 3, 0, unavailable, unknown, 0},
		{"503 beyond the deadline", 503, func() string { return "2" }, 3 * time.Second, 1, 0, unavailable, unknown, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			virtual(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				status(test.code, "Retry-After", test.header())(0, w, r)
			}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
				read := aRead
				read.Deadline = test.deadline
				_, err := run(t, c, read)
				e := failure(t, err)
				at := when()
				if test.name == "503 at a time" {
					// HTTP dates have whole seconds, and each answer has a new one.
					test.tries, test.want = len(at), e.RetryAfter
				}
				if e.Outcome != test.read || e.RetryAfter != test.want || len(at) != test.tries {
					t.Errorf("read: %v, retry after %v, %d tries", err, e.RetryAfter, len(at))
				}
				for i := 1; i < len(at); i++ {
					if wait := at[i] - at[i-1]; wait < test.least || wait > 2*max(test.least, 2*time.Second) {
						t.Errorf("came again after %v, asked for %v", wait, test.least)
					}
				}
				_, err = run(t, c, aWrite)
				if e := failure(t, err); e.Outcome != test.write || e.Outcome == unknown && e.RetryAfter != 0 {
					t.Errorf("write: %v, retry after %v", err, e.RetryAfter)
				}
				if n := len(when()) - len(at); n != 1 {
					t.Errorf("write was sent %d times", n)
				}
			})
		})
	}
}

func TestDeadline(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 10 * time.Second: 10 * time.Second} {
		virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done() // until the client disconnects
		}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
			for _, r := range []rpc.Request{aRead, aWrite} {
				r.Deadline = given
				begun := time.Now()
				if _, err := run(t, c, r); err == nil || time.Since(begun) != want {
					t.Errorf("%s ended after %v, want %v: %v", r.Action, time.Since(begun), want, err)
				}
			}
		})
	}
	t.Run("in all, repeats included", func(t *testing.T) {
		virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(12 * time.Second):
				status(503)(n, w, r)
			case <-r.Context().Done():
			}
		}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
			begun := time.Now()
			if res, err := run(t, c, aRead); outcome(t, err) != unavailable || time.Since(begun) != 30*time.Second || res.Attempts != 3 {
				t.Errorf("%+v after %v: %v", res, time.Since(begun), err)
			}
		})
	})
	t.Run("the caller's own is kept", func(t *testing.T) {
		virtual(t, func(n int, w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				begun := time.Now()
				if _, err := runContext(t, ctx, c, aWrite); outcome(t, err) != unknown || time.Since(begun) != time.Second {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
			})
	})
}

// TestCancelledBetweenAttempts: a call that is cancelled while it waits returns the last answer at
// once.
func TestCancelledBetweenAttempts(t *testing.T) {
	virtual(t, status(503, "Retry-After", "2"), func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		res, err := runContext(t, ctx, c, aRead)
		if outcome(t, err) != unavailable || res.Status != 503 || res.Attempts != 1 || time.Since(begun) != time.Second {
			t.Errorf("%+v after %v: %v", res, time.Since(begun), err)
		}
	})
}

// TestBudget: if every call fails, repeats stay a fraction of the load, and each call gets its own
// answer.
func TestBudget(t *testing.T) {
	const calls = 100
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		status(503)(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				if res, err := run(t, c, aRead); outcome(t, err) != unavailable || res.Status != 503 {
					t.Errorf("%+v, %v", res, err)
				}
			})
		}
		all.Wait()
		if n := len(when()) - calls; n < 5 || n > calls*2/3 {
			t.Errorf("%d repeats of %d calls", n, calls)
		}
	})
}
