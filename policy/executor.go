package policy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Executor runs the calls that people approve, each once: it takes the sealed payload through the
// gate again. A request is run by the process that made it. If that process has ended, another one
// of the same organisation takes the request over, and its policies decide.
// Approved reads are run by the repeated call.
type Executor struct {
	Ledger ledger.ApprovalStore
	Watch  *approval.Watcher
	// GateFor returns the gate and the caller of a request. Its error wraps ErrElsewhere if another
	// process must run it; any other error says why the requester may not make the call any more.
	GateFor func(context.Context, ledger.ApprovalRequest) (*Gate, Caller, error)
	Log     *slog.Logger

	mu   sync.Mutex
	busy map[string]bool
	wg   sync.WaitGroup
	// orphans are when each orphaned request was first seen, by id. Only Run uses it.
	orphans map[string]time.Time
}

// ErrElsewhere says that a request belongs to an organisation that this process does not serve.
var ErrElsewhere = errors.New("another process must run it")

// orphanPoll is how often orphans are looked for: nothing signals that the process of a request has
// ended.
const orphanPoll = 5 * time.Second

// Run runs approved calls until ctx ends, then waits for those that have begun.
func (e *Executor) Run(ctx context.Context) {
	defer e.wg.Wait()
	changed, stop := e.Watch.Subscribe()
	defer stop()
	again := time.NewTicker(orphanPoll)
	defer again.Stop()
	e.handleOrphans(ctx)
	for {
		e.poll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again.C:
			e.handleOrphans(ctx)
		}
	}
}

func (e *Executor) poll(ctx context.Context) {
	approved, err := e.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true, State: ledger.Approved})
	if err != nil {
		if ctx.Err() == nil {
			e.Log.WarnContext(ctx, "approved requests cannot be read; retrying", "cause", err)
		}
		return
	}
	for _, r := range approved {
		if !r.OwnProcess || approval.IsRead(r.Action) || !e.begin(r.ID) {
			continue
		}
		e.wg.Go(func() {
			if e.runOne(context.WithoutCancel(ctx), r.ID) {
				e.end(r.ID)
			}
		})
	}
}

func (e *Executor) begin(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[id] {
		return false
	}
	if e.busy == nil {
		e.busy = map[string]bool{}
	}
	e.busy[id] = true
	return true
}

func (e *Executor) end(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, id)
}

// runOne runs an approved call. If it does not run, the approval is revoked, because an approval
// applies to immediate execution only, and the requester gets the reason. It returns false for a
// request of another process, which is not tried again.
func (e *Executor) runOne(ctx context.Context, id string) bool {
	r, err := e.Ledger.Approval(ctx, id)
	if err != nil {
		e.Log.WarnContext(ctx, "an approved request cannot be read", "approval", id, "cause", err)
		return true
	}
	if r.State != ledger.Approved {
		return true
	}
	gate, caller, err := e.GateFor(ctx, r)
	switch {
	case err == nil:
	case errors.Is(err, ErrElsewhere):
		e.Log.WarnContext(ctx, "an approved call cannot be run by this process", "action", r.Action, "approval", id, "cause", err)
		return false
	case ledger.IsStoreError(err):
		e.Log.WarnContext(ctx, "an approved call cannot be run now; retrying", "action", r.Action, "approval", id, "cause", err)
		return true
	default:
		e.Log.WarnContext(ctx, "an approved call belongs to a caller without access", "action", r.Action, "approval", id, "cause", err)
		e.revoke(ctx, r, &schemas.Error{Outcome: schemas.Denied, Message: "the requester no longer has access; nothing ran",
			Next: "tell the person"})
		return true
	}
	payload, fault := schemas.Restore(r.Payload)
	if fault != nil || r.Payload == nil {
		e.revoke(ctx, r, &schemas.Error{Outcome: schemas.Denied, Message: "the approved call can no longer be read; nothing ran",
			Next: "call again, and the person is asked again"})
		return true
	}
	a := gate.Do(ctx, Call{Caller: caller, Request: r.Request, Payload: payload, ApprovalID: id})
	if a.Err != nil {
		e.revoke(ctx, r, a.Err)
	}
	e.Watch.Poke()
	return true
}

// revoke revokes the approval if it is unused: it was not used, or was returned because nothing was
// sent.
func (e *Executor) revoke(ctx context.Context, r ledger.ApprovalRequest, why *schemas.Error) {
	err := e.Ledger.AnswerApproval(ctx, r, ledger.Reply{State: ledger.Revoked, Outcome: why.Outcome, Fault: ledger.EncodeError(why)})
	if err != nil && ledger.IsStoreError(err) {
		e.Log.ErrorContext(ctx, "an unused approval could not be revoked", "action", r.Action, "approval", r.ID, "cause", err)
	}
}
