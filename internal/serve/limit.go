package serve

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// failuresAtOnce is how many failures of an address are answered at once. After that it is one
	// every failureEvery.
	failuresAtOnce = 10
	failureEvery   = time.Minute / failuresAtOnce
	// failureSlots is how many addresses are distinguished. Two that share a slot share their
	// failures. So a flood from many addresses costs no memory. A valid token is never limited.
	failureSlots = 4096
)

// failures limits how many invalid tokens of an address are answered. Guessing one of 256 random
// bits needs no limit, but logs do, and so do programs that never stop.
type failures struct {
	now  func() time.Time
	seed maphash.Seed
	mu   sync.Mutex
	// full is when the failures of a slot are forgotten, in nanoseconds since 1970.
	full [failureSlots]int64
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, seed: maphash.MakeSeed()}
}

// add counts a failure. If there were too many it returns how long to wait. last is true for the
// last failure that is answered.
func (f *failures) add(from netip.Addr) (wait time.Duration, last bool) {
	slot := maphash.Comparable(f.seed, network(from)) % failureSlots
	now := f.now().UnixNano()
	f.mu.Lock()
	defer f.mu.Unlock()
	full := max(f.full[slot], now) + int64(failureEvery)
	over := full - now - int64(failuresAtOnce*failureEvery)
	if over > 0 {
		return time.Duration(over), false
	}
	f.full[slot] = full
	return 0, over > -int64(failureEvery)
}
