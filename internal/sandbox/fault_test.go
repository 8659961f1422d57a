package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// openFaulty serves an organisation with faults over TCP. The function it returns creates a
// contact.
func openFaulty(t *testing.T, faults ...string) (*testOrg, func(ctx context.Context) (int, string, error)) {
	var opts Options
	for _, s := range faults {
		f, err := ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		opts.Faults = append(opts.Faults, f)
	}
	o := open(t, opts)
	srv := httptest.NewServer(o.s.Handler())
	t.Cleanup(srv.Close)
	return o, func(ctx context.Context) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+runPath, strings.NewReader(`{"action":"create_contact","input":{"fullName":"Faulted"}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", "k")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, string(b), err
	}
}

func (o *testOrg) countFaulted() int {
	return len(o.list(`{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"eq":"Faulted"}}}`))
}

func TestFaults(t *testing.T) {
	for kind, x := range map[FaultKind]struct {
		status    int
		contains  string
		broken    bool
		committed int
	}{
		Error500:           {status: 500, contains: "Internal Server Error"},
		Error503:           {status: 503, contains: "Service Unavailable"},
		HTML:               {status: 502, contains: "<html>"},
		Reset:              {broken: true},
		Timeout:            {broken: true},
		Truncated:          {status: 200, broken: true, committed: 1},
		ResetAfterCommit:   {broken: true, committed: 1},
		TimeoutAfterCommit: {broken: true, committed: 1},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			o, ask := openFaulty(t, "run:create_contact="+string(kind))
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			status, body, err := ask(ctx)
			if status != x.status || (err != nil) != x.broken || !strings.Contains(body, x.contains) {
				t.Errorf("status %d, error %v, body %.80q", status, err, body)
			}
			if strings.HasPrefix(string(kind), "timeout") != errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			if n := o.countFaulted(); n != x.committed {
				t.Errorf("%d contacts were created, want %d", n, x.committed)
			}
		})
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, began := Fault{Kind: Slow}, time.Now()
		if over := f.applyBefore(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil)); over || time.Since(began) != slowDelay {
			t.Errorf("applyBefore returned %v after %v", over, time.Since(began))
		}
	})
}

func TestFaultProbability(t *testing.T) {
	course := func(seed uint64) string {
		var b strings.Builder
		f := faultPicker(newOrganisation(seed), []Fault{{Action: "end_call", Kind: Reset, Probability: 0.5}})
		for range 64 {
			fmt.Fprint(&b, f("run", "end_call") != nil, " ")
		}
		if f("run", "leave_call") != nil {
			t.Error("another action has the fault")
		}
		return b.String()
	}
	if first, again := course(1), course(1); first != again || first == course(2) {
		t.Error("the faults do not depend on the seed alone")
	}
	if n := strings.Count(course(1), "true"); n < 16 || n > 48 {
		t.Errorf("%d faults in 64 requests with probability 0.5", n)
	}
}

func TestParseFault(t *testing.T) {
	f, err := ParseFault("*:*=html@0.25")
	if want := (Fault{Kind: HTML, Probability: 0.25}); err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	for _, bad := range []string{"", "list_calls", "list_calls=nope", "nope=html", "walk:list_calls=html", "list_calls=html@2", "list_calls=html@NaN", "list_calls=html@0"} {
		if _, err := ParseFault(bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTestKeys(t *testing.T) {
	o := open(t, Options{})
	ask := func(key, body string) (int, http.Header) {
		r := httptest.NewRequest("POST", runPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		o.s.Handler().ServeHTTP(w, r)
		return w.Code, w.Header()
	}
	read, write := `{"action":"list_contacts","fields":["id"]}`, `{"action":"create_contact","input":{"fullName":"x"}}`
	for _, x := range []struct {
		key         string
		read, write int
	}{{RejectedKey, 401, 401}, {ReadOnlyKey, 200, 403}, {RateLimitedKey, 429, 429}, {"other", 200, 200}} {
		gotRead, header := ask(x.key, read)
		gotWrite, _ := ask(x.key, write)
		if gotRead != x.read || gotWrite != x.write {
			t.Errorf("%s: read %d, write %d", x.key, gotRead, gotWrite)
		}
		if (gotRead == 429) != (header.Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", x.key, header.Get("Retry-After"))
		}
	}
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
		still, fast := NewClock(start, 0), NewClock(start, 60)
		time.Sleep(time.Minute)
		if d := still.Now().Sub(start); d != 0 {
			t.Errorf("at speed 0 the clock moved by %v", d)
		}
		if d := fast.Now().Sub(start); d != time.Hour {
			t.Errorf("at speed 60 the clock moved by %v in a minute", d)
		}
		still.Advance(time.Hour)
		fast.Advance(time.Hour)
		if still.Now().Sub(start) != time.Hour || fast.Now().Sub(start) != 2*time.Hour {
			t.Errorf("after Advance: %v and %v", still.Now(), fast.Now())
		}
	})
}

// ServeOn must not wait for a request that a fault holds.
func TestServeOnEndsDuringFault(t *testing.T) {
	o := open(t, Options{Faults: []Fault{{Action: "who_am_i", Kind: TimeoutAfterCommit}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served, asked := make(chan error, 1), make(chan error, 1)
	go func() { served <- o.s.ServeOn(ctx, l) }()
	go func() {
		r, err := http.NewRequest("POST", "http://"+l.Addr().String()+runPath, strings.NewReader(`{"action":"who_am_i","fields":["id"]}`))
		if err != nil {
			asked <- err
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", "k")
		_, err = http.DefaultClient.Do(r)
		asked <- err
	}()
	select {
	case err := <-asked:
		t.Fatalf("the request was not held: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	began := time.Now()
	cancel()
	if err := <-served; err != nil || time.Since(began) >= shutdownTimeout {
		t.Errorf("ServeOn returned after %v: %v", time.Since(began), err)
	}
	if err := <-asked; err == nil {
		t.Error("the held request got a response")
	}
}
