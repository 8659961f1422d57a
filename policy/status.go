package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// How long the outcome of a request answers a repeated call that has not received it yet; longer if
// the action is idempotent.
const (
	reportWithin           = 10 * time.Minute
	idempotentReportWithin = 24 * time.Hour
)

// maxNote is how much of a person's note is shown, in characters.
const maxNote = 500

// unreported returns the outcome of an identical request that was decided in the inbox and not yet
// reported to the caller.
func (p *attempt) unreported(ctx context.Context) (Result, bool) {
	if !p.Inbox || p.Again || p.txn.Class == schemas.Read {
		return Result{}, false
	}
	r, err := p.Ledger.LatestApproval(ctx, p.binding())
	switch {
	case errors.Is(err, ledger.ErrNoApproval):
		return Result{}, false
	case err != nil:
		return Result{Err: p.ledgerError(ctx, err)}, true
	case !r.Inbox, r.Reported, r.Open(p.Now()), r.State == ledger.Pending, r.State == ledger.Approved:
		return Result{}, false // an expired request is asked again
	case r.State == ledger.Revoked && r.Outcome == "":
		return Result{}, false
	}
	a := p.ResultOf(ctx, r)
	a.Verdict = rules.Verdict{Decision: rules.Confirm, Why: r.Why}
	if a.Pending != nil {
		return a, r.State == ledger.Used // it is running
	}
	// Later the same call is a new one: nobody who rings somebody today means yesterday's call.
	age := p.Now().Sub(a.Settled)
	return a, age < reportWithin || p.Payload.Action.Idempotent && age < idempotentReportWithin
}

// ResultOf returns the result that a request has led to so far: Pending while it is open or runs.
// An approved read is Pending too, until its call is repeated.
func (g *Gate) ResultOf(ctx context.Context, r ledger.ApprovalRequest) Result {
	a := Result{Approval: r, Settled: r.Answered}
	fail := func(e *schemas.Error) Result {
		a.Err = e
		return a
	}
	action, fault := schemas.Find(r.Action)
	if fault != nil {
		return fail(fault)
	}
	name := approval.PersonName(r.By)
	switch {
	case r.State == ledger.Declined:
		e := &schemas.Error{Outcome: schemas.Declined, Message: fmt.Sprintf("%s declined %s; nothing ran", name, r.Action),
			Next: "do not ask again for the same; ask the person what they want instead"}
		if r.Note != "" {
			e.Message += " (their note: " + schemas.Escape(r.Note, maxNote) + ")"
		}
		return fail(e)
	case r.State == ledger.Revoked && r.Fault != nil:
		return fail(ledger.DecodeError(r.Fault))
	case r.State == ledger.Revoked:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "the approval request was revoked; nothing ran", Next: "call again if it is still wanted, and the person is asked again"})
	case r.State == ledger.Used:
		return g.resultOfRun(ctx, a, action)
	case !r.Open(g.Now()) && r.State == ledger.Approved:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: name + " approved, but the call could not run in time, so the approval has expired; nothing ran", Next: "call again if it is still wanted, and the person is asked again"})
	case !r.Open(g.Now()):
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "nobody answered the approval request in time; nothing ran", Next: "tell the person; call again if it is still wanted, and they are asked again"})
	}
	card := approval.Card{Needs: r.Needs, Expires: r.Expires}
	if r.Card != nil && json.Unmarshal(r.Card, &card) != nil {
		return fail(approval.CardErased())
	}
	a = a.pending(action, &PendingApproval{ApprovalID: r.ID, Card: card, Inbox: true})
	if r.State == ledger.Approved {
		a.Err.Message = fmt.Sprintf("%s approved, and %s is about to run", name, r.Action)
		a.Err.Next = "wait a moment, then call approval_status"
		if action.Class == schemas.Read {
			a.Err.Message, a.Err.Next = name+" approved", "repeat the call with the very same arguments: results of reads are not stored"
		}
	}
	return a
}

// resultOfRun returns the result of the run that used the approval.
func (g *Gate) resultOfRun(ctx context.Context, a Result, action *schemas.Action) Result {
	in, err := g.Ledger.Intent(ctx, a.Approval.Intent)
	if errors.Is(err, ledger.ErrNoIntent) {
		a.Err = &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "the call ran, and its outcome is no longer stored", Next: "do not repeat it; check whether it took effect"}
		return a
	}
	if err != nil {
		a.Err = g.ledgerError(ctx, err)
		return a
	}
	name := approval.PersonName(a.Approval.By)
	p := &attempt{Gate: g, Call: Call{Payload: &schemas.Payload{Action: action}}}
	switch {
	case in.State == ledger.Succeeded && action.Class == schemas.Read:
		// An empty result would look like an empty list.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s approved, and the read was answered to the repeated call; results of reads are not stored", name),
			Next: "call it again if it is still needed, and the person is asked again"}
	case in.State == ledger.Succeeded:
		a = a.recorded(&in)
		a.Previous = nil // this is the first report to the caller
		a.Settled = in.Settled
		if action.Class == schemas.Credential {
			a.HandoverUntil, err = g.Ledger.HandoverExpires(ctx, a.Approval.ID)
			if err != nil {
				a.Err = g.ledgerError(ctx, err)
			}
		}
	case in.State == ledger.Unknown:
		a.Err, a.Settled = p.conflictError(&in), in.Settled
	case in.State == ledger.Failed:
		a.Settled = in.Settled
		if a.Err = ledger.DecodeError(in.Fault); in.Fault == nil {
			a.Err = &schemas.Error{Outcome: in.Outcome, Message: action.Name + " was sent, and Sippet rejected it; Sippet's message is not stored", Next: "tell the person"}
		}
	default:
		a = a.pending(action, &PendingApproval{ApprovalID: a.Approval.ID, Card: approval.Card{Needs: a.Approval.Needs, Expires: a.Approval.Expires}, Inbox: true})
		a.Err.Message, a.Err.Next = fmt.Sprintf("%s approved, and %s is running", name, action.Name), "wait a moment, then call approval_status"
	}
	return a
}

// pollOutcome is how often AwaitApproval reads the outcome without a signal.
const pollOutcome = 5 * time.Second

// AwaitApproval waits until the request has an outcome, or is an approved read. If ctx ends first
// the result is Pending.
func (g *Gate) AwaitApproval(ctx context.Context, w *approval.Watcher, id string) Result {
	changed, stop := w.SubscribeTo(id)
	defer stop()
	reading := context.WithoutCancel(ctx)
	for {
		// The row without its sealed parts is enough while nothing has changed.
		rows, err := g.Ledger.Approvals(reading, ledger.ApprovalFilter{ID: id})
		if err != nil {
			return Result{Err: g.ledgerError(reading, err)}
		}
		if len(rows) == 0 || rows[0].State != ledger.Pending || !rows[0].Open(g.Now()) || ctx.Err() != nil {
			r, err := g.Ledger.Approval(reading, id)
			if err != nil {
				return Result{Err: g.ledgerError(reading, err)}
			}
			if next := g.replacement(reading, &r); next != "" {
				return g.AwaitApproval(ctx, w, next)
			}
			a := g.ResultOf(reading, r)
			if a.Pending == nil || r.State == ledger.Approved && approval.IsRead(r.Action) || ctx.Err() != nil {
				return a
			}
		}
		end := time.NewTimer(min(pollOutcome, max(0, rows[0].Expires.Sub(g.Now()))+50*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-end.C:
		}
		end.Stop()
	}
}

// replacement returns the request that replaced a revoked one; empty without one. Identical calls
// at the same moment each ask, and the last request stands.
func (g *Gate) replacement(ctx context.Context, r *ledger.ApprovalRequest) string {
	if r.State != ledger.Revoked || r.Outcome != "" {
		return ""
	}
	next, err := g.Ledger.LatestApproval(ctx, *r)
	if err != nil || next.ID == r.ID || !next.Inbox || next.Policy != r.Policy || next.Recipients != r.Recipients || next.Repeats != r.Repeats || next.Needs != r.Needs {
		return ""
	}
	return next.ID
}

// MarkReported records that the caller has received the result, if it is the outcome of a request.
func (g *Gate) MarkReported(ctx context.Context, a Result) {
	if a.Approval.ID == "" || a.Pending != nil || a.Approval.Reported {
		return
	}
	if err := g.Ledger.MarkReported(context.WithoutCancel(ctx), a.Approval.ID); err != nil {
		g.Log.WarnContext(ctx, "a reported outcome could not be marked; it is reported again", "cause", err)
	}
}
