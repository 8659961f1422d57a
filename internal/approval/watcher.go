package approval

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// Watcher signals changes of approval requests and of the runs that they led to, in any process. It
// polls the ledger's version. A process needs one.
type Watcher struct {
	Ledger ledger.ApprovalStore
	Log    *slog.Logger

	mu   sync.Mutex
	subs map[chan struct{}]string // channel → the request it is about; empty for all
	poke chan struct{}            // nil without subscribers
}

const (
	// pollEvery is the interval while a call waits for an answer; pollIdle while only the executor
	// listens.
	pollEvery = 150 * time.Millisecond
	pollIdle  = time.Second
)

// Subscribe returns a channel that holds a signal after each change, until stop is called.
func (w *Watcher) Subscribe() (changed <-chan struct{}, stop func()) { return w.subscribe("") }

// SubscribeTo is Subscribe for the changes of one request. Thousands of calls may wait, each for
// its own.
func (w *Watcher) SubscribeTo(id string) (changed <-chan struct{}, stop func()) {
	return w.subscribe(id)
}

func (w *Watcher) subscribe(id string) (changed <-chan struct{}, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	if w.subs == nil {
		w.subs = map[chan struct{}]string{}
	}
	w.subs[c] = id
	if w.poke == nil {
		w.poke = make(chan struct{}, 1)
		go w.poll(w.poke)
	} else {
		w.wake()
	}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subs, c)
		if len(w.subs) == 0 && w.poke != nil {
			close(w.poke)
			w.poke = nil
		}
	}
}

// Poke polls at once. Callers use it after they changed a request.
func (w *Watcher) Poke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

func (w *Watcher) wake() {
	if w.poke != nil {
		select {
		case w.poke <- struct{}{}:
		default:
		}
	}
}

func (w *Watcher) poll(poke <-chan struct{}) {
	last, failed := int64(-1), false
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		now, err := w.Ledger.ApprovalsVersion(ctx)
		var ids []string
		if err == nil && now != last && last >= 0 {
			ids, err = w.Ledger.ApprovalsChanged(ctx, last)
		}
		cancel()
		if err != nil && !failed {
			w.Log.Warn("approval requests cannot be watched; retrying", "cause", err)
		}
		failed = err != nil
		if err == nil && now != last {
			w.notify(ids, last < 0)
			last = now
		}
		w.mu.Lock()
		every := pollEvery
		if len(w.subs) <= 1 {
			every = pollIdle
		}
		w.mu.Unlock()
		t := time.NewTimer(every)
		select {
		case _, open := <-poke:
			t.Stop()
			if !open {
				return
			}
		case <-t.C:
		}
	}
}

// notify signals the subscribers of the changed requests and of all requests; everybody if the
// changes are unknown.
func (w *Watcher) notify(ids []string, unknown bool) {
	changed := make(map[string]bool, len(ids))
	for _, id := range ids {
		changed[id] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, id := range w.subs {
		if id != "" && !unknown && !changed[id] {
			continue
		}
		select {
		case c <- struct{}{}:
		default: // the last signal was not read yet
		}
	}
}
