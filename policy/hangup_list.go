package policy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	// listDeadline bounds one list, startsDeadline the reading of the ledger.
	listDeadline   = 3 * time.Second
	startsDeadline = time.Second
	// startsEvery is how often, in rounds, the ledger is read for calls that it started.
	startsEvery = 5
	// blindWithin is how old a start may be for its call to be ended if no list says whether it is
	// live.
	blindWithin = time.Hour
	entryRows   = 100 // of a page of entries
	entryPages  = 10
	// maxCallValue is as long as a callUuid may be.
	maxCallValue = 200
)

// liveCall is a row of a list.
type liveCall struct {
	uuid, number string
	agent, entry bool // an AI agent has it; it is an entry of a bulk call, which no caller can write
}

// listNear lists the calls that the ledger or a bulk call started. No caller can add to these lists
// what rings nobody.
func (h *hangup) listNear(ctx context.Context) (r round) {
	var started, recent []string
	if h.rounds%startsEvery == 0 {
		started, recent = h.readStarts(ctx)
	}
	h.rounds++
	var rounds [3]round
	var wg sync.WaitGroup
	wg.Go(func() { rounds[0] = h.listStarted(ctx, started, recent) })
	wg.Go(func() { rounds[1] = h.listEntries(ctx) })
	wg.Go(func() { rounds[2] = h.listWaiting(ctx) })
	wg.Wait()
	for _, part := range rounds {
		r.found, r.more, r.read, r.unseen = r.found+part.found, r.more || part.more, r.read || part.read, append(r.unseen, part.unseen...)
	}
	return r
}

// readStarts reads the callUuids of the calls that the ledger's callers started in the last day, and
// those of the last hour. A ledger that cannot be read has none: other lists have its calls too.
func (h *hangup) readStarts(ctx context.Context) (all, recent []string) {
	if h.Ledger == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startsDeadline)
	defer cancel()
	for _, in := range h.starters(ctx, ledger.ChangeFilter{Everybody: true}) {
		action, fault := schemas.Find(in.Action)
		if fault != nil {
			continue
		}
		if call, _ := action.Started(in.Result); call != "" {
			if all = append(all, call); in.Prepared.After(h.Now().Add(-blindWithin)) {
				recent = append(recent, call)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, call := range all {
		h.starts[call] = true
	}
	return all, recent
}

// listStarted finds out which of the started calls are live.
func (h *hangup) listStarted(ctx context.Context, started, recent []string) (r round) {
	for part := range slices.Chunk(started, entryRows) {
		began := time.Now()
		filter := map[string]any{"callUuid": map[string]any{"in": part}, "status": map[string]any{"in": liveStatuses}}
		rows, fault := h.listCalls(ctx, filter, false)
		if fault != nil {
			h.addBlind(slices.DeleteFunc(slices.Clone(part), func(call string) bool { return !slices.Contains(recent, call) }))
			return round{unseen: []Unseen{newUnseen("the calls that this ledger started", fault)}}
		}
		r.found += h.add(began, rows)
		r.read = true
	}
	return r
}

// listEntries lists the entries of bulk calls that are being rung.
func (h *hangup) listEntries(ctx context.Context) (r round) {
	args := map[string]any{"fields": []string{"callUuid"}, "sort": "-insertedAt",
		"filter": map[string]any{"completedAt": map[string]any{"isNil": true}, "callUuid": map[string]any{"isNil": false}}}
	after := ""
	for page := 0; page < entryPages; page++ {
		limits := map[string]any{"limit": entryRows}
		if after != "" {
			limits["after"] = after
		}
		args["page"] = limits
		began := time.Now()
		rows, next, fault := h.list(ctx, "list_bulk_outbound_call_entries", args)
		if fault != nil {
			r.unseen = []Unseen{newUnseen("the entries of bulk calls", fault)}
			return r
		}
		r.read = true
		for i := range rows {
			rows[i].entry = true
		}
		r.found += h.add(began, slices.DeleteFunc(rows, isWaiting))
		if after = next; after == "" {
			return r
		}
	}
	r.unseen = []Unseen{newUnseen("the entries of bulk calls after the first thousand", &schemas.Error{Outcome: schemas.UpstreamError, Message: "there are too many"})}
	return r
}

// listWaiting finds out whether a bulk call has people whom it has not rung.
func (h *hangup) listWaiting(ctx context.Context) round {
	rows, _, fault := h.list(ctx, "list_bulk_outbound_call_entries", map[string]any{"fields": []string{"callUuid"}, "sort": "-insertedAt", "page": map[string]any{"limit": 1},
		"filter": map[string]any{"completedAt": map[string]any{"isNil": true}, "callUuid": map[string]any{"isNil": true}}})
	if fault != nil {
		return round{unseen: []Unseen{newUnseen("the people whom bulk calls have not rung yet", fault)}}
	}
	return round{read: true, more: slices.ContainsFunc(rows, isWaiting)}
}

// isWaiting reports whether the row is of a person whom a bulk call has not rung yet.
func isWaiting(c liveCall) bool { return c.uuid == "" }

// liveStatuses are the states of a call that is not over.
var liveStatuses = []string{"initiated", "ringing", "answered"}

// callFields are the fields by which calls are listed, until a list succeeds. A number can be as long as
// the author of a record likes, and a server may not have the agent.
var callFields = [][]string{{"callUuid", "currentAiAgentId", "toNumber"}, {"callUuid", "currentAiAgentId"}, {"callUuid"}}

// listCalls lists calls; without their numbers if few is true.
func (h *hangup) listCalls(ctx context.Context, filter map[string]any, few bool) (rows []liveCall, fault *schemas.Error) {
	for i, fields := range callFields {
		if i == 0 && few {
			continue
		}
		rows, _, fault = h.list(ctx, "list_calls", map[string]any{"filter": filter, "sort": "-startedAt", "fields": fields})
		if fault == nil || ctx.Err() != nil {
			break
		}
	}
	return slices.DeleteFunc(rows, isWaiting), fault // the record of a call always has its callUuid
}

// list runs one list. next is the cursor of the next page; empty without one.
func (h *hangup) list(ctx context.Context, action string, args map[string]any) (rows []liveCall, next string, fault *schemas.Error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, "", unexpected(err)
	}
	p, fault := checkedPayload(action, raw)
	if fault != nil {
		return nil, "", fault
	}
	res, fault := h.runUpstream(ctx, hangupTurn, p, listDeadline)
	if fault != nil {
		return nil, "", fault
	}
	rows, next, ok := rowsOf(res.Data)
	if !ok {
		return nil, "", &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet's answer to " + action + " cannot be read"}
	}
	return rows, next, nil
}

// shortened bounds a value of a record. A longer callUuid is of no call, and its end is refused.
func shortened(s string) string {
	if len(s) > maxCallValue {
		return strings.Clone(s[:maxCallValue]) + "…"
	}
	return s
}

// rowsOf parses a list's answer, paged or not. ok is false if it is neither.
func rowsOf(data json.RawMessage) (rows []liveCall, next string, ok bool) {
	var all []map[string]any
	var page struct {
		Results  []map[string]any
		HasMore  bool
		NextPage *string
	}
	switch {
	case json.Unmarshal(data, &all) == nil && all != nil:
	case json.Unmarshal(data, &page) == nil && page.Results != nil:
		if all = page.Results; page.HasMore && page.NextPage != nil {
			next = *page.NextPage
		}
	default:
		return nil, "", false
	}
	for _, row := range all {
		c := liveCall{agent: row["currentAiAgentId"] != nil}
		c.number, _ = row["toNumber"].(string)
		if c.uuid, ok = row["callUuid"].(string); !ok && row["callUuid"] != nil {
			return nil, "", false
		}
		c.uuid, c.number = shortened(c.uuid), shortened(c.number)
		rows = append(rows, c)
	}
	return rows, next, true
}
