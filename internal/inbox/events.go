package inbox

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// eventEvery is the least time between two events, beatEvery the time after which a silent
	// stream sends a comment.
	eventEvery = 400 * time.Millisecond
	beatEvery  = 15 * time.Second
)

// events sends an event for each change. The browser then fetches the page's part. The stream ends
// with the login.
func (i *Inbox) events(w http.ResponseWriter, r *http.Request, _ *visit) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not buffer it
	if r.URL.Query().Get("seen") == "1" {
		i.pages.Add(1)
		defer i.pages.Add(-1)
	}
	// The page reconnects by itself after the server proved itself. The browser would not wait for
	// that.
	if _, err := fmt.Fprintf(w, "retry: %d\n\n", (24 * time.Hour).Milliseconds()); err != nil {
		return
	}
	out := http.NewResponseController(w)
	changed, stop := i.Watch.Subscribe()
	defer stop()
	// An expiry changes no version, nor does the time at which approvers see a request; a stop by
	// another process is visible a moment later.
	second, last, beat := time.NewTicker(time.Second), "", time.Now()
	defer second.Stop()
	for {
		now, err := i.signature(r)
		if err != nil {
			return // the browser reconnects, and then gets the error
		}
		switch {
		case now != last:
			last, beat = now, time.Now()
			if _, err := fmt.Fprintf(w, "event: change\ndata: %s\n\n", now); err != nil {
				return
			}
		case time.Since(beat) >= beatEvery:
			beat = time.Now()
			if _, err := fmt.Fprint(w, ": here\n\n"); err != nil {
				return
			}
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(eventEvery):
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-second.C:
		}
	}
}

// Pages returns how many visible pages show all pending requests. A page in a hidden window does
// not count, nor does the page of a single request: they do not show a new one.
func (i *Inbox) Pages() int { return int(i.pages.Load()) }

// signature returns a text that differs if a page would differ.
func (i *Inbox) signature(r *http.Request) (string, error) {
	if _, err := i.visit(r); err != nil {
		return "", err
	}
	s, err := i.snapshot(r.Context())
	if err != nil {
		return "", err
	}
	stops, err := i.Ledger.CurrentStops(r.Context())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%d-%d-%d-%d-%d", s.version, len(s.open), s.shown, s.over, len(s.pauses), len(stops)), nil
}
