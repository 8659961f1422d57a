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
	// maxWait is the longest Retry-After that is waited for here; a longer one is for the caller to keep.
	maxWait = 2 * time.Second
	// jitter spreads repeats by a third either way.
	jitter = 1. / 3
)

// newRetries makes the policy for what is safe to repeat.
//
// The budget holds for the client as a whole: where more than a fifth of the
// calls in flight are repeats (and more than a handful), Sippet is in trouble and repeating makes
// it worse. There is no circuit breaker: this backend answers a
// bad filter with HTTP 500, and one confused model must not shut everybody out.
func newRetries(delay time.Duration) failsafe.Executor[*reply] {
	policy := retrypolicy.NewBuilder[*reply]().
		HandleIf(func(rep *reply, _ error) bool { return rep.transient }).
		WithMaxAttempts(maxAttempts).
		WithBackoff(delay, 20*delay).
		WithJitterFactor(jitter).
		WithDelayFunc(func(attempt failsafe.ExecutionAttempt[*reply]) time.Duration {
			if rep := attempt.LastResult(); rep.retryAfter > 0 {
				// Longer by half, so that jitter never undercuts what was asked for.
				return rep.retryAfter + rep.retryAfter/2
			}
			return -1 // the backoff above
		}).
		WithBudget(budget.NewBuilder().WithMaxRate(0.2).WithMinConcurrency(5).Build()).
		Build()
	return failsafe.With[*reply](policy)
}

// sendWithRetries sends what is safe to send again until an answer comes that a repeat
// would not better, and gives the last one.
func (c *Client) sendWithRetries(ctx context.Context, endpoint *http.Request, r Request) *reply {
	var last *reply
	sent, attempts := false, 0
	// What the executor returns is not looked at: when it is cancelled or out
	// of budget, that would hide the answer that did come.
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

// shouldRetry reports whether to repeat: the fault may pass, and waiting as told fits into the call.
func shouldRetry(ctx context.Context, rep *reply) bool {
	if rep.status == http.StatusTooManyRequests {
		// Without a time given, repeating is what was asked not to do.
		rep.transient = rep.retryAfter > 0
	}
	if !rep.transient || rep.retryAfter > maxWait {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > 2*rep.retryAfter
}
