package serve

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// failuresAtOnce may come from an address at once, and one more every failureEvery.
	failuresAtOnce = 10
	failureEvery   = time.Minute / failuresAtOnce
	// failureSlots is how many addresses are told apart, roughly: two that share a slot share their failures. So a flood
	// from everywhere costs no memory, and who shows a good token notices nothing.
	failureSlots = 4096
)

// failures limits how often an address is told that its token is no good. It does not keep a good token out: guessing
// one of 256 random bits needs no limit, but logs do, and programs that never stop.
type failures struct {
	now  func() time.Time
	seed maphash.Seed
	mu   sync.Mutex
	// full is when a slot's failures are forgotten, in nanoseconds since 1970.
	full [failureSlots]int64
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, seed: maphash.MakeSeed()}
}

// add counts a failure. Where there were too many it gives how long to wait; last is true for the last one before that.
func (f *failures) add(from netip.Addr) (wait time.Duration, last bool) {
	if from.Is6() {
		// Whoever has an IPv6 address has a /64.
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	slot := maphash.Comparable(f.seed, from.WithZone("")) % failureSlots
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
