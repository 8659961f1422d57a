package serve

import (
	"testing"
	"time"
)

// The bounds that tests reach.
const (
	MaxSessionsOf = maxSessionsOf
	MaxMessage    = maxMessage
)

// SetPatience sets how long a body may take to arrive, and how long a large one waits for room.
func SetPatience(t *testing.T, read, large time.Duration) {
	oldRead, oldLarge := readWithin, largeWithin
	readWithin, largeWithin = read, large
	t.Cleanup(func() { readWithin, largeWithin = oldRead, oldLarge })
}

// SetCrowd sets how many connections there may be, in all and of one address.
func SetCrowd(t *testing.T, all, one int) {
	oldAll, oldOne := maxConns, maxConnsOf
	maxConns, maxConnsOf = all, one
	t.Cleanup(func() { maxConns, maxConnsOf = oldAll, oldOne })
}
