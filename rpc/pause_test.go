package rpc_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestPause: a request that gets an HTTP 429 is repeated once, after the pause, if that leaves half of
// its time; a write too, as it did not run.
func TestPause(t *testing.T) {
	tests := []struct {
		name    string
		headers []string // Retry-After of the answers with 429; then 200
		tries   int
		wait    time.Duration // between the tries
		outcome schemas.Outcome
		after   time.Duration // RetryAfter of the error
	}{
		{"one second", []string{"1"}, 2, time.Second, ok, 0},
		{"ten seconds", []string{"10"}, 2, 10 * time.Second, ok, 0},
		{"not said", []string{""}, 2, time.Second, ok, 0},
		{"at once", []string{"0"}, 2, time.Second, ok, 0},
		{"twice", []string{"1", "2"}, 2, time.Second, rejected, 2 * time.Second},
		{"twice, not said", []string{"", ""}, 2, time.Second, rejected, 2 * time.Second},
		{"more than half of the deadline", []string{"16"}, 1, 0, rejected, 16 * time.Second},
		{"an hour", []string{"3600"}, 1, 0, rejected, time.Hour},
	}
	send := map[string]func(*testing.T, *rpc.Client) (rpc.Result, *schemas.Error){
		"read":  func(t *testing.T, c *rpc.Client) (rpc.Result, *schemas.Error) { return run(t, c, aRead) },
		"write": func(t *testing.T, c *rpc.Client) (rpc.Result, *schemas.Error) { return run(t, c, aWrite) },
		"validate": func(t *testing.T, c *rpc.Client) (rpc.Result, *schemas.Error) {
			return rpc.Result{Sent: true}, c.Validate(context.Background(), aWrite)
		},
	}
	for _, test := range tests {
		for kind, send := range send {
			t.Run(test.name+", "+kind, func(t *testing.T) {
				virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
					if n < len(test.headers) {
						status(429, "Retry-After", test.headers[n])(n, w, r)
						return
					}
					status(200)(n, w, r)
				}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
					res, err := send(t, c)
					at := when()
					if outcome(t, err) != test.outcome || !res.Sent || len(at) != test.tries {
						t.Errorf("%+v, %v; %d tries", res, err, len(at))
					}
					if err != nil && err.RetryAfter != test.after {
						t.Errorf("retry after %v", err.RetryAfter)
					}
					if len(at) == 2 && at[1]-at[0] != test.wait {
						t.Errorf("it was repeated after %v", at[1]-at[0])
					}
				})
			})
		}
	}
}

// TestPauseOfAll: during a pause nothing is sent but hanging up, which goes out one request at a time,
// and rests for two seconds if it is rejected as well.
func TestPauseOfAll(t *testing.T) {
	virtual(t, status(429, "Retry-After", "20"), func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		run(t, c, aRead)
		for _, r := range []rpc.Request{aRead, aWrite} {
			begun := time.Now()
			res, err := run(t, c, r)
			if outcome(t, err) != unavailable || res.Sent || err.RetryAfter != 20*time.Second || time.Since(begun) != 0 {
				t.Errorf("%+v, %v, retry after %v", res, err, err.RetryAfter)
			}
		}
		hangup := rpc.Request{Action: "end_call", Body: []byte(`{"action":"end_call"}`), Rank: rpc.RankUrgent, Deadline: 10 * time.Second}
		if res, err := run(t, c, hangup); outcome(t, err) != rejected || !res.Sent {
			t.Errorf("%+v, %v", res, err)
		}
		if at := when(); len(at) != 3 || at[1] != 0 || at[2] != 2*time.Second {
			t.Errorf("sent at %v", at)
		}
	})
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		status([]int{429, 200}[min(n, 1)], "Retry-After", "10")(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { run(t, c, aRead) })
		time.Sleep(1500 * time.Millisecond)
		for range 3 {
			all.Go(func() {
				if _, err := run(t, c, rpc.Request{Action: "end_call", Body: []byte(`{}`), Rank: rpc.RankUrgent}); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		if at := when(); len(at) != 4 || at[2]-at[1] != time.Second || at[3]-at[2] != time.Second {
			t.Errorf("sent at %v", at)
		}
	})
}

// TestPauseEnds: no pause is longer than 30 seconds, and hanging up during a pause does not prolong it.
// One that Sippet does not name doubles until a request is answered.
func TestPauseEnds(t *testing.T) {
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		status([]int{429, 429, 429, 429, 429, 200}[min(n, 5)], "Retry-After", "3600")(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		run(t, c, aRead)
		time.Sleep(20 * time.Second)
		for range 2 {
			run(t, c, rpc.Request{Action: "end_call", Body: []byte(`{}`), Rank: rpc.RankUrgent, Deadline: 10 * time.Second})
		}
		if res, err := run(t, c, aRead); err != nil {
			t.Errorf("%+v, %v", res, err)
		}
		if at := when(); len(at) != 6 || at[5] != 30*time.Second {
			t.Errorf("sent at %v", at)
		}
	})
	var codes []int
	for range 5 {
		codes = append(codes, 429)
	}
	codes = append(codes, 200, 429, 200)
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) { status(codes[n])(n, w, r) },
		func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
			for range 4 {
				r := aRead
				r.Deadline = 100 * time.Second
				run(t, c, r)
			}
			at := when()
			for i, want := range []time.Duration{1, 2, 4, 8, 16, 0, 1} {
				if got := at[i+1] - at[i]; got != want*time.Second {
					t.Errorf("pause %d lasted %v, want %v s", i, got, int(want))
				}
			}
		})
}

// TestSlowDown: many requests that are all rejected are sent twice at most, and the rest of them waits.
func TestSlowDown(t *testing.T) {
	const calls, tolerated = 300, 20 // the server takes twenty requests a second
	served := map[time.Duration]int{}
	var mu sync.Mutex
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		now := time.Duration(time.Now().Unix())
		mu.Lock()
		served[now]++
		over := served[now] > tolerated
		mu.Unlock()
		time.Sleep(200 * time.Millisecond)
		if over {
			status(429, "Retry-After", "1")(n, w, r)
			return
		}
		status(200)(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		var all sync.WaitGroup
		var done int
		for range calls {
			all.Go(func() {
				r := aWrite
				r.Deadline = 120 * time.Second
				if _, err := run(t, c, r); err == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if n := len(when()); n > calls+calls/3 || done < calls*9/10 {
			t.Errorf("%d requests for %d calls, of which %d are done", n, calls, done)
		}
		t.Logf("%d requests for %d calls, of which %d are done, in %v", len(when()), calls, done, when()[len(when())-1])
	})
}

// TestRecheck: what may change while a request waits is checked again before it is sent.
func TestRecheck(t *testing.T) {
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		status([]int{200, 429, 200}[min(n, 2)], "Retry-After", "1")(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		r, checks := aWrite, 0
		r.Recheck = func(context.Context) *schemas.Error {
			checks++
			return &schemas.Error{Outcome: schemas.Stopped, Message: "stopped", Next: "wait"}
		}
		if _, err := run(t, c, r); err != nil || checks != 0 {
			t.Errorf("%v after %d checks", err, checks)
		}
		if res, err := run(t, c, r); outcome(t, err) != rejected || checks != 1 || len(when()) != 2 || !res.Sent {
			t.Errorf("%+v, %v after %d checks", res, err, checks)
		}
		run(t, c, aRead) // it starts a new pause
	})
	virtual(t, func(n int, w http.ResponseWriter, r *http.Request) {
		status([]int{429, 200}[min(n, 1)], "Retry-After", "1")(n, w, r)
	}, func(t *testing.T, c *rpc.Client, when func() []time.Duration) {
		r := aWrite
		r.Recheck = func(context.Context) *schemas.Error {
			return &schemas.Error{Outcome: schemas.Stopped, Message: "stopped", Next: "wait"}
		}
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { run(t, c, aRead) })
		synctest.Wait()
		if res, err := run(t, c, r); outcome(t, err) != schemas.Stopped || res.Sent {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestRepeatFails: after an HTTP 429 and a repeat that could not be sent, a write is known not to have run.
func TestRepeatFails(t *testing.T) {
	u := serve(t, reply(429, "", "Connection: close"))
	c := client(t, u.url)
	time.AfterFunc(500*time.Millisecond, func() { u.listener.Close() })
	if res, err := run(t, c, aWrite); outcome(t, err) != rejected || !res.Sent || res.Status != 429 || len(u.seen()) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
