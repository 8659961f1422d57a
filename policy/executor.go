package policy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ApprovalValidFor is how long a yes that was given in the inbox is good: whoever says
// it means now. What could not be begun by then, because the program was
// restarted, say, has come to nothing.
const ApprovalValidFor = time.Minute

// Executor runs what people agreed to in the inbox: it takes the sealed payload
// along the whole road again, once. The process that asked does so, because its
// key and its policies are those of the question; where that has ended, another
// one that has the same. Reads are left to the call that asked.
type Executor struct {
	Ledger ledger.Ledger
	Watch  *Watcher
	// GateFor gives the gate and the caller of a question. Its error wraps ErrElsewhere where it is none of this process's;
	// any other says why whoever asked may not do it any more.
	GateFor func(context.Context, ledger.ApprovalRequest) (*Gate, Caller, error)
	Log     *slog.Logger

	mu   sync.Mutex
	busy map[string]bool
	wg   sync.WaitGroup
}

// ErrElsewhere says that a question is for another organisation than this process works in.
var ErrElsewhere = errors.New("another process must run it")

// Run runs until ctx ends, and then waits for what it has begun.
func (e *Executor) Run(ctx context.Context) {
	defer e.wg.Wait()
	changed, stop := e.Watch.Subscribe()
	defer stop()
	// Nobody tells when the process that asked has ended.
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		e.poll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again.C:
		}
	}
}

func (e *Executor) poll(ctx context.Context) {
	agreed, err := e.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true, Inbox: true, State: ledger.Approved})
	if err != nil {
		if ctx.Err() == nil {
			e.Log.WarnContext(ctx, "what people agreed to cannot be looked at; it is tried again", "cause", err)
		}
		return
	}
	for _, q := range agreed {
		if !q.OwnProcess && !q.Orphaned || IsRead(q.Action) || !e.begin(q.ID) {
			continue
		}
		e.wg.Go(func() {
			if e.runOne(context.WithoutCancel(ctx), q.ID) {
				e.end(q.ID)
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

// runOne runs what was agreed to. Where it does not come to a run the yes is void: it was for now, and whoever asked hears
// why. It is false for what is none of this process's, which is not looked at again.
func (e *Executor) runOne(ctx context.Context, id string) bool {
	q, err := e.Ledger.Approval(ctx, id)
	if err != nil {
		e.Log.WarnContext(ctx, "what somebody agreed to cannot be read", "grant", id, "cause", err)
		return true
	}
	if q.State != ledger.Approved {
		return true
	}
	gate, caller, err := e.GateFor(ctx, q)
	switch {
	case err == nil:
	case errors.Is(err, ErrElsewhere):
		e.Log.WarnContext(ctx, "somebody agreed to what this process cannot run", "action", q.Action, "grant", id, "cause", err)
		return false
	case isStoreError(err):
		e.Log.WarnContext(ctx, "what somebody agreed to cannot be run now; it is tried again", "action", q.Action, "grant", id, "cause", err)
		return true
	default:
		e.Log.WarnContext(ctx, "somebody agreed to what its caller may not do any more", "action", q.Action, "grant", id, "cause", err)
		e.revoke(ctx, q, &schemas.Error{Outcome: schemas.Denied, Message: "whoever asked is not let in any more; nothing ran", Next: "tell the person"})
		return true
	}
	payload, fault := schemas.Restore(q.Payload)
	if fault != nil || q.Payload == nil {
		e.revoke(ctx, q, &schemas.Error{Outcome: schemas.Denied, Message: "what was agreed to cannot be read any more; nothing ran", Next: "call again, and the person is asked anew"})
		return true
	}
	if gate.Policy.For(caller).Version() != q.Policy {
		e.revoke(ctx, q, &schemas.Error{Outcome: schemas.Denied, Message: "the policy has changed since it was asked; nothing ran", Next: "call again, and it is decided by what holds now"})
		return true
	}
	a := gate.Do(ctx, Call{Caller: caller, Request: q.Request, Payload: payload, ApprovalID: id})
	if a.Err != nil {
		e.revoke(ctx, q, a.Err)
	}
	e.Watch.Poke()
	return true
}

// revoke takes the yes back where it is still there: it was not spent, or was given back because nothing was sent.
func (e *Executor) revoke(ctx context.Context, q ledger.ApprovalRequest, why *schemas.Error) {
	err := e.Ledger.AnswerApproval(ctx, q, ledger.Reply{State: ledger.Revoked, Outcome: why.Outcome, Fault: encodeError(why)})
	if err != nil && isStoreError(err) {
		e.Log.ErrorContext(ctx, "that a yes came to nothing could not be recorded", "action", q.Action, "grant", q.ID, "cause", err)
	}
}
