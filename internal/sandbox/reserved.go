package sandbox

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The test numbers, test addresses and test keys have a fixed outcome. docs/sandbox.md lists them.

// testNumbers are the outcomes of calls, by number. The numbers are of a range reserved for
// fiction.
var testNumbers = map[string]string{
	"+447700900900": "answered",
	"+447700900901": "busy",
	"+447700900902": "no_answer",
	"+447700900903": "voicemail",
	"+447700900904": "failed",
}

// blockedNumbers are test numbers that cannot be called, each with the reason.
var blockedNumbers = map[string]string{
	"+447700900905": "number is on the do-not-call list",
	"+447700900906": "number is not allowed by the outbound policy",
}

// testAddresses are the local parts of addresses that email bounces from, each with the receiving
// server's error.
var testAddresses = map[string]string{
	"bounce":       "550 5.1.1 <%s>: Recipient address rejected: User unknown",
	"mailbox-full": "552 5.2.2 <%s>: Mailbox full",
}

// bounceError returns the error with which email to the address bounces, or "". The domain, the
// case, and the part after a plus sign do not matter.
func bounceError(address string) string {
	local, _, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	if format := testAddresses[local]; format != "" {
		return fmt.Sprintf(format, address)
	}
	return ""
}

// The test keys of [Sandbox.Handler].
const (
	RejectedKey    = "sandbox-refused"      // status 401, like a revoked key
	ReadOnlyKey    = "sandbox-read-only"    // status 403 for every action that is not a read
	RateLimitedKey = "sandbox-rate-limited" // status 429 with Retry-After: 2
)

// checkTestKey returns the response to a test key, or nil. No response of the real backend to a bad
// key was recorded; these are Phoenix's.
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
