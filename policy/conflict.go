package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// checkStopped returns why no such call may run now: an emergency stop, or a failure of the ledger.
// nil if it may.
func (p *attempt) checkStopped(ctx context.Context) *schemas.Error {
	a := p.Payload.Action
	if a.Class == schemas.Read {
		if err := p.Ledger.StoreError(); err != nil && !p.policy.UnrecordedReads() {
			return p.ledgerError(ctx, err)
		}
		return nil
	}
	if a.Name == ledger.HangUp {
		return nil
	}
	f, err := p.Ledger.CurrentStop(ctx)
	if err == nil && f != nil {
		err = &ledger.StoppedError{EmergencyStop: *f}
	}
	if err != nil {
		return p.ledgerError(ctx, err)
	}
	return nil
}

// findConflicting returns a previous run of the same call that prevents this one; nil without one.
func (p *attempt) findConflicting(ctx context.Context) (*ledger.Intent, error) {
	if p.txn.Class == schemas.Read || p.txn.Action == ledger.HangUp {
		return nil, nil
	}
	return p.Ledger.FindConflicting(ctx, p.txn)
}

// recorded answers with the result of the previous run.
func (a Result) recorded(previous *ledger.Intent) Result {
	a.Previous, a.Data, a.Err = previous, previous.Result, nil
	if a.Data == nil {
		a.Data = json.RawMessage("null")
	}
	return a
}

// commitFailed returns the result of a call that the ledger rejected: nothing was sent.
func (p *attempt) commitFailed(ctx context.Context, a Result, err error) Result {
	var conflict *ledger.ConflictError
	if !errors.As(err, &conflict) {
		a.Err = p.ledgerError(ctx, err)
		if errors.Is(err, ledger.ErrRecipientsChanged) {
			p.revoke(ctx, a.Err)
		}
		return a
	}
	// The same call ran between findConflicting and Commit.
	previous, err := p.Ledger.Intent(ctx, conflict.Intent.ID)
	if err != nil {
		a.Err = p.ledgerError(ctx, err)
		return a
	}
	p.revokeOvertaken(ctx, &previous)
	if previous.State == ledger.Succeeded {
		return a.recorded(&previous)
	}
	a.Err = p.conflictError(&previous)
	return a
}

// revokeOvertaken revokes the approval of a call if the same call was sent meanwhile: the card did
// not mention that run.
func (p *attempt) revokeOvertaken(ctx context.Context, previous *ledger.Intent) {
	if p.ApprovalID != "" && previous.ApprovalID != p.ApprovalID {
		p.revoke(ctx, &schemas.Error{Outcome: schemas.Denied, Message: "the same " + previous.Action + " was sent while the request was pending, so the approval was not used",
			Next: "call again to run it a second time; the new card mentions the first run"})
	}
}

// conflictError is the error for a call if the same call is in flight or may have run.
func (p *attempt) conflictError(previous *ledger.Intent) *schemas.Error {
	a, now := p.Payload.Action, p.Now()
	if previous.State == ledger.Unknown {
		return p.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: fmt.Sprintf("the same %s was sent %s and its outcome is unknown; it was not sent again", a.Name, approval.Ago(previous.Prepared, now))}, previous.ID)
	}
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Intent: previous.ID,
		Message: fmt.Sprintf("the same %s was sent %s and is still running; it was not sent again", a.Name, approval.Ago(previous.Prepared, now)),
		Next:    "wait for the result of the first call; do not repeat it"}
}

// unknownOutcome completes the error of a call that may have run: the intent, and how to find out.
func (p *attempt) unknownOutcome(e *schemas.Error, intent string) *schemas.Error {
	out := *e
	out.Intent = intent
	look := "do not repeat it: "
	if list := p.Payload.Action.ShownBy(); list != "" {
		look += "check with " + list + " whether it took effect, "
	}
	sandbox := ""
	if p.Simulated {
		sandbox = " --sandbox"
	}
	out.Next = look + "and tell the person, who records the outcome with `sippet-mcp audit resolve " + intent + sandbox + " --as succeeded|failed --note TEXT`"
	return &out
}

// previousRunLine describes a previous run for the card.
func previousRunLine(a *schemas.Action, previous *ledger.Intent, now time.Time) string {
	if previous.State == ledger.Succeeded {
		return fmt.Sprintf("The same call ran %s. Approving runs it once more.", approval.Ago(previous.Settled, now))
	}
	s := fmt.Sprintf("The same call was sent %s; its outcome is unknown. Approving may do it twice.", approval.Ago(previous.Prepared, now))
	if list := a.ShownBy(); list != "" {
		s += " First check with " + list + " whether it took effect."
	}
	return s
}
