package policy

import (
	"context"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	// ownCallWithin is how old the start of a live call may be for it to count as the caller's own.
	ownCallWithin = 24 * time.Hour
	// maxStarts bounds the starts that are looked through, the latest first.
	maxStarts = 500
)

// findSafe finds out whether the call is in the safe direction.
func (at *attempt) findSafe(ctx context.Context) {
	at.ownCall = at.isOwnCall(ctx)
	facts := rules.Facts{Payload: at.Payload, OwnCall: at.ownCall}
	at.txn.Safe = facts.Safe()
}

// isOwnCall reports whether the live call that the call is about was started by this caller's work: by
// a call that the ledger has as theirs, or by an entry of such a bulk call. Only Sippet's own answers
// count, so nobody can claim a call. What cannot be read counts as not theirs: then a person is asked.
func (at *attempt) isOwnCall(ctx context.Context) bool {
	live := at.Payload.LiveCallUUID()
	if at.Payload.Action.Safe != schemas.SafeOnOwnCall || live == "" {
		return false
	}
	var started, bulks []string
	for _, in := range at.starters(ctx, ledger.ChangeFilter{Caller: at.Actor.Name}) {
		action, fault := schemas.Find(in.Action)
		if fault != nil || in.Caller != at.Actor || in.Credential != at.Credential {
			continue
		}
		call, bulk := action.Started(in.Result)
		started, bulks = append(started, call), append(bulks, bulk)
	}
	if slices.Contains(started, live) {
		return true
	}
	if bulks = slices.DeleteFunc(bulks, func(id string) bool { return id == "" }); len(bulks) == 0 {
		return false
	}
	data, fault := at.prefetch(ctx, schemas.BulkRead(live), "bulk call that rang this live call")
	return fault == nil && slices.ContainsFunc(schemas.BulksOf(live, data), func(id string) bool { return slices.Contains(bulks, id) })
}

// starters returns the runs of the last day that started calls, the latest first. f says by whom. There
// are none in a ledger that cannot be read.
func (g *Gate) starters(ctx context.Context, f ledger.ChangeFilter) (all []ledger.Intent) {
	f.Organisation, f.Since, f.Actions, f.Limit = g.Organisation, g.Now().Add(-ownCallWithin), schemas.Starters(), maxStarts
	changes, _, err := g.Ledger.FindChanges(ctx, f)
	if err != nil {
		return nil
	}
	for i := range changes {
		if changes[i].State == ledger.Succeeded {
			all = append(all, changes[i].Intent)
		}
	}
	return all
}
