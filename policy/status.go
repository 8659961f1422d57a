package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// reportWithin is how long the outcome of a request answers a repeated call that has not received it
// yet.
const reportWithin = 10 * time.Minute

// maxNote is how much of a person's note is shown, in characters.
const maxNote = 500

// unreported returns the outcome of a request for the same call that was decided and not yet
// reported to the caller. The success of an idempotent call or of one on a live call answers no other:
// things may have changed since.
func (at *attempt) unreported(ctx context.Context) (Result, bool) {
	if at.Again || at.txn.Class == schemas.Read {
		return Result{}, false
	}
	r, err := at.Ledger.LatestApproval(ctx, at.binding())
	switch {
	case errors.Is(err, ledger.ErrNoApproval):
		return Result{}, false
	case err != nil:
		return Result{Err: at.ledgerError(ctx, err)}, true
	case r.Reported, r.Open(at.Now()), r.State == ledger.Pending, r.State == ledger.Approved:
		return Result{}, false // an expired request is asked again
	case r.State == ledger.Revoked && r.Outcome == "":
		return Result{}, false
	}
	res := at.ResultOf(ctx, r)
	res.Verdict = rules.Verdict{Decision: rules.Confirm, Why: r.Why}
	if res.Pending != nil {
		return res, r.State == ledger.Used // it is running
	}
	if res.Err == nil && !at.txn.Repeats {
		return Result{}, false
	}
	// Later the same call is a new one: nobody who rings somebody today means yesterday's call.
	return res, at.Now().Sub(res.Settled) < reportWithin
}

// ResultOf returns the result that a request has led to so far: Pending while it is open or runs.
// An approved read is Pending too, until its call is repeated.
func (g *Gate) ResultOf(ctx context.Context, r ledger.ApprovalRequest) Result {
	res := Result{Approval: r, Settled: r.Answered}
	fail := func(e *schemas.Error) Result {
		res.Err = e
		return res
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
		g.mentionUnknown(ctx, &r, e)
		return fail(e)
	case r.State == ledger.Revoked && r.Fault != nil:
		return fail(ledger.DecodeError(r.Fault))
	case r.State == ledger.Revoked && r.Outcome != "" && r.Erased > 0: // the reason could not be sealed, or is erased too
		return fail(approval.CardErased())
	case r.State == ledger.Revoked:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "the approval request was revoked; nothing ran",
			Next: "call again if it is still wanted, and the person is asked again"})
	case r.State == ledger.Used:
		return g.resultOfRun(ctx, res, action)
	case !r.Open(g.Now()) && r.State == ledger.Approved:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: name + " approved, but the call could not run in time, so the approval has expired; nothing ran",
			Next: "call again if it is still wanted, and the person is asked again"})
	case !r.Open(g.Now()):
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "nobody answered the approval request in time; nothing ran",
			Next: "tell the person; call again if it is still wanted, and they are asked again"})
	}
	card := &approval.Card{Needs: r.Needs, Expires: r.Expires}
	if r.Card != nil {
		var err error
		if card, err = approval.ReadCard(r.Card); err != nil {
			return fail(approval.CardErased())
		}
	}
	res = res.pending(action, &PendingApproval{ApprovalID: r.ID, Card: *card, Person: r.Person})
	g.mentionUnknown(ctx, &r, res.Err)
	if r.State == ledger.Approved {
		res.Err.Message = fmt.Sprintf("%s approved, and %s is about to run", name, r.Action)
		res.Err.Next = "wait a moment, then call approval_status"
		if action.Class == schemas.Read {
			res.Err.Message, res.Err.Next = name+" approved", "repeat the call with the very same arguments: results of reads are not stored"
		}
	}
	return res
}

// mentionUnknown adds to the error of a request that the outcome of an earlier run of the same call is
// unknown.
func (g *Gate) mentionUnknown(ctx context.Context, r *ledger.ApprovalRequest, e *schemas.Error) {
	if r.Repeats == "" {
		return
	}
	if before, err := g.Ledger.Intent(ctx, r.Repeats); err == nil && before.State == ledger.Unknown {
		e.Message += "; whether the same call before it ran is unknown"
		e.Intent = before.ID
	}
}

// resultOfRun returns the result of the run that used the approval.
func (g *Gate) resultOfRun(ctx context.Context, res Result, action *schemas.Action) Result {
	in, err := g.Ledger.Intent(ctx, res.Approval.Intent)
	if errors.Is(err, ledger.ErrNoIntent) {
		res.Err = &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "the call ran, and its outcome is no longer stored",
			Next: "do not repeat it; check whether it took effect"}
		return res
	}
	if err != nil {
		res.Err = g.ledgerError(ctx, err)
		return res
	}
	name := approval.PersonName(res.Approval.By)
	at := &attempt{Gate: g, Call: Call{Payload: &schemas.Payload{Action: action}}}
	switch {
	case in.State == ledger.Succeeded && action.Class == schemas.Read:
		// An empty result would look like an empty list.
		res.Err = &schemas.Error{Outcome: schemas.Denied,
			Message: fmt.Sprintf("%s approved, and the read was answered to the repeated call; results of reads are not stored", name),
			Next:    "call it again if it is still needed, and the person is asked again"}
	case in.State == ledger.Succeeded:
		res = res.recorded(&in)
		res.Previous = nil // this is the first report to the caller
		res.Settled = in.Settled
		if action.Class == schemas.Credential {
			res.HandoverUntil, err = g.Ledger.HandoverExpires(ctx, res.Approval.ID)
			if err != nil {
				res.Err = g.ledgerError(ctx, err)
			}
		}
	case in.State == ledger.Unknown:
		res.Err, res.Settled = at.conflictError(&in), in.Settled
	case in.State == ledger.Failed:
		res.Settled = in.Settled
		if res.Err = ledger.DecodeError(in.Fault); in.Fault == nil {
			res.Err = &schemas.Error{Outcome: in.Outcome, Message: action.Name + " was sent, and Sippet rejected it; Sippet's message is not stored",
				Next: "tell the person"}
		}
	default:
		res = res.pending(action, &PendingApproval{ApprovalID: res.Approval.ID, Person: res.Approval.Person,
			Card: approval.Card{Needs: res.Approval.Needs, Expires: res.Approval.Expires}})
		res.Err.Message, res.Err.Next = fmt.Sprintf("%s approved, and %s is running", name, action.Name), "wait a moment, then call approval_status"
	}
	return res
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
			res := g.ResultOf(reading, r)
			if res.Pending == nil || r.State == ledger.Approved && approval.IsRead(r.Action) || ctx.Err() != nil {
				return res
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
// at the same moment make a request each, and the last one replaces the others.
func (g *Gate) replacement(ctx context.Context, r *ledger.ApprovalRequest) string {
	if r.State != ledger.Revoked || r.Outcome != "" {
		return ""
	}
	next, err := g.Ledger.LatestApproval(ctx, *r)
	if err != nil || next.ID == r.ID || next.Recipients != r.Recipients || next.Repeats != r.Repeats || next.Needs != r.Needs {
		return ""
	}
	return next.ID
}

// MarkReported records that the caller has received the result, if it is the outcome of a request.
func (g *Gate) MarkReported(ctx context.Context, res Result) {
	if res.Approval.ID == "" || res.Pending != nil || res.Approval.Reported {
		return
	}
	if err := g.Ledger.MarkReported(context.WithoutCancel(ctx), res.Approval.ID); err != nil {
		g.Log.WarnContext(ctx, "a reported outcome could not be marked; it is reported again", "cause", err)
	}
}
