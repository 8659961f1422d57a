package inbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoad: a thousand requests are pending, one call of each caller waits, and twenty pages are
// open. The first byte of a page arrives within 100 ms. If all pages load at the same moment, and
// while all requests are answered, that holds for most pages. Every caller gets all results.
func TestLoad(t *testing.T) {
	callers, each, pages := 20, 50, 20
	if racing || testing.Short() {
		callers, pages = 5, 5 // the race detector is slow
	}
	all := callers * each
	w := newWorld(t, setup{wait: 5 * time.Minute})
	w.up.Record(false)
	bob := w.token(t, "bob", "approver")
	begin := time.Now()
	type called struct {
		answer
		agent string
	}
	outcome := make(chan called, all)
	for c := range callers {
		agent := w.token(t, fmt.Sprintf("caller %d", c), "agent")
		for n := range each {
			go func() {
				a, err := w.try(agent, "start_outbound_call", fmt.Sprintf(`{"input":{"phoneNumber":"+44207946%02d%02d"}}`, c+10, n))
				if err != nil {
					a.Outcome, a.Message = "failed", err.Error()
				}
				outcome <- called{a, agent}
			}()
		}
	}
	w.pending(t, all)
	t.Logf("%d requests in %v", all, time.Since(begin).Round(time.Millisecond))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var open []*page
	for range pages {
		p := newPage(t, w, bob)
		go p.listen(ctx)
		open = append(open, p)
	}
	one, idle := first(t, open[:1], 100), first(t, open, 5)
	t.Logf("%d pending, %d open pages: first byte of one page p50 %v, p99 %v; of all at the same moment p50 %v, p99 %v",
		all, pages, at(one, 50), at(one, 99), at(idle, 50), at(idle, 99))

	begin = time.Now()
	ids := w.pending(t, all)
	var wg sync.WaitGroup
	turn := make(chan struct{}, 8)
	for _, req := range ids {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			open[0].approve(t, bob, req.ID)
		})
	}
	busy := first(t, open, 5)
	wg.Wait()
	waited := 0
	for range all {
		select {
		case a := <-outcome:
			if a.Outcome == "approval_pending" {
				a.answer = w.call(t, a.agent, "approval_status", `{"id":"`+a.Approval.ID+`"}`)
			} else {
				waited++
			}
			if a.Outcome != "done" || a.ApprovedBy != "bob" {
				t.Errorf("a call ended with %s %s", a.Outcome, a.Message)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("calls are lost; the end of the log:\n%s", tail(w.log.String(), 4000))
		}
	}
	if waited != callers {
		t.Errorf("%d calls waited for the answer, want one of each of the %d callers", waited, callers)
	}
	t.Logf("all were approved, ran and returned in %v; meanwhile first byte p50 %v, p99 %v, and the pages got %d events",
		time.Since(begin).Round(time.Millisecond), at(busy, 50), at(busy, 99), events(open))
	if events(open) == 0 {
		t.Error("no page got an event")
	}
	if !racing {
		if p := at(one, 99); p > 100*time.Millisecond {
			t.Errorf("the first byte of a page took %v", p)
		}
		if p := at(idle, 50); p > 100*time.Millisecond {
			t.Errorf("the first byte of a page, all loaded at the same moment, took %v", p)
		}
		if p := at(busy, 50); p > 100*time.Millisecond {
			t.Errorf("the first byte of a page, while all are answered, took %v", p)
		}
	}
	stop()
}

// page is an open page of the inbox, without a browser.
type page struct {
	w      *world
	client *http.Client
	events atomic.Int64
}

func newPage(t testing.TB, w *world, token string) *page {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{w: w, client: &http.Client{Jar: jar, Transport: &http.Transport{}}}
	t.Cleanup(p.client.CloseIdleConnections)
	res, err := p.client.PostForm(w.base+"/inbox/login", map[string][]string{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(body), "data-live") {
		t.Fatalf("no page after logging in: HTTP %d", res.StatusCode)
	}
	return p
}

// listen does what the script of the page does: it fetches the live part after each event.
func (p *page) listen(ctx context.Context) {
	r, _ := http.NewRequestWithContext(ctx, "GET", p.w.base+"/inbox/events", nil)
	res, err := p.client.Do(r)
	if err != nil {
		return
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "event: change") {
			p.events.Add(1)
			_, _ = p.load(ctx, "/inbox?part")
		}
	}
}

// load fetches a page and returns the time until its first byte.
func (p *page) load(ctx context.Context, path string) (time.Duration, error) {
	var first time.Duration
	begin := time.Now()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { first = time.Since(begin) }})
	r, err := http.NewRequestWithContext(ctx, "GET", p.w.base+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := p.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("HTTP %d, %v", res.StatusCode, err)
	}
	return first, nil
}

// approve approves over the API.
func (p *page) approve(t testing.TB, token, id string) {
	var req struct{ Stamp string }
	if status := p.api(t, token, "GET", "/inbox/api/approvals/"+id, "", &req); status != http.StatusOK || req.Stamp == "" {
		t.Errorf("HTTP %d, stamp %q", status, req.Stamp)
		return
	}
	var said struct{ State, Error string }
	if status := p.api(t, token, "POST", "/inbox/api/approvals/"+id, `{"answer":"approve","stamp":"`+req.Stamp+`"}`, &said); status != http.StatusOK || said.State != "approved" {
		t.Errorf("HTTP %d, %+v", status, said)
	}
}

func (p *page) api(t testing.TB, token, method, path, body string, into any) int {
	r, err := http.NewRequest(method, p.w.base+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := p.w.client.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Error(err)
	}
	return res.StatusCode
}

// first loads all pages at once, several times, and returns the times until the first byte, sorted.
func first(t testing.TB, open []*page, rounds int) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var all []time.Duration
	for range rounds {
		var wg sync.WaitGroup
		for _, p := range open {
			wg.Go(func() {
				d, err := p.load(t.Context(), "/inbox")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	slices.Sort(all)
	return all
}

func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(100 * time.Microsecond)
}

func events(open []*page) (n int64) {
	for _, p := range open {
		n += p.events.Load()
	}
	return n
}
