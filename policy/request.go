package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// checkAllowed says why the call does not run whoever agrees; nil where it may.
func (p *attempt) checkAllowed() *schemas.Error {
	d := p.verdict.Decision
	if d >= rules.Allow && d <= rules.Confirm || d == rules.Approve && p.Inbox {
		return nil
	}
	return deniedError(p.Payload.Action, p.verdict)
}

// minRemaining is how much time a waiting question must have left to be the answer to the same call again.
const minRemaining = 10 * time.Second

// ask stores the question and gives its card. prior is an earlier run of the
// same that the card must tell of; nil where there is none.
func (p *attempt) ask(ctx context.Context, a Result, need rules.Decision, previous *ledger.Intent) Result {
	n := p.binding()
	n.Inbox = p.Inbox && (need == rules.Approve || !p.CanAsk)
	wait := p.Wait
	if n.Inbox {
		wait = p.Payload.Action.ApprovalValidFor()
	}
	n.ID, n.Person, n.Expires, n.Needs = ledger.NewID(), p.Person, p.Now().Add(wait), need.String()
	if previous != nil {
		n.Repeats = previous.ID
	}
	before, err := p.Ledger.LatestApproval(ctx, n)
	if err != nil && !errors.Is(err, ledger.ErrNoApproval) {
		a.Err = p.ledgerError(ctx, err)
		return a
	}
	if card, ok := p.findPending(&before, &n); ok {
		if before.State == ledger.Approved && p.txn.Class == schemas.Read {
			p.ApprovalID, p.txn.ApprovalID = before.ID, before.ID // a person agreed, and the call has come for it
			return p.send(ctx, a)
		}
		return a.pending(p.Payload.Action, &PendingApproval{ApprovalID: before.ID, Card: card, Inbox: true})
	}
	card := p.card(ctx, &n)
	switch {
	case previous != nil:
		card.PreviousRun = previousRunLine(p.Payload.Action, previous, p.Now())
	case before.State == ledger.Declined && p.Now().Sub(before.Answered) < time.Hour:
		card.PreviousRun = fmt.Sprintf("%s said no to the same %s.", PersonName(before.By), ago(before.Answered, p.Now()))
	}
	raw, err := json.Marshal(card)
	if err != nil {
		a.Err = unexpected(err)
		return a
	}
	x := &p.txn
	n.Request, n.Client, n.Why, n.Rules, n.Subjects, n.Payload, n.Card = x.Request, x.Client, x.Why, x.Rules, x.Subjects, x.Payload, raw
	if err := p.Ledger.CreateApproval(ctx, n); err != nil {
		a.Err = p.ledgerError(ctx, err)
		return a
	}
	return a.pending(p.Payload.Action, &PendingApproval{ApprovalID: n.ID, Card: card, Inbox: n.Inbox, New: true})
}

// findPending gives the card of a question that is open in the inbox, where n would be the very same one.
func (p *attempt) findPending(open, n *ledger.ApprovalRequest) (card Card, ok bool) {
	if !n.Inbox || !open.Inbox || p.Again || !open.Open(p.Now().Add(minRemaining)) || open.Policy != n.Policy || open.Recipients != n.Recipients ||
		open.Repeats != n.Repeats || open.Needs != n.Needs {
		return card, false
	}
	return card, json.Unmarshal(open.Card, &card) == nil
}

// pending answers that a person is due.
func (a Result) pending(action *schemas.Action, q *PendingApproval) Result {
	a.Pending = q
	a.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("a person must agree before %s runs; nothing ran", action.Name),
		Next:    "ask the person, then call again with their answer"}
	if q.Inbox {
		a.Err.Next = "tell the person that it waits for them in the inbox; then call approval_status, or this again with the very same arguments"
		if q.Card.Needs == rules.Approve.String() {
			a.Err.Message = fmt.Sprintf("another person than the one who asks must agree before %s runs; nothing ran", action.Name)
			a.Err.Next = "tell the person that somebody else who may approve must answer it in the inbox; then call approval_status, or this again with the very same arguments"
		}
	}
	return a
}

// Reply is what a person said to a card.
type Reply struct {
	Approve bool
	// StatedNumber is the number of people that they stated; it must be the card's, where that asks for it.
	StatedNumber int
	// By says who answered, and how.
	By ledger.Actor
	// Note is what they said to it, for whoever asked.
	Note string
	// Quick says that they answered sooner than the card can be read.
	Quick bool
}

// RecordReply keeps the answer to the question c.Grant that the caller's own person
// gave it. The error says why the answer does not count; where only the number
// of people is wrong, the question is withdrawn: whoever states another number
// has not read the card.
func (g *Gate) RecordReply(ctx context.Context, c Call, r Reply) *schemas.Error {
	p := g.attempt(c)
	if err := p.loadApproval(ctx); err != nil {
		return g.ledgerError(ctx, err)
	}
	if p.approval.Inbox {
		return &schemas.Error{Outcome: schemas.Denied, Message: "this question is answered in the inbox and nowhere else; nothing ran", Next: "tell the person to answer it there"}
	}
	state := ledger.Declined
	if r.Approve {
		state = ledger.Approved
		if fault := p.checkStatedNumber(ctx, r.StatedNumber); fault != nil {
			return fault
		}
	}
	if err := g.Ledger.AnswerApproval(ctx, p.boundApproval(), ledger.Reply{State: state, By: r.By, Note: r.Note}); err != nil && !alreadyUsed(r.Approve, err) {
		return g.ledgerError(ctx, err)
	}
	return nil
}

// checkStatedNumber says what is wrong with the number of people that somebody stated.
func (p *attempt) checkStatedNumber(ctx context.Context, people int) *schemas.Error {
	if !recipients.HasRecipients(p.Payload.Action) || p.approval.Action != p.txn.Action || p.approval.State != ledger.Pending {
		return nil // or it is not its question, or no question any more, which the ledger says when it is answered
	}
	var card Card
	if json.Unmarshal(p.approval.Card, &card) != nil {
		return cardErased()
	}
	if card.StateNumber == 0 || card.StateNumber == people {
		return nil
	}
	fault := &schemas.Error{Outcome: schemas.Declined,
		Message: fmt.Sprintf("the yes did not state how many people would be rung (%d), so it does not count; nothing ran", card.StateNumber),
		Next:    "tell the person how many it reaches; call again if they still want it"}
	p.revoke(ctx, fault)
	return fault
}

func cardErased() *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: "the card of the question is gone, with somebody whose data was erased; nothing ran",
		Next: "call again, and the person is asked anew"}
}

// replayed: an answer that comes again after it was used. Do says how the call ended.
func alreadyUsed(approve bool, err error) bool {
	return approve && errors.Is(err, ledger.ErrApprovalUsed)
}

// Withdraw takes back a question that nobody can be asked, or nobody answered.
// Its error, where there is one, is what the caller should hear instead: that
// nobody knows how the same call ended before.
func (g *Gate) Withdraw(ctx context.Context, c Call) *schemas.Error {
	ctx = context.WithoutCancel(ctx)
	p := g.attempt(c)
	fault := &schemas.Error{Outcome: schemas.Denied}
	p.revoke(ctx, nil)
	p.recordEvent(Result{Err: fault}, 0)
	if previous, err := p.findConflicting(ctx); err == nil && previous != nil && previous.State == ledger.Unknown {
		return p.conflictError(previous)
	}
	return nil
}

// revoke takes the question back; why is kept for whoever asks what became of it.
func (p *attempt) revoke(ctx context.Context, why *schemas.Error) {
	ctx = context.WithoutCancel(ctx)
	r := ledger.Reply{State: ledger.Revoked}
	if why != nil {
		r.Outcome, r.Fault = why.Outcome, encodeError(why)
	}
	// What has been spent, answered with no or has expired asks nobody any more; a store that fails is another matter.
	err := p.loadApproval(ctx)
	if err == nil {
		err = p.Ledger.AnswerApproval(ctx, p.boundApproval(), r)
	}
	if err != nil && p.ledgerError(ctx, err).Outcome == schemas.Unavailable {
		p.Log.LogAttrs(ctx, slog.LevelError, "a question could not be withdrawn", slog.String("action", p.txn.Action), slog.String("cause", err.Error()))
	}
}

// binding is the grant that the call would spend: what it is bound to.
func (p *attempt) binding() ledger.ApprovalRequest {
	x := &p.txn
	return ledger.ApprovalRequest{ID: x.ApprovalID, Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation, Action: x.Action,
		Hash: x.Hash, Policy: x.Policy, Recipients: x.Recipients}
}

// loadApproval reads the question that is being answered, once.
func (p *attempt) loadApproval(ctx context.Context) (err error) {
	if p.approval.ID == "" {
		p.approval, err = p.Ledger.Approval(ctx, p.ApprovalID)
	}
	return err
}

// boundApproval is the grant of the question that is being answered, once it is loaded. Whom the call reaches is not looked up
// for an answer: that is compared before it runs, so the question's own word is taken.
func (p *attempt) boundApproval() ledger.ApprovalRequest {
	g := p.binding()
	g.ID = p.ApprovalID
	if recipients.HasRecipients(p.Payload.Action) {
		g.Recipients = p.approval.Recipients
	}
	return g
}

// approvalRejected answers a call whose grant does not fit.
func (p *attempt) approvalRejected(ctx context.Context, previous *ledger.Intent, err error) Result {
	if previous == nil {
		return Result{Err: p.ledgerError(ctx, err)}
	}
	mine := previous.ApprovalID == p.ApprovalID // its own yes was spent, so this is the same request coming again
	asked := p.policy.Mildest(p.Payload.Action, p.Caller.rules()).Decision >= rules.Confirm
	switch {
	case mine && previous.State == ledger.Succeeded:
		return Result{}.recorded(previous)
	case mine, previous.State == ledger.Unknown && !asked:
		// A person was asked only because nobody knows how the same call ended.
		return Result{Err: p.conflictError(previous)}
	}
	return Result{Err: p.ledgerError(ctx, err)}
}
