package policy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// Watcher tells when a question changed, or what became of one, in whichever
// process: it looks at the ledger's version. A process needs one.
type Watcher struct {
	Ledger ledger.Ledger
	Log    *slog.Logger

	mu   sync.Mutex
	subs map[chan struct{}]string // to the one question that matters to it; empty: all do
	poke chan struct{}            // nil while nobody is interested
}

const (
	// pollEvery is how often is looked while somebody waits; pollIdle where only the Executor does.
	pollEvery = 150 * time.Millisecond
	pollIdle  = time.Second
)

// Subscribe gives a channel that holds a word after each change, until stop is called.
func (w *Watcher) Subscribe() (changed <-chan struct{}, stop func()) { return w.subscribe("") }

// SubscribeTo is Subscribe for one question: thousands may wait for theirs, and most changes are none of theirs.
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

// Poke looks at once: whoever calls it has changed something.
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

func (w *Watcher) poll(kick <-chan struct{}) {
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
			w.Log.Warn("questions to people cannot be watched; it is tried again", "cause", err)
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
		case _, open := <-kick:
			t.Stop()
			if !open {
				return
			}
		case <-t.C:
		}
	}
}

// notify gives a word to those who wait for one of the questions, or for all; to everybody where nobody knows what changed.
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
		default: // it has not looked since the last word
		}
	}
}
