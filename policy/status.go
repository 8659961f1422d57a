package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// unreported answers a call of which the same was asked in the inbox and has ended, where the caller has not heard of it:
// it has come for the answer, and asks for nothing new.
func (p *attempt) unreported(ctx context.Context) (Result, bool) {
	if !p.Inbox || p.Again || p.txn.Class == schemas.Read {
		return Result{}, false
	}
	q, err := p.Ledger.LatestApproval(ctx, p.binding())
	switch {
	case errors.Is(err, ledger.ErrNoApproval):
		return Result{}, false
	case err != nil:
		return Result{Err: p.ledgerError(ctx, err)}, true
	case !q.Inbox, q.Reported, q.Open(p.Now()), q.State == ledger.Pending, q.State == ledger.Approved:
		return Result{}, false // also one that ran out: it is asked anew
	case q.State == ledger.Revoked && q.Outcome == "":
		return Result{}, false
	}
	a := p.ResultOf(ctx, q)
	a.Verdict = rules.Verdict{Decision: rules.Confirm, Why: q.Why}
	if a.Pending != nil {
		return a, q.State == ledger.Used // it is running
	}
	// What is long over answers for nothing: who asks today to ring somebody does not mean yesterday's call.
	return a, p.Now().Sub(a.Settled) < reportWithin || p.Payload.Action.Idempotent && p.Now().Sub(a.Settled) < idempotentReportWithin
}

// reportWithin is how long what came of a question is the answer to the same call again, where the caller has not heard it;
// idempotentReportWithin where once more would change nothing.
const (
	reportWithin           = 10 * time.Minute
	idempotentReportWithin = 24 * time.Hour
)

// ResultOf says what has come of the question so far. Where it has not ended that
// is Pending; where it was a read that somebody agreed to, the call must come for it.
func (g *Gate) ResultOf(ctx context.Context, q ledger.ApprovalRequest) Result {
	a := Result{Approval: q, Settled: q.Answered}
	fail := func(e *schemas.Error) Result {
		a.Err = e
		return a
	}
	action, fault := schemas.Find(q.Action)
	if fault != nil {
		return fail(fault)
	}
	switch {
	case q.State == ledger.Declined:
		e := &schemas.Error{Outcome: schemas.Declined, Message: fmt.Sprintf("%s said no to %s; nothing ran", PersonName(q.By), q.Action),
			Next: "do not ask again for the same; ask the person what they want instead"}
		if q.Note != "" {
			e.Message = fmt.Sprintf("%s said no to %s; nothing ran (their words: %s)", PersonName(q.By), q.Action, schemas.Escape(q.Note, maxNote))
		}
		return fail(e)
	case q.State == ledger.Revoked && q.Fault != nil:
		return fail(decodeError(q.Fault))
	case q.State == ledger.Revoked:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "the question was withdrawn; nothing ran", Next: "call again if it is still wanted, and the person is asked anew"})
	case q.State == ledger.Used:
		return g.resultOfRun(ctx, a, action)
	case !q.Open(g.Now()) && q.State == ledger.Approved:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: PersonName(q.By) + " agreed, and nobody could run it in time, so the yes is void; nothing ran", Next: "call again if it is still wanted, and the person is asked anew"})
	case !q.Open(g.Now()):
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "nobody answered in time, which is a no; nothing ran", Next: "tell the person; call again if it is still wanted, and they are asked anew"})
	}
	card := Card{Needs: q.Needs, Expires: q.Expires}
	if q.Card != nil && json.Unmarshal(q.Card, &card) != nil {
		return fail(cardErased())
	}
	a = a.pending(action, &PendingApproval{ApprovalID: q.ID, Card: card, Inbox: true})
	if q.State == ledger.Approved {
		a.Err.Message = fmt.Sprintf("%s agreed, and %s is about to run", PersonName(q.By), q.Action)
		a.Err.Next = "wait a moment, then call approval_status"
		if action.Class == schemas.Read {
			a.Err.Message, a.Err.Next = PersonName(q.By)+" agreed", "call it again with the very same arguments: what a read tells is kept nowhere"
		}
	}
	return a
}

// resultOfRun says how the run ended that spent the question's yes.
func (g *Gate) resultOfRun(ctx context.Context, a Result, action *schemas.Action) Result {
	in, err := g.Ledger.Intent(ctx, a.Approval.Intent)
	if errors.Is(err, ledger.ErrNoIntent) {
		a.Err = &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "it was run, and how it ended is not kept any more", Next: "do not repeat it; look whether it took effect"}
		return a
	}
	if err != nil {
		a.Err = g.ledgerError(ctx, err)
		return a
	}
	p := &attempt{Gate: g, Call: Call{Payload: &schemas.Payload{Action: action}}}
	switch {
	case in.State == ledger.Succeeded && action.Class == schemas.Read:
		// Nothing must not pass for an empty list.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s agreed, and a call has come for it; what a read tells is kept nowhere", PersonName(a.Approval.By)),
			Next: "call it again if it is still needed, and the person is asked anew"}
	case in.State == ledger.Succeeded:
		a = a.recorded(&in)
		a.Previous = nil // it is the first that the caller hears of it
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
		if a.Err = decodeError(in.Fault); in.Fault == nil {
			a.Err = &schemas.Error{Outcome: in.Outcome, Message: action.Name + " was sent, and Sippet refused it; what it said is not kept", Next: "tell the person"}
		}
	default:
		a = a.pending(action, &PendingApproval{ApprovalID: a.Approval.ID, Card: Card{Needs: a.Approval.Needs, Expires: a.Approval.Expires}, Inbox: true})
		a.Err.Message, a.Err.Next = fmt.Sprintf("%s agreed, and %s is running", PersonName(a.Approval.By), action.Name), "wait a moment, then call approval_status"
	}
	return a
}

// AwaitApproval waits until something came of the question: it has ended, or it is a
// read that somebody agreed to. Where ctx ends before, the answer is Pending.
func (g *Gate) AwaitApproval(ctx context.Context, w *Watcher, id string) Result {
	changed, stop := w.SubscribeTo(id)
	defer stop()
	look := context.WithoutCancel(ctx)
	for {
		// What is sealed is opened only where there is news.
		rows, err := g.Ledger.Approvals(look, ledger.ApprovalFilter{ID: id})
		if err != nil {
			return Result{Err: g.ledgerError(look, err)}
		}
		if len(rows) == 0 || rows[0].State != ledger.Pending || !rows[0].Open(g.Now()) || ctx.Err() != nil {
			q, err := g.Ledger.Approval(look, id)
			if err != nil {
				return Result{Err: g.ledgerError(look, err)}
			}
			if next := g.replacement(look, &q); next != "" {
				return g.AwaitApproval(ctx, w, next)
			}
			a := g.ResultOf(look, q)
			if a.Pending == nil || q.State == ledger.Approved && IsRead(q.Action) || ctx.Err() != nil {
				return a
			}
		}
		end := time.NewTimer(min(awaitEnd, max(0, rows[0].Expires.Sub(g.Now()))+50*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-end.C:
		}
		end.Stop()
	}
}

// replacement is the question that took the place of one; empty where none did. Of the same calls at the same moment each asks,
// and the last question stands.
func (g *Gate) replacement(ctx context.Context, q *ledger.ApprovalRequest) string {
	if q.State != ledger.Revoked || q.Outcome != "" {
		return ""
	}
	next, err := g.Ledger.LatestApproval(ctx, *q)
	if err != nil || next.ID == q.ID || !next.Inbox || next.Policy != q.Policy || next.Recipients != q.Recipients || next.Repeats != q.Repeats || next.Needs != q.Needs {
		return ""
	}
	return next.ID
}

// awaitEnd is how often the end of a run is looked for without a word of it.
const awaitEnd = 5 * time.Second

// MarkReported notes that the caller has heard the answer, where it is one that ends a question.
func (g *Gate) MarkReported(ctx context.Context, a Result) {
	if a.Approval.ID == "" || a.Pending != nil || a.Approval.Reported {
		return
	}
	if err := g.Ledger.MarkReported(context.WithoutCancel(ctx), a.Approval.ID); err != nil {
		g.Log.WarnContext(ctx, "that a caller heard what came of their question could not be noted; they hear it again", "cause", err)
	}
}

// IsRead reports whether the action of that name only looks.
func IsRead(action string) bool {
	a, fault := schemas.Find(action)
	return fault == nil && a.Class == schemas.Read
}

// PersonName returns the name of who answered, for a sentence; `the person` if nobody knows it.
func PersonName(by ledger.Actor) string {
	if by.Name == "" {
		return "the person"
	}
	return schemas.Escape(by.Name, 64)
}

// maxNote is how much of what a person said is shown, in characters.
const maxNote = 500

// storedError is how a schemas.Error is kept.
type storedError struct {
	Outcome       schemas.Outcome
	Message, Next string
	Details       []schemas.Detail `json:",omitempty"`
	RetryAfter    time.Duration    `json:",omitempty"`
	Intent        string           `json:",omitempty"`
}

func encodeError(e *schemas.Error) []byte {
	raw, err := json.Marshal(storedError{e.Outcome, e.Message, e.Next, e.Details, e.RetryAfter, e.Intent})
	if err != nil {
		return nil
	}
	return raw
}

func decodeError(raw []byte) *schemas.Error {
	var f storedError
	if json.Unmarshal(raw, &f) != nil || f.Outcome == "" {
		return &schemas.Error{Outcome: schemas.Unavailable, Message: "what came of it cannot be read", Next: "tell the person to look into the audit"}
	}
	return &schemas.Error{Outcome: f.Outcome, Message: f.Message, Next: f.Next, Details: f.Details, RetryAfter: f.RetryAfter, Intent: f.Intent}
}

// ErrorMessage is what a kept fault says to a person; empty where there is none.
func ErrorMessage(raw []byte) string {
	if raw == nil {
		return ""
	}
	e := decodeError(raw)
	s := e.Message
	for _, d := range e.Details[:min(3, len(e.Details))] {
		s += "; " + schemas.Escape(d.Path+" "+d.Message, 200)
	}
	return s
}
