package rpc

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	// firstPause is how long requests pause after an HTTP 429 that does not say it. It is doubled
	// for each further one. No pause is longer than maxPause.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// urgentPause is how long urgent requests pause at most, after one of them got an HTTP 429.
	urgentPause = 2 * time.Second
)

// slow pauses the queue after an HTTP 429, and returns for how long; 0 if it pauses already. All
// answers to requests that ran at the same time halve the limit once.
func (q *queue) slow(t *turn, asked time.Duration, now time.Time) time.Duration {
	if t.rank == RankUrgent {
		q.urgentPaused = now.Add(min(max(asked, firstPause), urgentPause))
		time.AfterFunc(q.urgentPaused.Sub(now), q.wake)
		if q.paused.After(now) { // it went out during the pause, and found out nothing new
			return 0
		}
	}
	first := t.slowed == q.slowed
	if first {
		q.slowed++
		q.limit, q.answered = max(q.limit/2, minConcurrent), 0
		q.backoff = min(max(2*q.backoff, firstPause), maxPause)
	}
	if asked <= 0 {
		asked = q.backoff
	}
	asked = min(asked, maxPause)
	if until := now.Add(asked); until.After(q.paused) {
		q.paused = until
		time.AfterFunc(asked, q.wake)
	}
	if !first {
		return 0
	}
	return asked
}

// speedUp counts an answer. A request that started before the limit was halved proves nothing about
// the new one.
func (q *queue) speedUp(t *turn) {
	if t.slowed != q.slowed || q.limit == maxConcurrent {
		return
	}
	q.backoff = 0
	if q.answered++; q.answered >= q.limit {
		q.limit, q.answered = q.limit+1, 0
	}
}

// pause returns how long the pause will last.
func (q *queue) pause() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return wholeSeconds(max(time.Until(q.paused), 0))
}

func wholeSeconds(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dispatch(time.Now())
}

func (q *queue) pauseOf(rank Rank) time.Time {
	if rank == RankUrgent {
		return q.urgentPaused
	}
	return q.paused
}

// pausing is the error for a request that would have to pause for too long.
func pausing(r *Request, wait time.Duration) *schemas.Error {
	return &schemas.Error{Outcome: schemas.UpstreamUnavailable, RetryAfter: wholeSeconds(wait),
		Message: fmt.Sprintf("sippet asked for fewer requests (HTTP 429), so %s was not sent", r.Action),
		Next:    "nothing was sent; wait before calling again"}
}
