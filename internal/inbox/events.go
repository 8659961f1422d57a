package inbox

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// tellEvery is how often a browser is told at most that something changed, beatEvery how often that the stream lives.
	tellEvery = 400 * time.Millisecond
	beatEvery = 15 * time.Second
)

// events tells a browser each time that something changed; it fetches what by itself. The stream ends with the login.
func (i *Inbox) events(w http.ResponseWriter, r *http.Request, _ *visit) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold it back
	if r.URL.Query().Get("seen") == "1" {
		i.pages.Add(1)
		defer i.pages.Add(-1)
	}
	out := http.NewResponseController(w)
	changed, stop := i.Watch.Subscribe()
	defer stop()
	// What runs out changes no version, and a stop by another process is seen a moment later.
	second, last, beat := time.NewTicker(time.Second), "", time.Now()
	defer second.Stop()
	for {
		now, err := i.signature(r)
		if err != nil {
			return // the browser comes again, and is told what is wrong
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
		case <-time.After(tellEvery):
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-second.C:
		}
	}
}

// Pages is how many pages of what waits are open before somebody's eyes; one behind another window, or one about a single
// question, does not show them what is new.
func (i *Inbox) Pages() int { return int(i.pages.Load()) }

// signature is another one whenever a page would look otherwise.
func (i *Inbox) signature(r *http.Request) (string, error) {
	if _, err := i.visit(r); err != nil {
		return "", err
	}
	s, err := i.snapshot(r.Context())
	if err != nil {
		return "", err
	}
	stop, err := i.Ledger.CurrentStop(r.Context())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%d-%t", s.version, len(s.open), stop != nil), nil
}
