package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// EndedCall is one call that EndCalls hung up, or tried to.
type EndedCall struct {
	// CallUUID is its callUuid; empty if live calls could not be listed.
	CallUUID string
	// Number is the number that was rung, as Sippet sends it; empty if that is unknown.
	Number string
	// Err is why it may still be live; nil if it was ended.
	Err *schemas.Error
}

const (
	endPollEvery = time.Second
	// quietPolls is how many polls in a row must find no live call: a bulk call rings its next
	// person a moment after the last.
	quietPolls = 5
	// endConcurrently is how many calls are ended at a time, and as many of our own beside them.
	endConcurrently = 8
	// endTries bounds the attempts at one call: its record can say that it is live after it has
	// ended, or be of no call at all.
	endTries = 3
)

// EndCalls hangs up every live outbound call, and those that follow, until five polls in a row, a
// second apart, have found none. Calls that the ledger or a bulk call started are first, and are not
// held up by others. by is the person who made the emergency stop; each gets a call when it was ended,
// and when it first could not be. No decision, budget, approval, validate or store error can prevent
// it, and Ledger may be nil: calls are recorded if that is possible.
//
// It returns an *UnseenError if some calls could not be listed to the end, and ctx.Err() if ctx ends
// first. While nothing at all can be reached, it tries again.
func (g *Gate) EndCalls(ctx context.Context, by ledger.Actor, each func(EndedCall)) error {
	h := newHangup(g)
	h.by, h.each = by, each
	return h.run(ctx)
}

// LiveCalls lists the live outbound calls, those first that the ledger or a bulk call started, and
// what could not be listed.
func (g *Gate) LiveCalls(ctx context.Context) (live []EndedCall, unseen []Unseen) {
	h := newHangup(g)
	var wg sync.WaitGroup
	for i, list := range h.lists {
		wg.Go(func() { h.note(i, list(ctx)) })
	}
	wg.Wait()
	for _, t := range h.sorted() {
		live = append(live, EndedCall{CallUUID: t.uuid, Number: t.number})
	}
	return live, h.unseen()
}

// hangupTurn has a caller of its own, which no name is.
var hangupTurn = turn{caller: "\x00end calls", rank: rpc.RankUrgent}

// hangup is one attempt to end all calls.
type hangup struct {
	*Gate
	by     ledger.Actor
	each   func(EndedCall)
	lists  [2]func(context.Context) round
	rounds int  // of listNear
	down   bool // no window could be listed in the last round

	mu      sync.Mutex
	starts  map[string]bool // callUuids that the ledger has
	wake    *sync.Cond
	targets map[string]*target // by callUuid
	quiet   [2]int             // how many rounds in a row found nothing, by list
	listing [2]bool
	last    [2]round
	over    bool
	shown   string // what could not be listed, as last told
	warned  bool   // whether a failure of the ledger was logged
}

// target is a call that is said to be live.
type target struct {
	uuid, number string
	own, agent   bool // the ledger or a bulk call started it; an AI agent has it
	blind        bool // the ledger has it, and no list says whether it is live
	order        int  // the most recent is first
	tries        int
	listed       bool // it is to be ended
	busy         bool
	tried        time.Time
	ended        bool // as it was told
	failed       bool // as it was told
}

// round is what one round of lists found.
type round struct {
	found int  // calls to be ended
	more  bool // a bulk call has people whom it has not rung
	read  bool // something could be listed
	// unseen is what could not be listed.
	unseen []Unseen
}

// unreachable reports whether Sippet could not be reached at all, or answered nothing but HTTP 429.
func (r *round) unreachable() bool {
	return !r.read && slices.ContainsFunc(r.unseen, func(u Unseen) bool { return u.passes })
}

func newHangup(g *Gate) *hangup {
	h := &hangup{Gate: g, targets: map[string]*target{}, starts: map[string]bool{}}
	h.wake = sync.NewCond(&h.mu)
	h.lists = [2]func(context.Context) round{h.listNear, h.listFar}
	return h
}

func (h *hangup) run(ctx context.Context) error {
	var workers, polls sync.WaitGroup
	for i := range 2 * endConcurrently {
		workers.Go(func() { h.work(ctx, i < endConcurrently) })
	}
	quiet, end := context.WithCancel(ctx)
	for i := range h.lists {
		polls.Go(func() { h.poll(quiet, i, end) })
	}
	polls.Wait()
	end()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.wake.Broadcast()
	workers.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if unseen := h.unseen(); len(unseen) > 0 {
		return &UnseenError{unseen}
	}
	return nil
}

// poll lists calls every second until all is quiet, and then ends the other poll too.
func (h *hangup) poll(ctx context.Context, i int, end func()) {
	for ctx.Err() == nil {
		h.mu.Lock()
		h.listing[i] = true
		h.mu.Unlock()
		if h.note(i, h.lists[i](ctx)) {
			end()
		}
		select {
		case <-ctx.Done():
		case <-time.After(endPollEvery):
		}
	}
}

// note keeps the result of a round, and reports whether all is quiet.
func (h *hangup) note(i int, r round) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[i], h.listing[i] = r, false
	active := r.found > 0 || r.more
	for _, t := range h.targets {
		active = active || t.busy || t.listed
	}
	switch {
	case active:
		h.quiet = [2]int{}
	case !h.last[0].unreachable() || !h.last[1].unreachable():
		h.quiet[i]++
	}
	if unseen := (&UnseenError{h.unseenLocked()}).Error(); h.each != nil && unseen != h.shown {
		if h.shown = unseen; unseen != "" {
			h.each(EndedCall{Err: &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: unseen}})
		}
	}
	// What the other poll is listing now may be more.
	return h.quiet[0] >= quietPolls && h.quiet[1] >= quietPolls && !h.listing[1-i]
}

// unseen returns what the last rounds could not list.
func (h *hangup) unseen() []Unseen {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unseenLocked()
}

func (h *hangup) unseenLocked() []Unseen { return slices.Concat(h.last[0].unseen, h.last[1].unseen) }

// add adds calls that a list has found live, and returns how many are to be ended. began is when the
// list was asked for: what was tried since may have ended meanwhile.
func (h *hangup) add(began time.Time, rows []liveCall) (found int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		t := h.targets[r.uuid]
		if t == nil {
			t = &target{uuid: r.uuid, order: len(h.targets)}
			h.targets[r.uuid] = t
		}
		t.number, t.agent, t.own, t.blind = cmp.Or(t.number, r.number), t.agent || r.agent, t.own || r.entry || h.starts[r.uuid], false
		if t.tries < endTries && !t.busy && t.tried.Before(began) {
			t.listed = true
		}
		if t.listed || t.busy {
			found++
		}
	}
	h.wake.Broadcast()
	return found
}

// addBlind adds calls of which only the ledger knows. Each is tried once, and only its end is told.
func (h *hangup) addBlind(calls []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, uuid := range calls {
		if h.targets[uuid] == nil {
			h.targets[uuid] = &target{uuid: uuid, order: len(h.targets), own: true, blind: true, listed: true}
		}
	}
	h.wake.Broadcast()
}

// sorted returns the calls in the order in which they are ended.
func (h *hangup) sorted() []*target {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*target
	for _, t := range h.targets {
		if !t.blind {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, compareTargets)
	return all
}

// compareTargets orders our own calls first, then those that were tried less often, then those with an
// AI agent, which no caller can write into a record.
func compareTargets(a, b *target) int {
	rank := func(t *target) (n int) {
		if !t.own {
			n += 10
		}
		if n += 2 * t.tries; !t.agent {
			n++
		}
		return n
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.order, b.order))
}

// work ends calls until there are no more.
func (h *hangup) work(ctx context.Context, ownOnly bool) {
	for {
		t := h.next(ownOnly)
		if t == nil {
			return
		}
		fault := h.endOne(ctx, t.uuid)
		h.mu.Lock()
		t.busy, t.tried = false, time.Now()
		t.tries++
		if !t.ended && (fault == nil || !t.failed && !t.blind) {
			t.ended, t.failed = fault == nil, fault != nil
			h.each(EndedCall{CallUUID: t.uuid, Number: t.number, Err: fault})
		}
		h.mu.Unlock()
	}
}

// next waits for a call to end; nil if there are no more.
func (h *hangup) next(ownOnly bool) *target {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.over {
		var best *target
		for _, t := range h.targets {
			if t.listed && (t.own || !ownOnly) && (best == nil || compareTargets(t, best) < 0) {
				best = t
			}
		}
		if best != nil {
			best.listed, best.busy = false, true
			return best
		}
		h.wake.Wait()
	}
	return nil
}

// endOne hangs up one call, with a record if the ledger can be written.
func (h *hangup) endOne(ctx context.Context, call string) *schemas.Error {
	args, err := json.Marshal(map[string]any{"input": map[string]any{"callUuid": call}})
	if err != nil {
		return unexpected(err)
	}
	p, fault := checkedPayload(ledger.HangUp, args)
	if fault != nil {
		return fault
	}
	txn := h.attempt(Call{Caller: Caller{Actor: h.by}, Request: ledger.NewID(), Payload: p}).txn
	txn.Decision, txn.Why = rules.Allow.String(), "emergency stop that ends live calls"
	var intent ledger.Intent
	if h.Ledger != nil {
		intent, err = h.Ledger.Commit(ctx, txn)
		h.warnUnrecorded(err)
	}
	began := time.Now()
	answer, fault := h.runUpstream(ctx, hangupTurn, p, p.Action.Deadline())
	if intent.ID != "" {
		res := Result{Err: fault}
		h.warnUnrecorded(h.Ledger.Settle(context.WithoutCancel(ctx), ledger.Settlement{Intent: intent.ID, State: intentState(fault, answer.Sent), Sent: answer.Sent,
			Status: answer.Status, Outcome: res.Outcome(), Latency: time.Since(began)}))
	}
	return fault
}

// checkedPayload returns the payload of a call of the program itself.
func checkedPayload(action string, args []byte) (*schemas.Payload, *schemas.Error) {
	a, fault := schemas.Find(action)
	if fault != nil {
		return nil, fault
	}
	return a.Check(args, schemas.Limits{Now: time.Now()})
}

// warnUnrecorded logs, once, that calls are ended without a record.
func (h *hangup) warnUnrecorded(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || h.warned {
		return
	}
	h.warned = true
	h.Log.Warn("calls are hung up without a record", slog.String("cause", err.Error()))
}
