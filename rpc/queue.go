package rpc

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Rank orders the requests that wait for their turn.
type Rank int

// The ranks. Callers take turns, whatever the rank of their requests, and RankUrgent goes before all.
const (
	// RankRead is for reads: after everything else of the same caller.
	RankRead Rank = iota
	// RankWrite is for writes, and for the reads and validations that a write needs.
	RankWrite
	// RankUrgent is for hanging up, and for what that needs: before all other requests of everybody.
	RankUrgent
)

// The limits of a queue. When Sippet asks for fewer requests, those that depend on the number of
// concurrent requests shrink with it.
const (
	// maxConcurrent is how many requests run at a time: as many as there are kept connections. An
	// eighth of them is for urgent requests only, so that these need not wait for slow reads. One
	// caller has at most a quarter of them, for the same reason.
	maxConcurrent = 64
	// minConcurrent leaves one for urgent requests and one for the others.
	minConcurrent = 2
	// maxWaiting bounds the requests of a caller that wait: what runs within half of the usual
	// deadline if Sippet takes a quarter of a second.
	maxWaiting = 1000
	// maxUrgent bounds the urgent requests of a caller. More of them rank as writes, so a caller
	// that hangs up without end does not keep the others waiting.
	maxUrgent = 8
)

// queue bounds the requests that run at a time, and decides which one is next:
//
//   - Urgent requests first. Then the callers take turns, one request each. A caller's writes go
//     before its reads.
//   - If Sippet answers HTTP 429, all requests pause for as long as it asks for, and the number of
//     concurrent requests is halved. It then grows by one each time that as many were answered.
//     During a pause urgent requests still go out, one at a time.
//
// It is safe for concurrent use.
type queue struct {
	log *slog.Logger

	mu      sync.Mutex
	limit   int // of running
	running int // all that run
	urgent  int // the urgent of them
	lanes   map[string]*lane
	idle    []*lane // to be used again
	// ring has the lanes with requests of other ranks that wait, urgentRing those with urgent ones.
	// The front is next.
	ring, urgentRing list.List

	paused       time.Time // the end of the pause
	urgentPaused time.Time // the same for urgent requests
	slowed       int       // how often the limit was halved
	backoff      time.Duration
	answered     int // since the limit changed
}

// lane is a caller with requests that run or wait.
type lane struct {
	caller  string
	running int // other than urgent
	urgent  int // urgent, running or waiting
	waiting [RankUrgent + 1]list.List
	// elem and urgentElem are the lane's elements of the rings; nil if it is in none.
	elem, urgentElem *list.Element
}

// turn is a request that runs, or waits for its turn.
type turn struct {
	lane   *lane
	rank   Rank
	slowed int           // the queue's when it started
	ready  chan struct{} // closed when it starts; nil if it never waited
	elem   *list.Element // nil if it runs
}

func newQueue(log *slog.Logger) *queue {
	return &queue{log: log, limit: maxConcurrent, lanes: map[string]*lane{}}
}

// enter waits for the turn of a request, until latest or until ctx ends. again is true for one that
// had its turn and is repeated: it goes before the others of its caller. If it returns no error, the
// request may be sent, and leave must be called after it.
func (q *queue) enter(ctx context.Context, r *Request, latest time.Time, again bool) (turn, *schemas.Error) {
	q.mu.Lock()
	now, rank := time.Now(), r.Rank
	l := q.lanes[r.Caller]
	if rank == RankUrgent && l != nil && l.urgent >= maxUrgent {
		rank = RankWrite
	}
	if until := q.pauseOf(rank); until.After(latest) {
		q.mu.Unlock()
		return turn{}, pausing(r, until.Sub(now))
	}
	if l == nil {
		l = q.add(r.Caller)
	}
	if q.ring.Len() == 0 && q.urgentRing.Len() == 0 && q.open(rank, now) && q.mayHave(l, rank) {
		t := turn{lane: l, rank: rank}
		q.start(&t)
		q.mu.Unlock()
		return t, nil
	}
	waiting := l.waiting[RankRead].Len() + l.waiting[RankWrite].Len() + l.waiting[RankUrgent].Len()
	if waiting >= maxWaiting && !again {
		q.mu.Unlock()
		return turn{}, &schemas.Error{Outcome: schemas.LimitExceeded,
			Message: fmt.Sprintf("%d requests of this caller already wait for sippet, so %s was not sent", waiting, r.Action),
			Next:    "wait for the answers to the earlier calls, and then make fewer at a time"}
	}
	t := &turn{lane: l, rank: rank, ready: make(chan struct{})}
	q.enqueue(t, again)
	q.dispatch(now)
	if t.elem == nil {
		t.ready = nil
		q.mu.Unlock()
		return *t, nil
	}
	q.mu.Unlock()
	return q.await(ctx, r, t, latest, now)
}

// await waits until a turn in the queue starts.
func (q *queue) await(ctx context.Context, r *Request, t *turn, latest, since time.Time) (turn, *schemas.Error) {
	late := time.NewTimer(latest.Sub(since))
	defer late.Stop()
	select {
	case <-t.ready:
		return *t, nil
	case <-late.C:
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.elem == nil && ctx.Err() == nil { // it started at this moment
		return *t, nil
	}
	now := time.Now()
	if t.elem == nil {
		q.stop(t)
		q.dispatch(now)
	} else {
		q.dequeue(t)
	}
	q.forget(t.lane)
	if until := q.pauseOf(t.rank); until.After(now) && ctx.Err() == nil {
		return turn{}, pausing(r, until.Sub(now))
	}
	if ctx.Err() != nil {
		return turn{}, &schemas.Error{Outcome: schemas.UpstreamUnavailable, Err: ctx.Err(),
			Message: fmt.Sprintf("%s was cancelled while it waited for its turn", r.Action), Next: "nothing was sent; call again if it is still wanted"}
	}
	return turn{}, &schemas.Error{Outcome: schemas.UpstreamUnavailable,
		Message: fmt.Sprintf("%s waited %s for its turn, because many requests wait for sippet", r.Action, now.Sub(since).Round(time.Second)),
		Next:    "nothing was sent; try again later, with fewer calls at a time"}
}

// leave ends a turn. rep is the answer to its request; nil if none was sent.
func (q *queue) leave(t turn, rep *reply) {
	q.mu.Lock()
	now, pause := time.Now(), time.Duration(0)
	q.stop(&t)
	switch {
	case rep == nil:
	case rep.status == http.StatusTooManyRequests:
		pause = q.slow(&t, rep.retryAfter, now)
	case rep.status != 0:
		q.speedUp(&t)
	}
	q.dispatch(now)
	q.forget(t.lane)
	limit := q.limit
	q.mu.Unlock()
	if pause > 0 {
		q.log.Warn("sippet asks for fewer requests (HTTP 429): all of its requests pause", "pause", pause.Round(time.Millisecond), "concurrent", limit)
	}
}

// open reports whether a request of the rank may start now, whoever its caller is.
func (q *queue) open(rank Rank, now time.Time) bool {
	if q.running >= q.limit || q.pauseOf(rank).After(now) {
		return false
	}
	if rank != RankUrgent {
		return q.running-q.urgent < q.limit-max(q.limit/8, 1)
	}
	return q.urgent < q.limit-1 && (q.urgent == 0 || !q.paused.After(now))
}

// mayHave reports whether the caller may have one more request of the rank.
func (q *queue) mayHave(l *lane, rank Rank) bool {
	return rank == RankUrgent || l.running < max(q.limit/4, 1)
}

// dispatch starts the requests that may start, in order.
func (q *queue) dispatch(now time.Time) {
	for e := q.urgentRing.Front(); e != nil && q.open(RankUrgent, now); e = q.urgentRing.Front() {
		q.next(e.Value.(*lane), RankUrgent)
	}
	for e := q.ring.Front(); e != nil && q.open(RankRead, now); {
		l, next := e.Value.(*lane), e.Next()
		if q.mayHave(l, RankRead) {
			rank := RankWrite
			if l.waiting[rank].Len() == 0 {
				rank = RankRead
			}
			q.next(l, rank)
			if next == nil {
				next = l.elem // it went to the back and may have another turn
			}
		}
		e = next
	}
}

// next starts the first request of a rank in a lane, which then goes to the back of its ring.
func (q *queue) next(l *lane, rank Rank) {
	t := l.waiting[rank].Front().Value.(*turn)
	q.dequeue(t)
	q.start(t)
	close(t.ready)
	ring, elem := &q.ring, l.elem
	if rank == RankUrgent {
		ring, elem = &q.urgentRing, l.urgentElem
	}
	if elem != nil {
		ring.MoveToBack(elem)
	}
}

func (q *queue) start(t *turn) {
	t.slowed = q.slowed
	if q.running++; t.rank == RankUrgent {
		q.urgent++
		t.lane.urgent++
	} else {
		t.lane.running++
	}
}

func (q *queue) stop(t *turn) {
	if q.running--; t.rank == RankUrgent {
		q.urgent--
		t.lane.urgent--
	} else {
		t.lane.running--
	}
}

// enqueue lets a turn wait, before the others of its lane if it is repeated.
func (q *queue) enqueue(t *turn, again bool) {
	l := t.lane
	if again {
		t.elem = l.waiting[t.rank].PushFront(t)
	} else {
		t.elem = l.waiting[t.rank].PushBack(t)
	}
	switch {
	case t.rank == RankUrgent:
		if l.urgent++; l.urgentElem == nil {
			l.urgentElem = q.urgentRing.PushBack(l)
		}
	case l.elem == nil:
		l.elem = q.ring.PushBack(l)
	}
}

// dequeue ends the wait of a turn.
func (q *queue) dequeue(t *turn) {
	l := t.lane
	l.waiting[t.rank].Remove(t.elem)
	t.elem = nil
	if t.rank == RankUrgent {
		if l.urgent--; l.waiting[RankUrgent].Len() == 0 {
			q.urgentRing.Remove(l.urgentElem)
			l.urgentElem = nil
		}
		return
	}
	if l.waiting[RankRead].Len()+l.waiting[RankWrite].Len() == 0 {
		q.ring.Remove(l.elem)
		l.elem = nil
	}
}

// add adds the lane of a caller.
func (q *queue) add(caller string) *lane {
	var l *lane
	if n := len(q.idle); n > 0 {
		l, q.idle = q.idle[n-1], q.idle[:n-1]
	} else {
		l = &lane{}
	}
	l.caller = caller
	q.lanes[caller] = l
	return l
}

// forget drops a lane without requests, so that the queue has one for each caller with some only.
func (q *queue) forget(l *lane) {
	if l.running > 0 || l.urgent > 0 || l.elem != nil {
		return
	}
	if delete(q.lanes, l.caller); len(q.idle) < maxConcurrent {
		q.idle = append(q.idle, l)
	}
}
