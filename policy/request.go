package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// checkAllowed returns why the call cannot run even with an approval; nil if it can.
func (at *attempt) checkAllowed() *schemas.Error {
	d := at.verdict.Decision
	if d >= rules.Allow && d <= rules.Confirm || d == rules.Approve && at.Inbox {
		return nil
	}
	return deniedError(at.Payload.Action, at.verdict)
}

// minRemaining is the time that a pending request must have left to serve a repeated call.
const minRemaining = 10 * time.Second

// ask stores an approval request and returns its card. previous is an earlier run of the same call
// that the card must mention; nil without one. A repeated call gets the request that is already
// pending.
func (at *attempt) ask(ctx context.Context, res Result, need rules.Decision, previous *ledger.Intent) Result {
	r := at.binding()
	r.Inbox = at.Inbox && (need == rules.Approve || !at.CanAsk)
	wait := at.Wait
	if r.Inbox {
		wait = at.Payload.Action.ApprovalValidFor()
	}
	r.ID, r.Person, r.Expires, r.Needs = ledger.NewID(), at.Person, at.Now().Add(wait), need.String()
	if previous != nil {
		r.Repeats = previous.ID
	}
	latest, err := at.Ledger.LatestApproval(ctx, r)
	if err != nil && !errors.Is(err, ledger.ErrNoApproval) {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	if card, ok := at.findPending(&latest, &r); ok {
		if latest.State == ledger.Approved && at.txn.Class == schemas.Read {
			at.ApprovalID, at.txn.ApprovalID = latest.ID, latest.ID // an approved read is run by the repeated call
			return at.send(ctx, res)
		}
		return res.pending(at.Payload.Action, &PendingApproval{ApprovalID: latest.ID, Card: card, Inbox: true})
	}
	card := at.card(ctx, r.Needs, r.Expires)
	switch {
	case previous != nil:
		card.PreviousRun = previousRunLine(at.Payload.Action, previous, at.Now())
	case latest.State == ledger.Declined && at.Now().Sub(latest.Answered) < time.Hour:
		card.PreviousRun = fmt.Sprintf("%s declined the same call %s.", approval.PersonName(latest.By), approval.Ago(latest.Answered, at.Now()))
	}
	raw, err := json.Marshal(card)
	if err != nil {
		res.Err = unexpected(err)
		return res
	}
	x := &at.txn
	r.Request, r.Client, r.Why, r.Rules, r.Subjects, r.Payload, r.Card = x.Request, x.Client, x.Why, x.Rules, x.Subjects, x.Payload, raw
	if err := at.Ledger.CreateApproval(ctx, r); err != nil {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	return res.pending(at.Payload.Action, &PendingApproval{ApprovalID: r.ID, Card: card, Inbox: r.Inbox, New: true})
}

// findPending returns the card of a request that is open in the inbox, if r would be the very same
// request.
func (at *attempt) findPending(open, r *ledger.ApprovalRequest) (card approval.Card, ok bool) {
	if !r.Inbox || !open.Inbox || at.Again || !open.Open(at.Now().Add(minRemaining)) || open.Policy != r.Policy || open.Recipients != r.Recipients ||
		open.Repeats != r.Repeats || open.Needs != r.Needs {
		return card, false
	}
	return card, json.Unmarshal(open.Card, &card) == nil
}

// pending completes the result of a call that needs a person.
func (r Result) pending(action *schemas.Action, q *PendingApproval) Result {
	r.Pending = q
	r.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("a person must approve %s before it runs; nothing ran", action.Name),
		Next:    "ask the person, then call again with their answer"}
	if q.Inbox {
		r.Err.Next = "tell the person that the request is in the inbox; then call approval_status, or repeat this call with the very same arguments"
		if q.Card.Needs == rules.Approve.String() {
			r.Err.Message = fmt.Sprintf("another person than the requester must approve %s before it runs; nothing ran", action.Name)
			r.Err.Next = "tell the person that an approver must answer the request in the inbox; then call approval_status, or repeat this call with the very same arguments"
		}
	}
	return r
}

// visibleRecipients returns the recipients as far as the caller may see them, because a card can go
// to the caller's own client; nil if the call reaches nobody.
func (at *attempt) visibleRecipients() *recipients.Set {
	hidden := at.hiddenContactFields()
	if at.recipients == nil || len(hidden) == 0 {
		return at.recipients
	}
	visible := *at.recipients
	visible.List = slices.Clone(visible.List)
	for i := range visible.List {
		r := &visible.List[i]
		if r.Contact == "" {
			continue // the caller gave the number
		}
		if hidden["fullName"] {
			r.Name = ""
		}
		if hidden["phoneE164"] {
			r.Number = ""
		}
	}
	return &visible
}

// budgetLines returns what the call takes from each budget, for the card. A budget that cannot be
// read now has no line: the commit checks it.
func (at *attempt) budgetLines(ctx context.Context) (out []string) {
	for _, d := range at.txn.Debits {
		left, _, err := at.Ledger.BudgetLeft(ctx, d)
		if err != nil {
			continue
		}
		line := fmt.Sprintf("%d of the %d left in the budget %s", d.Cost, left, d.Budget)
		if d.Cost > left {
			line = fmt.Sprintf("%d from the budget %s, which has %d left now: the call would be denied", d.Cost, d.Budget, left)
		}
		out = append(out, line)
	}
	return out
}

// readRecord reads the record that the call is about, once, for the card; nil if it is about none.
func (at *attempt) readRecord(ctx context.Context) *approval.Record {
	read := at.Payload.AboutRead()
	if read == nil {
		return nil
	}
	data, fault := at.prefetch(ctx, read, "record of "+at.Payload.Action.Name)
	if fault != nil {
		return &approval.Record{Unreadable: true}
	}
	return &approval.Record{Named: at.Payload.Named(data), Replaced: at.Payload.Replaced(data), Hidden: at.Gate.Hidden(at.Caller, read.Action)}
}

// RecordReply stores the answer that the caller's own person gave to the request c.ApprovalID. The
// error says why the answer does not count. A wrong stated number revokes the request: the person
// has not read the card.
func (g *Gate) RecordReply(ctx context.Context, c Call, reply approval.Reply) *schemas.Error {
	at := g.attempt(c)
	if err := at.loadApproval(ctx); err != nil {
		return g.ledgerError(ctx, err)
	}
	if at.approval.Inbox {
		return &schemas.Error{Outcome: schemas.Denied, Message: "this request can be answered in the inbox only; nothing ran",
			Next: "tell the person to answer it there"}
	}
	state := ledger.Declined
	if reply.Approve {
		state = ledger.Approved
		if fault := at.checkStatedNumber(ctx, reply.StatedNumber); fault != nil {
			return fault
		}
	}
	err := g.Ledger.AnswerApproval(ctx, at.boundApproval(), ledger.Reply{State: state, By: reply.By, Note: reply.Note})
	if err == nil || reply.Approve && errors.Is(err, ledger.ErrApprovalUsed) {
		return nil // a used approval is a repeated answer: Do returns the call's outcome
	}
	return g.ledgerError(ctx, err)
}

// checkStatedNumber returns an error, and revokes the request, if the person stated another number
// than the card's. A request that is not pending, or of another call, is the ledger's to reject.
func (at *attempt) checkStatedNumber(ctx context.Context, number int) *schemas.Error {
	if !recipients.HasRecipients(at.Payload.Action) || at.approval.Action != at.txn.Action || at.approval.State != ledger.Pending {
		return nil
	}
	var card approval.Card
	if json.Unmarshal(at.approval.Card, &card) != nil {
		return approval.CardErased()
	}
	if card.StateNumber == 0 || card.StateNumber == number {
		return nil
	}
	fault := &schemas.Error{Outcome: schemas.Declined,
		Message: fmt.Sprintf("the approval did not state how many people the call reaches (%d), so it does not count; nothing ran", card.StateNumber),
		Next:    "tell the person how many people it reaches; call again if they still want it"}
	at.revoke(ctx, fault)
	return fault
}

// Withdraw revokes a request that could not be shown to anybody, or that nobody answered. It
// returns an error if the caller must hear that instead: an earlier run of the same call has an
// unknown outcome.
func (g *Gate) Withdraw(ctx context.Context, c Call) *schemas.Error {
	ctx = context.WithoutCancel(ctx)
	at := g.attempt(c)
	at.revoke(ctx, nil)
	at.recordEvent(Result{Err: &schemas.Error{Outcome: schemas.Denied}}, 0)
	if previous, err := at.findConflicting(ctx); err == nil && previous != nil && previous.State == ledger.Unknown {
		return at.conflictError(previous)
	}
	return nil
}

// revoke revokes the request. why is stored, for its status.
func (at *attempt) revoke(ctx context.Context, why *schemas.Error) {
	ctx = context.WithoutCancel(ctx)
	reply := ledger.Reply{State: ledger.Revoked}
	if why != nil {
		reply.Outcome, reply.Fault = why.Outcome, ledger.EncodeError(why)
	}
	err := at.loadApproval(ctx)
	if err == nil {
		err = at.Ledger.AnswerApproval(ctx, at.boundApproval(), reply)
	}
	// A used, declined or expired request needs no revocation. A failure of the store is logged.
	if err != nil && at.ledgerError(ctx, err).Outcome == schemas.Unavailable {
		at.Log.LogAttrs(ctx, slog.LevelError, "an approval request could not be revoked", slog.String("action", at.txn.Action), slog.String("cause", err.Error()))
	}
}

// binding returns the request that the call would use: what it is bound to.
func (at *attempt) binding() ledger.ApprovalRequest {
	x := &at.txn
	return ledger.ApprovalRequest{ID: x.ApprovalID, Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation, Action: x.Action,
		Hash: x.Hash, Policy: x.Policy, Recipients: x.Recipients}
}

// loadApproval reads the request that was answered, once.
func (at *attempt) loadApproval(ctx context.Context) (err error) {
	if at.approval.ID == "" {
		at.approval, err = at.Ledger.Approval(ctx, at.ApprovalID)
	}
	return err
}

// boundApproval returns the binding of the loaded request. Recipients are not resolved for an
// answer; they are compared before the call runs. Until then the request's own digest counts.
func (at *attempt) boundApproval() ledger.ApprovalRequest {
	r := at.binding()
	r.ID = at.ApprovalID
	if recipients.HasRecipients(at.Payload.Action) {
		r.Recipients = at.approval.Recipients
	}
	return r
}

// approvalRejected returns the result of a call with an approval that the ledger rejects.
func (at *attempt) approvalRejected(ctx context.Context, previous *ledger.Intent, err error) Result {
	if previous == nil {
		return Result{Err: at.ledgerError(ctx, err)}
	}
	own := previous.ApprovalID == at.ApprovalID // the call repeats itself: its approval was used
	asked := at.policy.Mildest(at.Payload.Action, at.Caller.rules()).Decision >= rules.Confirm
	switch {
	case own && previous.State == ledger.Succeeded:
		return Result{}.recorded(previous)
	case own, previous.State == ledger.Unknown && !asked:
		// The only reason to ask was that the outcome of the same call is unknown.
		return Result{Err: at.conflictError(previous)}
	}
	return Result{Err: at.ledgerError(ctx, err)}
}
