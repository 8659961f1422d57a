package policy

import (
	"context"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// revokeOrphanAfter is how long an orphaned request waits for a process that can take it over: long
// enough for all of them to look.
const revokeOrphanAfter = 2*orphanPoll + time.Second

// handleOrphans looks for open requests whose process has ended. It takes over those that this
// process can run. Of the others it revokes those that end with their program, so that nobody
// approves what cannot run; a server's wait for the server to be started again.
func (e *Executor) handleOrphans(ctx context.Context) {
	open, err := e.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true})
	if err != nil {
		return // poll reports it
	}
	seen := map[string]time.Time{}
	for i := range open {
		r := &open[i]
		if !r.Orphaned || e.takeOver(ctx, r) {
			continue
		}
		first, known := e.orphans[r.ID]
		if !known {
			first = time.Now()
		}
		seen[r.ID] = first
		if time.Since(first) >= revokeOrphanAfter && approval.EndsWithProgram(r) {
			e.revoke(ctx, *r, approval.ProgramEnded())
			e.Watch.Poke()
		}
	}
	e.orphans = seen
}

// takeOver makes this process run the request, if it has the organisation and the caller of the
// request. Its policy may be another one: it decides again.
func (e *Executor) takeOver(ctx context.Context, r *ledger.ApprovalRequest) bool {
	if _, _, err := e.GateFor(ctx, *r); err != nil {
		return false
	}
	own, err := e.Ledger.TakeOver(ctx, r.ID)
	if err != nil {
		e.Log.WarnContext(ctx, "a request of a program that has ended could not be taken over; retrying", "approval", r.ID, "cause", err)
		return false
	}
	return own
}
