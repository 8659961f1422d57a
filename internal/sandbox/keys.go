package sandbox

import (
	"net/http"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Keys that are treated in a certain way by [Sandbox.Handler].
const (
	RejectedKey    = "sandbox-refused"      // status 401, as a key that was revoked
	ReadOnlyKey    = "sandbox-read-only"    // status 403 for whatever is no read
	RateLimitedKey = "sandbox-rate-limited" // status 429 with Retry-After: 2, always
)

// checkTestKey admits every key but the magic ones. The real backend's answers to
// bad keys are not recorded; these are what Phoenix would say.
func checkTestKey(key, action string) *response {
	switch key {
	case "", RejectedKey:
		return errorResponse(http.StatusUnauthorized)
	case RateLimitedKey:
		r := errorResponse(http.StatusTooManyRequests)
		r.retryAfter = "2"
		return r
	case ReadOnlyKey:
		if a, err := schemas.Find(action); err == nil && a.Class != schemas.Read {
			return errorResponse(http.StatusForbidden)
		}
	}
	return nil
}
