package policy

import (
	"context"
	"encoding/json"
	"log/slog"
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
	// Number is the number that was rung, as Sippet sends it.
	Number string
	// Err is why it may still be live; nil if it was ended.
	Err *schemas.Error
}

const (
	endPollEvery = time.Second
	// quietPolls is how many polls in a row must find no live call: a bulk call rings its next
	// person a moment after the last.
	quietPolls      = 5
	endConcurrently = 8
	// endTries bounds the attempts at one call: its record can say that it is live after it has
	// ended.
	endTries = 3
)

// EndCalls hangs up every live outbound call, and those that follow, until five polls in a row, a
// second apart, have found none. by is the person who made the emergency stop; each gets every call
// that was ended or tried. No decision, budget, approval, validate or store error can prevent it,
// and Ledger may be nil: calls are recorded if that is possible. It returns an error if Sippet
// rejects the listing of calls, or if ctx ends first.
func (g *Gate) EndCalls(ctx context.Context, by ledger.Actor, each func(EndedCall)) error {
	h := &hangup{Gate: g, by: by, each: each, tries: map[string]int{}}
	for quiet := 0; quiet < quietPolls; {
		live, waiting, err := h.listLive(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && err.Outcome == schemas.UpstreamError:
			return err
		case err != nil:
			each(EndedCall{Err: err})
			quiet = 0
		case len(live) == 0 && waiting == 0:
			quiet++
		default:
			quiet = 0
			h.end(ctx, live)
		}
		if quiet < quietPolls {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(endPollEvery):
			}
		}
	}
	return nil
}

// LiveCalls lists the live outbound calls.
func (g *Gate) LiveCalls(ctx context.Context) ([]EndedCall, *schemas.Error) {
	live, _, fault := (&hangup{Gate: g}).listLive(ctx)
	return live, fault
}

// hangupTurn has a caller of its own, which no name is.
var hangupTurn = turn{caller: "\x00end calls", rank: rpc.RankUrgent}

type hangup struct {
	*Gate
	by   ledger.Actor
	each func(EndedCall)

	mu     sync.Mutex
	tries  map[string]int // by callUuid
	warned bool           // whether a failure of the ledger was logged
}

// hangupLists are the reads of live outbound calls, and of the unfinished entries of bulk calls.
var hangupLists = []struct{ action, args string }{
	{"list_calls", `{"fields":["callUuid","toNumber"],"filter":{"direction":{"eq":"outbound"},"status":{"in":["initiated","ringing","answered"]}}}`},
	{"list_bulk_outbound_call_entries", `{"fields":["callUuid"],"filter":{"completedAt":{"isNil":true}},"sort":"-insertedAt","page":{"limit":250}}`},
}

// listLive returns the calls that are live and were not tried too often, and how many people a bulk
// call has not rung yet.
func (h *hangup) listLive(ctx context.Context) (live []EndedCall, waiting int, fault *schemas.Error) {
	seen := map[string]bool{}
	for _, l := range hangupLists {
		p, fault := checkedPayload(l.action, []byte(l.args))
		if fault != nil {
			return nil, 0, fault
		}
		res, fault := h.runUpstream(ctx, hangupTurn, p, p.Action.Deadline())
		if fault != nil {
			return nil, 0, fault
		}
		rows, ok := rowsOf(res.Data)
		if !ok {
			return nil, 0, &schemas.Error{Outcome: schemas.UpstreamUnavailable,
				Message: "sippet's answer to " + l.action + " cannot be read, so the live calls are unknown"}
		}
		for _, row := range rows {
			switch {
			case row.CallUUID == "":
				waiting++
			case seen[row.CallUUID] || h.tries[row.CallUUID] >= endTries:
			default:
				seen[row.CallUUID] = true
				live = append(live, EndedCall{CallUUID: row.CallUUID, Number: row.ToNumber})
			}
		}
	}
	return live, waiting, nil
}

type liveCall struct{ CallUUID, ToNumber string }

// rowsOf parses a list's answer, paged or not. ok is false if it is neither.
func rowsOf(data json.RawMessage) (rows []liveCall, ok bool) {
	if json.Unmarshal(data, &rows) == nil {
		return rows, rows != nil
	}
	var page struct{ Results []liveCall }
	err := json.Unmarshal(data, &page)
	return page.Results, err == nil && page.Results != nil
}

// checkedPayload returns the payload of a call of the program itself.
func checkedPayload(action string, args []byte) (*schemas.Payload, *schemas.Error) {
	a, fault := schemas.Find(action)
	if fault != nil {
		return nil, fault
	}
	return a.Check(args, schemas.Limits{Now: time.Now()})
}

func (h *hangup) end(ctx context.Context, live []EndedCall) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, endConcurrently)
	for _, e := range live {
		h.tries[e.CallUUID]++
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			e.Err = h.endOne(ctx, e.CallUUID)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.each(e)
		})
	}
	wg.Wait()
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
