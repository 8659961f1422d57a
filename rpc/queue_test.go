package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// standIn does what requests do with a queue, and checks what holds at each start.
type standIn struct {
	t     testing.TB
	queue *queue
	mu    sync.Mutex
	order []string // the callers, as they started
}

func newStandIn(t testing.TB) *standIn {
	return &standIn{t: t, queue: newQueue(slog.New(slog.DiscardHandler))}
}

// request waits for its turn, for at most 15 seconds, and runs for some time.
func (s *standIn) request(ctx context.Context, caller string, rank Rank, takes time.Duration, answer reply) *schemas.Error {
	turn, fault := s.queue.enter(ctx, &Request{Action: "x", Caller: caller, Rank: rank}, time.Now().Add(15*time.Second), false)
	if fault != nil {
		s.check()
		return fault
	}
	s.mu.Lock()
	s.order = append(s.order, caller)
	s.mu.Unlock()
	s.check()
	time.Sleep(takes)
	s.queue.leave(turn, &answer)
	return nil
}

// check checks what holds at all times while no answer is an HTTP 429, which shrinks the limit below
// what runs.
func (s *standIn) check() {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	q, others := s.queue, 0
	for _, l := range q.lanes {
		if others += l.running; l.running > maxConcurrent/4 || l.urgent > maxUrgent {
			s.t.Errorf("%q has %d running and %d urgent", l.caller, l.running, l.urgent)
		}
	}
	if q.running > maxConcurrent || q.running != others+q.urgent || others > maxConcurrent*7/8 {
		s.t.Errorf("%d run, %d of them urgent, %d others", q.running, q.urgent, others)
	}
	if q.slowed == 0 && q.limit != maxConcurrent {
		s.t.Errorf("the limit is %d", q.limit)
	}
	now := time.Now()
	if now.Equal(q.paused) || now.Equal(q.urgentPaused) {
		return // a pause ends at this moment
	}
	if q.urgentRing.Len() > 0 && q.open(RankUrgent, now) {
		s.t.Error("an urgent request waits and may start")
	}
	for e := q.ring.Front(); e != nil; e = e.Next() {
		if l := e.Value.(*lane); q.open(RankRead, now) && q.mayHave(l, RankRead) {
			s.t.Errorf("%q waits and may start", l.caller)
		}
	}
}

// empty checks that nothing is left.
func (s *standIn) empty() {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running != 0 || q.urgent != 0 || len(q.lanes) != 0 || q.ring.Len() != 0 || q.urgentRing.Len() != 0 {
		s.t.Errorf("left: %d running, %d urgent, %d lanes, rings of %d and %d", q.running, q.urgent, len(q.lanes), q.ring.Len(), q.urgentRing.Len())
	}
	for _, l := range q.idle {
		for rank, w := range l.waiting {
			if w.Len() != 0 || l.running != 0 || l.urgent != 0 || l.elem != nil || l.urgentElem != nil {
				s.t.Errorf("an idle lane holds %d of rank %d: %+v", w.Len(), rank, l)
			}
		}
	}
}

var answered = reply{status: http.StatusOK}

// TestQueueProperties lets random callers come and go: no more run than may, each request runs or ends
// in time with an error, and nothing is left.
func TestQueueProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tooMany := rapid.IntRange(0, 20).Draw(rt, "percent of 429")
		n := rapid.IntRange(1, 400).Draw(rt, "requests")
		type one struct {
			caller               string
			rank                 Rank
			after, takes, cancel time.Duration
			answer               reply
		}
		all := make([]one, n)
		ms := func(most int, what string) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(rt, what)) * time.Millisecond
		}
		for i := range all {
			all[i] = one{fmt.Sprint(rapid.IntRange(0, 5).Draw(rt, "caller")), Rank(rapid.IntRange(0, 2).Draw(rt, "rank")),
				ms(2000, "after"), ms(20_000, "takes"), ms(40_000, "cancel"), answered}
			if rapid.IntRange(0, 99).Draw(rt, "429") < tooMany {
				all[i].answer = reply{status: http.StatusTooManyRequests, retryAfter: ms(40_000, "retry after")}
			}
		}
		synctest.Test(t, func(t *testing.T) {
			s := newStandIn(t)
			var wg sync.WaitGroup
			var ran, ended int
			for _, r := range all {
				wg.Go(func() {
					time.Sleep(r.after)
					begun := time.Now()
					ctx, cancel := context.WithTimeout(context.Background(), r.cancel)
					defer cancel()
					fault := s.request(ctx, r.caller, r.rank, r.takes, r.answer)
					waited := time.Since(begun)
					s.mu.Lock()
					defer s.mu.Unlock()
					if fault == nil {
						ran++
						waited -= r.takes
					} else if ended++; fault.Outcome != schemas.UpstreamUnavailable || fault.Next == "" {
						t.Errorf("it ended with %v", fault)
					}
					if waited > min(15*time.Second, r.cancel) {
						t.Errorf("it waited %v", waited)
					}
				})
			}
			wg.Wait()
			if s.empty(); ran+ended != n || ran == 0 {
				t.Errorf("of %d requests %d ran and %d ended with an error", n, ran, ended)
			}
		})
	})
}

// TestFairQueue: a caller with one request gets its turn after at most one of each caller with a
// thousand. A caller's reads go after its writes, and what is repeated goes first.
func TestFairQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		var wg sync.WaitGroup
		for n := range 4 * maxWaiting {
			wg.Go(func() {
				s.request(t.Context(), fmt.Sprint("flood ", n%4), RankWrite, time.Duration(500+n)*time.Millisecond, answered)
			})
		}
		synctest.Wait()
		before := len(s.order)
		wg.Go(func() { s.request(t.Context(), "ordinary", RankRead, time.Second, answered) })
		wg.Wait()
		if at := slices.Index(s.order[before:], "ordinary"); at < 0 || at > 4 {
			t.Errorf("%d requests of the floods went first", at)
		}
		s.empty()
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		var wg sync.WaitGroup
		for range maxConcurrent / 4 {
			wg.Go(func() { s.request(t.Context(), "ada", RankWrite, time.Second, answered) })
		}
		synctest.Wait()
		var order []string
		for _, r := range []struct {
			name  string
			rank  Rank
			again bool
		}{{"read", RankRead, false}, {"write", RankWrite, false}, {"repeated read", RankRead, true}, {"repeated write", RankWrite, true}} {
			wg.Go(func() {
				turn, fault := s.queue.enter(t.Context(), &Request{Caller: "ada", Rank: r.rank}, time.Now().Add(time.Minute), r.again)
				if fault != nil {
					t.Error(fault)
				}
				s.queue.mu.Lock() // the queue starts them in order, and each runs a second
				order = append(order, r.name)
				s.queue.mu.Unlock()
				time.Sleep(time.Second)
				s.queue.leave(turn, &answered)
			})
			synctest.Wait()
		}
		s.queue.mu.Lock()
		s.queue.limit = minConcurrent // one at a time
		s.queue.slowed++
		s.queue.mu.Unlock()
		wg.Wait()
		if got := strings.Join(order, ", "); got != "repeated write, write, repeated read, read" {
			t.Error(got)
		}
	})
}

// TestUrgent: hanging up waits for nobody, and for one turn at most where others hang up as well.
func TestUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		var wg sync.WaitGroup
		defer wg.Wait()
		for n := range 3000 { // as much as there can be, and each takes ten seconds
			wg.Go(func() { s.request(t.Context(), fmt.Sprint(n%3), Rank(n%2), 10*time.Second, answered) })
		}
		synctest.Wait()
		begun := time.Now()
		s.request(t.Context(), "ada", RankUrgent, 0, answered)
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("it waited %v", waited)
		}
		for n := range 100 { // more than run at a time; a caller has no more than eight
			wg.Go(func() {
				s.request(t.Context(), fmt.Sprint("hangs up ", n/maxUrgent), RankUrgent, time.Second, answered)
			})
		}
		synctest.Wait()
		begun = time.Now()
		s.request(t.Context(), "ada", RankUrgent, 0, answered)
		if waited := time.Since(begun); waited > 13*time.Second {
			t.Errorf("it waited %v", waited)
		}
	})
}

// TestUrgentWithoutEnd: a caller that hangs up without end does not stop the others, even at the lowest limit.
func TestUrgentWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		s.queue.limit = minConcurrent
		s.queue.slowed = 1
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for ctx.Err() == nil {
					s.request(ctx, "flood", RankUrgent, 100*time.Millisecond, reply{})
				}
			})
		}
		time.Sleep(time.Second)
		begun := time.Now()
		if fault := s.request(t.Context(), "ordinary", RankRead, 0, answered); fault != nil || time.Since(begun) > 500*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(begun), fault)
		}
		cancel()
		wg.Wait()
		s.empty()
	})
}

// TestQueueLimits: a caller's queue is bounded, and one that leaves it makes room at once.
func TestQueueLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range maxWaiting + maxConcurrent/4 {
			wg.Go(func() { s.request(ctx, "flood", RankWrite, time.Hour, answered) })
		}
		synctest.Wait()
		for _, rank := range []Rank{RankRead, RankWrite} {
			if fault := s.request(t.Context(), "flood", rank, 0, answered); fault == nil || fault.Outcome != schemas.LimitExceeded || fault.Next == "" {
				t.Errorf("rank %d: %v", rank, fault)
			}
		}
		if fault := s.request(t.Context(), "ordinary", RankRead, 0, answered); fault != nil {
			t.Error(fault)
		}
		cancel()
		synctest.Wait()
		if n := s.queue.lanes["flood"].waiting[RankWrite].Len(); n != 0 {
			t.Errorf("%d still wait", n)
		}
		begun := time.Now()
		fault := s.request(t.Context(), "flood", RankRead, 0, answered)
		if fault == nil || fault.Outcome != schemas.UpstreamUnavailable || time.Since(begun) != 15*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), fault)
		}
		wg.Wait()
		s.empty()
	})
}

// TestLimitGrows: the limit is halved once for answers to requests that ran together, and grows again
// with the answers to later ones.
func TestLimitGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		many := func(n int, answer reply) {
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					if fault := s.request(t.Context(), fmt.Sprint(i%8), RankRead, 10*time.Millisecond, answer); fault != nil {
						t.Error(fault)
					}
				})
			}
			wg.Wait()
		}
		many(40, reply{status: http.StatusTooManyRequests, retryAfter: time.Second})
		if s.queue.limit != maxConcurrent/2 {
			t.Errorf("the limit is %d", s.queue.limit)
		}
		for range 40 { // they started before
			s.queue.mu.Lock()
			s.queue.speedUp(&turn{})
			s.queue.mu.Unlock()
		}
		many(32, answered)
		if s.queue.limit != maxConcurrent/2+1 {
			t.Errorf("the limit is %d", s.queue.limit)
		}
		for range 10 {
			many(1, reply{status: http.StatusTooManyRequests, retryAfter: time.Second})
		}
		if s.queue.limit != minConcurrent {
			t.Errorf("the limit is %d", s.queue.limit)
		}
		many(3000, answered)
		if s.queue.limit != maxConcurrent {
			t.Errorf("the limit is %d", s.queue.limit)
		}
		s.empty()
	})
}

// BenchmarkQueue is what a request costs that need not wait.
func BenchmarkQueue(b *testing.B) {
	q := newQueue(slog.New(slog.DiscardHandler))
	r, latest := &Request{Action: "x", Caller: "ada"}, time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		turn, fault := q.enter(b.Context(), r, latest, false)
		if fault != nil {
			b.Fatal(fault)
		}
		q.leave(turn, &answered)
	}
}
