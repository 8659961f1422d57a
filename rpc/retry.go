package rpc

import (
	"context"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxAttempts = 3
	// maxWait is the longest Retry-After that is waited for here. A longer one is returned to the
	// caller.
	maxWait = 2 * time.Second
	// jitter makes delays vary by up to a third.
	jitter = 1. / 3
)

// newRetries returns the retry policy for calls that are safe to repeat.
//
// The budget is that of the whole client. If more than five calls and a fifth of those in flight
// are repeats, Sippet is overloaded and repeats make it worse. There is no circuit breaker: Sippet
// answers a bad filter with HTTP 500, and one caller with bad filters must not block the others.
func newRetries(delay time.Duration) failsafe.Executor[*reply] {
	policy := retrypolicy.NewBuilder[*reply]().
		HandleIf(func(rep *reply, _ error) bool { return rep.transient }).
		WithMaxAttempts(maxAttempts).
		WithBackoff(delay, 20*delay).
		WithJitterFactor(jitter).
		WithDelayFunc(func(attempt failsafe.ExecutionAttempt[*reply]) time.Duration {
			if rep := attempt.LastResult(); rep.retryAfter > 0 {
				// Longer by half, so that jitter never makes it shorter than asked for.
				return rep.retryAfter + rep.retryAfter/2
			}
			return -1 // the backoff above
		}).
		WithBudget(budget.NewBuilder().WithMaxRate(0.2).WithMinConcurrency(5).Build()).
		Build()
	return failsafe.With[*reply](policy)
}

// sending is a request on its way.
type sending struct {
	*Client
	endpoint *http.Request
	Request
	latest time.Time // until when it may start: one that waited must have time to run
}

// withRetries sends a request that is safe to repeat, until a repeat cannot help, and returns the
// last reply.
func (s *sending) withRetries(ctx context.Context) *reply {
	var last *reply
	sent, attempts := false, 0
	// The result of the executor is not used: if it is cancelled or out of budget, it hides the
	// last answer.
	s.retries.WithContext(ctx).Get(func() (*reply, error) {
		last = s.inTurn(ctx)
		last.transient = shouldRetry(ctx, last)
		sent = sent || last.sent
		attempts += last.attempts
		return last, nil
	})
	last.sent, last.attempts = sent, attempts
	return last
}

// shouldRetry reports whether a repeat can help and the wait fits into the deadline.
func shouldRetry(ctx context.Context, rep *reply) bool {
	if !rep.transient || rep.retryAfter > maxWait {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > 2*rep.retryAfter
}

// inTurn sends a request when it is its turn. If Sippet asks for fewer requests, it did not run this
// one, and a write may be repeated as well: once, after the pause.
func (s *sending) inTurn(ctx context.Context) *reply {
	rep, fault := s.atTurn(ctx, false)
	if fault != nil {
		return &reply{fault: fault}
	}
	if rep.status != http.StatusTooManyRequests {
		return rep
	}
	again, fault := s.atTurn(ctx, true)
	if fault == nil && again.sent { // else the first answer is the last that is known
		again.attempts += rep.attempts
		rep = again
	}
	if rep.status == http.StatusTooManyRequests && rep.retryAfter == 0 {
		rep.retryAfter = s.queue.pause()
	}
	return rep
}

// atTurn waits for the turn of the request, and sends it. again is true if it is repeated.
func (s *sending) atTurn(ctx context.Context, again bool) (rep *reply, fault *schemas.Error) {
	t, fault := s.queue.enter(ctx, &s.Request, s.latest, again)
	if fault != nil {
		return nil, fault
	}
	defer func() { s.queue.leave(t, rep) }()
	if s.Recheck != nil && t.ready != nil {
		if fault := s.Recheck(ctx); fault != nil {
			return nil, fault
		}
	}
	return s.once(ctx), nil
}

// once sends a request once. A write is repeated in one case only: an idle connection was found dead
// before a byte of the request was written to it. The other idle connections are as old and as likely
// dead, so the repeat uses a new one.
func (s *sending) once(ctx context.Context) *reply {
	rep := s.attempt(ctx, s.endpoint, s.Request)
	if s.Read || rep.sent || !rep.reused || ctx.Err() != nil {
		return rep
	}
	s.transport.CloseIdleConnections()
	rep = s.attempt(ctx, s.endpoint, s.Request)
	rep.attempts++
	return rep
}
