package rpc

import (
	"context"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
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

// sendWithRetries sends a request that is safe to repeat, until a repeat cannot help, and returns
// the last reply.
func (c *Client) sendWithRetries(ctx context.Context, endpoint *http.Request, r Request) *reply {
	var last *reply
	sent, attempts := false, 0
	// The result of the executor is not used: if it is cancelled or out of budget, it hides the
	// last answer.
	c.retries.WithContext(ctx).Get(func() (*reply, error) {
		last = c.attempt(ctx, endpoint, r)
		last.transient = shouldRetry(ctx, last)
		sent = sent || last.sent
		attempts++
		return last, nil
	})
	last.sent, last.attempts = sent, attempts
	return last
}

// shouldRetry reports whether a repeat can help and the wait fits into the deadline.
func shouldRetry(ctx context.Context, rep *reply) bool {
	if rep.status == http.StatusTooManyRequests {
		// Without a Retry-After, the server asks for fewer calls.
		rep.transient = rep.retryAfter > 0
	}
	if !rep.transient || rep.retryAfter > maxWait {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > 2*rep.retryAfter
}
