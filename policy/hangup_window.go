package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Unseen is a part of the live calls that could not be listed.
type Unseen struct {
	// What is the part, such as `the entries of bulk calls`.
	What string `json:"what"`
	// From and To bound when the calls began; zero if they do not.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Why is why not, lower case.
	Why string `json:"why"`

	passes bool // a later list may see it, as after an HTTP 429
}

func newUnseen(what string, fault *schemas.Error) Unseen {
	return Unseen{What: what, Why: fault.Message, passes: fault.Outcome != schemas.UpstreamError || fault.RetryAfter > 0}
}

func (u Unseen) String() string { return u.What + " could not be listed: " + u.Why }

// UnseenError says that calls may still be live, because some could not be listed.
type UnseenError struct{ Unseen []Unseen }

func (e *UnseenError) Error() string {
	var all []string
	for _, u := range e.Unseen {
		all = append(all, u.String())
	}
	return strings.Join(all, "; ")
}

const (
	// The most recent window reaches from recentPast before now to recentFuture after it, at least:
	// Sippet's clock is another one. It moves in steps of windowStep, so that its parts stay the same.
	recentPast   = time.Hour
	recentFuture = 10 * time.Minute
	windowStep   = 10 * time.Minute
	oldPast      = 24 * time.Hour
	// smallestWindow is not divided.
	smallestWindow = time.Second
	// windowLists and windowTime bound the lists of one round.
	windowLists = 100
	windowTime  = 8 * time.Second
)

// window is when calls began: from From, and before To. A zero time is no bound. None are the calls
// without a time.
type window struct {
	from, to time.Time
	none     bool
	part     bool // of a window that could not be listed
}

func (w window) filter() map[string]any {
	began := map[string]any{}
	if w.none {
		began["isNil"] = true
	}
	if !w.from.IsZero() {
		began["greaterThanOrEqual"] = w.from.Format(wireTime)
	}
	if !w.to.IsZero() {
		began["lessThan"] = w.to.Format(wireTime)
	}
	return map[string]any{"direction": map[string]any{"eq": "outbound"}, "status": map[string]any{"in": liveStatuses}, "startedAt": began}
}

// wireTime is how Sippet writes a time.
const wireTime = "2006-01-02T15:04:05.000000Z"

// split returns the parts of a window, the most recent first; nil if it is not divided.
func (w window) split(now time.Time) []window {
	switch {
	case w.none || w.to.IsZero():
		return nil
	case w.from.IsZero():
		if old := now.Add(-oldPast); old.Before(w.to) {
			return []window{{from: old, to: w.to, part: true}, {to: old, part: true}}
		}
		return nil
	case w.to.Sub(w.from) <= smallestWindow:
		return nil
	}
	middle := w.from.Add(w.to.Sub(w.from) / 2).Truncate(smallestWindow)
	if !middle.After(w.from) {
		middle = w.from.Add(smallestWindow)
	}
	return []window{{from: middle, to: w.to, part: true}, {from: w.from, to: middle, part: true}}
}

// String names the calls of the window.
func (w window) String() string {
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
	switch {
	case w.none:
		return "calls without a time at which they began"
	case w.from.IsZero() && w.to.IsZero():
		return "the live calls"
	case w.from.IsZero():
		return "calls that began before " + day(w.to) + " UTC"
	case w.to.IsZero():
		return "calls that began after " + day(w.from) + " UTC"
	}
	return fmt.Sprintf("calls that began between %s and %s UTC", day(w.from), day(w.to))
}

// listFar lists all live outbound calls by windows, the most recent first. A window that cannot be
// listed is divided. If not even the smallest can be, the others are not tried, and the next round
// begins with one try.
func (h *hangup) listFar(ctx context.Context) (r round) {
	ctx, cancel := context.WithTimeout(ctx, windowTime)
	defer cancel()
	now := h.Now().UTC().Truncate(windowStep)
	recent := window{from: now.Add(-recentPast), to: now.Add(windowStep + recentFuture)}
	todo := []window{recent, {none: true}, {to: recent.from}, {from: recent.to}}
	var missing []window
	why := &schemas.Error{Outcome: schemas.UpstreamError, Message: "there was no time for more lists"}
	for n := 0; n < windowLists && len(todo) > 0 && ctx.Err() == nil; n++ {
		w := todo[0]
		began := time.Now()
		rows, fault := h.listCalls(ctx, w.filter(), w.part)
		if todo = todo[1:]; fault == nil {
			r.found += h.add(began, rows)
			r.read = true
			continue
		}
		why = fault
		parts := w.split(now)
		if !r.read && (parts == nil || h.down) {
			break
		}
		if parts == nil {
			missing = append(missing, w)
		}
		todo = append(parts, todo...)
	}
	missing = append(missing, todo...)
	if h.down = !r.read; h.down {
		missing = []window{{}}
	}
	for _, w := range joined(missing) {
		u := newUnseen(w.String(), why)
		u.From, u.To = w.from, w.to
		r.unseen = append(r.unseen, u)
	}
	return r
}

// joined joins windows that follow one another.
func joined(all []window) (out []window) {
	slices.SortFunc(all, func(a, b window) int { return a.from.Compare(b.from) })
	for _, w := range all {
		if n := len(out) - 1; n >= 0 && !w.none && !out[n].none && !w.from.IsZero() && out[n].to.Equal(w.from) {
			out[n].to = w.to
			continue
		}
		out = append(out, w)
	}
	return out
}
