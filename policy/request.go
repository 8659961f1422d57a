package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// checkAllowed returns why the call cannot run even with an approval; nil if it can.
func (at *attempt) checkAllowed() *schemas.Error {
	if d := at.verdict.Decision; d >= rules.Allow && d <= rules.Approve {
		return nil
	}
	return deniedError(at.Payload.Action, at.verdict)
}

// denyErased denies a call that would change an erased record, whatever the policy decided.
func (at *attempt) denyErased() *schemas.Error {
	v := &at.verdict
	v.Decision, v.Why, v.Debits = rules.Deny, whyErased, nil
	at.txn.Decision, at.txn.Why, at.txn.Debits = v.Decision.String(), v.Why, nil
	return deniedError(at.Payload.Action, *v)
}

// minRemaining is the time that a pending request must have left to serve a repeated call.
const minRemaining = 10 * time.Second

// ask stores an approval request and returns its card. previous is an earlier run of the same call
// that the card must mention; nil without one. A repeated call gets the request that is already
// pending.
func (at *attempt) ask(ctx context.Context, res Result, need rules.Decision, previous *ledger.Intent) Result {
	r, now := at.binding(), at.Now()
	r.ID, r.Person, r.Needs = ledger.NewID(), at.Person, need.String()
	r.Expires = now.Add(at.Payload.Action.ApprovalLifetime(at.Lifetime))
	if previous != nil {
		r.Repeats = previous.ID
	}
	latest, err := at.Ledger.LatestApproval(ctx, r)
	if err != nil && !errors.Is(err, ledger.ErrNoApproval) {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	if card := at.findPending(&latest, &r); card != nil {
		if latest.State == ledger.Approved && at.txn.Class == schemas.Read {
			at.ApprovalID, at.txn.ApprovalID = latest.ID, latest.ID // an approved read is run by the repeated call
			return at.send(ctx, res)
		}
		if !latest.Departed.IsZero() {
			at.RecordClientEvent(ctx, latest.ID, at.Caller, ledger.ClientReturned)
		}
		p := &PendingApproval{ApprovalID: latest.ID, Card: *card, Person: latest.Person}
		if latest.State == ledger.Pending {
			p.Dialogue = at.dialogue(card)
		}
		return res.pending(at.Payload.Action, p)
	}
	if record := at.readRecord(ctx); record != nil && record.IsErased {
		res.Err = at.denyErased()
		res.Verdict = at.verdict
		return res
	}
	card := at.card(ctx, r.Needs, r.Expires, at.earlier(ctx, previous, &latest))
	raw, err := json.Marshal(card)
	if err != nil {
		res.Err = unexpected(err)
		return res
	}
	p := &PendingApproval{ApprovalID: r.ID, Card: card, Person: r.Person, New: true, Dialogue: at.dialogue(&card)}
	if p.Dialogue != NoDialogue {
		r.Shown = now.Add(at.ClientFirst)
	}
	x := &at.txn
	r.Request, r.Client, r.Why, r.Rules, r.Subjects, r.RecipientList, r.Payload, r.Card = x.Request, x.Client, x.Why, x.Rules, x.Subjects, x.RecipientList, x.Payload, raw
	r.Refills = at.refills
	if err := at.Ledger.CreateApproval(ctx, r); err != nil {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	return res.pending(at.Payload.Action, p)
}

// dialogue returns how the client asks its person about a card. It never asks instead of another
// person, and a form must show the whole deed.
func (at *attempt) dialogue(card *approval.Card) Dialogue {
	switch {
	case card.Needs != rules.Confirm.String():
	case at.CanAsk && card.FitsDialogue():
		return FormDialogue
	case at.CanOpen:
		return URLDialogue
	}
	return NoDialogue
}

// findPending returns the card of an open request, if r would be the very same request; else nil. Of
// the same call in other bytes it is the one that is approved and about to run.
func (at *attempt) findPending(open, r *ledger.ApprovalRequest) *approval.Card {
	if at.Again || !open.Open(at.Now().Add(minRemaining)) || open.Recipients != r.Recipients || open.Erased > 0 ||
		open.Hash != r.Hash && (open.State == ledger.Pending || at.txn.Class == schemas.Read) || open.Repeats != r.Repeats || open.Needs != r.Needs {
		return nil
	}
	card, err := approval.ReadCard(open.Card)
	if err != nil {
		return nil
	}
	return card
}

// pending completes the result of a call that needs a person.
func (r Result) pending(action *schemas.Action, q *PendingApproval) Result {
	r.Pending = q
	who := q.WhoMayAnswer()
	next := "then call approval_status"
	if action.Class == schemas.Read || action.Repeats() {
		next += ", or repeat this call with the very same arguments" // any other would be asked about once more
	}
	r.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("%s must approve %s before it runs; nothing ran", who, action.Name),
		Next:    fmt.Sprintf("tell the person that %s must answer the request in the inbox, and give the link; %s", who, next)}
	return r
}

// WhoMayAnswer says who may answer the request, for a sentence.
func (q *PendingApproval) WhoMayAnswer() string {
	name := schemas.Escape(q.Person, 64)
	switch {
	case q.Card.Needs == rules.Approve.String() && name != "":
		return "an approver other than " + name
	case q.Card.Needs == rules.Approve.String(), name == "":
		return "an approver"
	}
	return name + " or an approver"
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

// earlier returns what was done before that approving this call repeats: previous, an earlier run, or
// what the latest request for the same call led to.
func (at *attempt) earlier(ctx context.Context, previous *ledger.Intent, latest *ledger.ApprovalRequest) approval.Earlier {
	e := approval.Earlier{Run: previous, Unknown: at.unknown, Now: at.Now()}
	if previous != nil || latest.ID == "" {
		return e
	}
	e.Answered = latest
	if latest.State == ledger.Used {
		if done, err := at.Ledger.Intent(ctx, latest.Intent); err == nil {
			e.ApprovedRun = &done
		}
	}
	return e
}

// readRecord reads the record that the call is about, once, for the card; nil if it is about none.
func (at *attempt) readRecord(ctx context.Context) *approval.Record {
	read := at.Payload.AboutRead()
	if read == nil || at.record != nil {
		return at.record
	}
	data, fault := at.prefetch(ctx, read, "record of "+at.Payload.Action.Name)
	if at.record = (&approval.Record{Unreadable: true}); fault == nil {
		at.record = &approval.Record{Named: at.Payload.Named(data), Replaced: at.Payload.Replaced(data), Erased: at.Payload.Erased(data),
			IsErased: at.Payload.IsErased(data), Hidden: at.Gate.Hidden(at.Caller, read.Action)}
	}
	return at.record
}

// checkCard returns why the approved call cannot run: denied if its card was erased or what it showed is
// not so any more, upstream_unavailable if the record cannot be read any more. changed says that a new
// card can show things as they are. Sippet cannot compare and write in one step, so a change in the
// moment between this read and the write goes unseen. Nothing may keep a call from ending.
func (at *attempt) checkCard(ctx context.Context) (fault *schemas.Error, changed bool) {
	if at.Payload.Action.Name == ledger.HangUp {
		return nil, false
	}
	card, err := approval.ReadCard(at.approval.Card)
	if err != nil || at.approval.Erased > 0 {
		return approval.CardErased(), false
	}
	if at.unknown != nil && at.unknown.ID != card.Unknown {
		return notAsShown("the outcome of " + at.unknown.Action + " for one of these people is unknown, and the card does not say so"), true
	}
	if at.txn.EffectKind == schemas.Ringing { // the card tells of earlier rings
		since, err := at.Ledger.FindLatest(ctx, at.txn, at.approval.Requested.Add(time.Microsecond))
		if err != nil {
			return at.ledgerError(ctx, err), false
		}
		for _, in := range since {
			return notAsShown("since the card was made, " + in.Action + " rang one of these people"), true
		}
	}
	record := at.readRecord(ctx)
	switch {
	case record != nil && record.IsErased:
		return at.denyErased(), false
	case at.txn.Recipients == at.approval.Recipients && !card.ShowsRecipients(at.visibleRecipients()): // else Commit rejects it
		return notAsShown("a name on the card is not that of the contact any more"), true
	case card.ShowsRecord(record, at.related, at.Payload):
		return nil, false
	case record != nil && record.Unreadable:
		return &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "whether the record is still as the card showed it could not be read; nothing ran",
			Next: "call again later, and the person is asked again"}, false
	}
	return notAsShown("the record, or another contact that shares something with it, is not as the card showed it any more"), true
}

func notAsShown(why string) *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: why + ", so the approval was not used; nothing ran",
		Next: "a new request shows how it is now: approval_status lists it"}
}

// SoonestAnswer is the least time in which a person can read a dialogue and answer it.
const SoonestAnswer = time.Second

// ClientReply is what a client sent in reply to a dialogue. It is the client's word.
type ClientReply struct {
	Action ClientAction
	// Ticked is true if an accepted form has its box ticked. StatedNumber is the number of people
	// in it.
	Ticked       bool
	StatedNumber int
	// Opened is true if the client was asked to open the card, and so was given no form.
	Opened bool
	// After is the time since the dialogue was sent.
	After time.Duration
}

// ClientAction is the kind of a ClientReply.
type ClientAction string

// The actions. Any other text is none of them.
const (
	ClientAccepts  ClientAction = "accept"
	ClientDeclines ClientAction = "decline"
	ClientCancels  ClientAction = "cancel"
	ClientFails    ClientAction = "fail" // it answered with an error
)

// RecordReply stores the answer that the caller's own person gave to the request c.ApprovalID
// through their client. A reply that cannot be a person's, and one that does not do all that the
// card asks for, changes nothing but the log: the request stays pending, and the event says why. A
// reply after the request has ended changes nothing either.
func (g *Gate) RecordReply(ctx context.Context, c Call, reply ClientReply) (ledger.ClientEventKind, *schemas.Error) {
	ctx = context.WithoutCancel(ctx) // the answer counts even if the client leaves now
	at := g.attempt(c)
	err := at.loadApproval(ctx)
	if err == nil {
		err = at.Ledger.CheckApproval(ctx, at.boundApproval())
	}
	switch {
	case errors.Is(err, ledger.ErrApprovalPending), err == nil:
	case isEnded(err):
		return "", nil
	default:
		return "", g.ledgerError(ctx, err)
	}
	card, unreadable := approval.ReadCard(at.approval.Card)
	erased := unreadable != nil || at.approval.Erased > 0
	if erased {
		card = &approval.Card{Needs: at.approval.Needs} // it can be declined
	}
	dialogue := at.dialogue(card)
	switch {
	case erased && reply.Action == ClientAccepts:
		return "", approval.CardErased()
	case erased && at.CanAsk:
	case dialogue == NoDialogue:
		return "", &schemas.Error{Outcome: schemas.Denied, Message: "this request can be answered in the inbox only; nothing ran",
			Next: "tell the person to answer it there"}
	}
	if (reply.Opened || dialogue == URLDialogue) && reply.Action == ClientAccepts {
		return "", nil // it opens the card
	}
	if event := reply.event(card); event != "" {
		g.RecordClientEvent(ctx, c.ApprovalID, c.Caller, event)
		return event, nil
	}
	answer := ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: c.Person, Via: c.ViaClient()}}
	if reply.Action == ClientAccepts {
		answer.State = ledger.Approved
		if at.txn.Class != schemas.Read {
			answer.Until = g.Now().Add(approval.ValidFor)
		}
	}
	if err := g.Ledger.AnswerApproval(ctx, at.boundApproval(), answer); err != nil && !isEnded(err) && !errors.Is(err, ledger.ErrAlreadyAnswered) {
		return "", g.ledgerError(ctx, err)
	}
	return "", nil
}

// event returns why the reply is no person's answer to the card; empty if it counts as one.
func (r ClientReply) event(card *approval.Card) ledger.ClientEventKind {
	switch {
	case r.Action == ClientCancels:
		return ledger.ClientCancelled
	case r.Action == ClientFails:
		return ledger.ClientFailed
	case r.Action != ClientAccepts && r.Action != ClientDeclines:
		return ledger.ClientUnclear
	case r.After < SoonestAnswer:
		return ledger.ClientTooFast
	case r.Action == ClientAccepts && (!r.Ticked || card.StateNumber > 0 && card.StateNumber != r.StatedNumber):
		return ledger.ClientUnclear
	}
	return ""
}

// isEnded reports whether the ledger's error says that a request has ended.
func isEnded(err error) bool {
	return errors.Is(err, ledger.ErrApprovalUsed) || errors.Is(err, ledger.ErrApprovalDeclined) || errors.Is(err, ledger.ErrApprovalRevoked) ||
		errors.Is(err, ledger.ErrApprovalExpired)
}

// RecordClientEvent records what the caller's client did with a request without its person.
func (g *Gate) RecordClientEvent(ctx context.Context, id string, c Caller, kind ledger.ClientEventKind) {
	err := g.Ledger.RecordUnanswered(context.WithoutCancel(ctx), id, ledger.ClientEvent{Kind: kind, Via: c.ViaClient()})
	if err != nil && !errors.Is(err, ledger.ErrRejected) {
		g.Log.LogAttrs(ctx, slog.LevelError, "what a client did could not be recorded", slog.String("approval", id), slog.String("event", string(kind)),
			slog.String("cause", err.Error()))
	}
}

// ViaClient is the channel of an answer that the caller's client passes on: `client` and what the
// client calls itself.
func (c Caller) ViaClient() string { return strings.TrimSpace("client " + c.Client) }

// Withdraw revokes the request if it is open. why is what its requester is told.
func (g *Gate) Withdraw(ctx context.Context, c Call, why *schemas.Error) {
	g.attempt(c).revoke(ctx, why)
}

// revoke revokes the request. why is stored, for its status.
func (at *attempt) revoke(ctx context.Context, why *schemas.Error) {
	ctx = context.WithoutCancel(ctx)
	err := at.loadApproval(ctx)
	if err == nil {
		err = at.Ledger.AnswerApproval(ctx, at.boundApproval(), ledger.Reply{State: ledger.Revoked, Outcome: why.Outcome, Fault: ledger.EncodeError(why)})
	}
	// A used, declined or expired request needs no revocation. A failure of the store is logged.
	if err != nil && at.ledgerError(ctx, err).Outcome == schemas.Unavailable {
		at.Log.LogAttrs(ctx, slog.LevelError, "an approval request could not be revoked", slog.String("action", at.txn.Action), slog.String("cause", err.Error()))
	}
}

// binding returns the request that the call would use: what it is bound to, and what is recorded with
// it.
func (at *attempt) binding() ledger.ApprovalRequest {
	x := &at.txn
	return ledger.ApprovalRequest{ID: x.ApprovalID, Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation, Key: x.Key, Action: x.Action,
		Hash: x.Hash, EffectKey: x.EffectKey, Policy: x.Policy, Recipients: x.Recipients}
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
