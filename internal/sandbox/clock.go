package sandbox

import (
	"sync"
	"time"
)

// Clock is a time for an organisation that does not run as the real one does.
// Its Now goes into [Options]. It may be used by many goroutines.
type Clock struct {
	mu    sync.Mutex
	at    time.Time // the clock's time when it was last set
	since time.Time // and the real one then
	speed float64
}

// NewClock makes a clock that begins at start and runs speed times as fast as
// the real one; at speed 0 it stands still until it is advanced.
func NewClock(start time.Time, speed float64) *Clock {
	return &Clock{at: start, since: time.Now(), speed: max(speed, 0)}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	return c.at.Add(time.Duration(float64(time.Since(c.since)) * c.speed))
}

// Advance moves the clock forward. What becomes due happens with the next run.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since = c.now().Add(d), time.Now()
}
