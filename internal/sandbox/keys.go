package sandbox

import (
	"net/http"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Keys that are treated in a certain way by [Sandbox.Handler].
const (
	RefusedKey     = "sandbox-refused"      // status 401, as a key that was revoked
	ReadOnlyKey    = "sandbox-read-only"    // status 403 for whatever is no read
	RateLimitedKey = "sandbox-rate-limited" // status 429 with Retry-After: 2, always
)

// anyKey admits every key but the magic ones. The real backend's answers to
// bad keys are not recorded; these are what Phoenix would say.
func anyKey(key, action string) *reply {
	switch key {
	case "", RefusedKey:
		return detail(http.StatusUnauthorized)
	case RateLimitedKey:
		r := detail(http.StatusTooManyRequests)
		r.retryAfter = "2"
		return r
	case ReadOnlyKey:
		if a, err := schemas.Find(action); err == nil && a.Class != schemas.Read {
			return detail(http.StatusForbidden)
		}
	}
	return nil
}
