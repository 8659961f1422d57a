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

// forbidden says why the call does not run whoever agrees; nil where it may.
func (p *pass) forbidden() *schemas.Error {
	d := p.verdict.Decision
	if d >= rules.Allow && d <= rules.Confirm || d == rules.Approve && p.Inbox {
		return nil
	}
	return refusal(p.Payload.Action, p.verdict)
}

// foldAbove is how much time a waiting question must have left to be the answer to the same call again.
const foldAbove = 10 * time.Second

// ask stores the question and gives its card. prior is an earlier run of the
// same that the card must tell of; nil where there is none.
func (p *pass) ask(ctx context.Context, a Answer, need rules.Decision, prior *ledger.Intent) Answer {
	n := p.grant()
	n.Inbox = p.Inbox && (need == rules.Approve || !p.Asks)
	wait := p.Wait
	if n.Inbox {
		wait = p.Payload.Action.Patience()
	}
	n.ID, n.Person, n.Expires, n.Needs = ledger.NewID(), p.Person, p.Now().Add(wait), need.String()
	if prior != nil {
		n.Repeats = prior.ID
	}
	before, err := p.Ledger.Asked(ctx, n)
	if err != nil && !errors.Is(err, ledger.ErrNoGrant) {
		a.Err = p.storeFault(ctx, err)
		return a
	}
	if card, ok := p.same(&before, &n); ok {
		if before.State == ledger.Granted && p.txn.Class == schemas.Read {
			p.Grant, p.txn.Grant = before.ID, before.ID // a person agreed, and the call has come for it
			return p.run(ctx, a)
		}
		return a.pending(p.Payload.Action, &Pending{Grant: before.ID, Card: card, Inbox: true})
	}
	card := p.card(ctx, &n)
	switch {
	case prior != nil:
		card.Before = earlier(p.Payload.Action, prior, p.Now())
	case before.State == ledger.Refused && p.Now().Sub(before.Answered) < time.Hour:
		card.Before = fmt.Sprintf("%s said no to the same %s.", NameOf(before.By), ago(before.Answered, p.Now()))
	}
	raw, err := json.Marshal(card)
	if err != nil {
		a.Err = asError(err)
		return a
	}
	x := &p.txn
	n.Request, n.Client, n.Why, n.Rules, n.Subjects, n.Payload, n.Card = x.Request, x.Client, x.Why, x.Rules, x.Subjects, x.Payload, raw
	if err := p.Ledger.Ask(ctx, n); err != nil {
		a.Err = p.storeFault(ctx, err)
		return a
	}
	return a.pending(p.Payload.Action, &Pending{Grant: n.ID, Card: card, Inbox: n.Inbox, New: true})
}

// same gives the card of a question that is open in the inbox, where n would be the very same one.
func (p *pass) same(open, n *ledger.Grant) (card Card, ok bool) {
	if !n.Inbox || !open.Inbox || p.Again || !open.Open(p.Now().Add(foldAbove)) || open.Policy != n.Policy || open.Reach != n.Reach ||
		open.Repeats != n.Repeats || open.Needs != n.Needs {
		return card, false
	}
	return card, json.Unmarshal(open.Card, &card) == nil
}

// pending answers that a person is due.
func (a Answer) pending(action *schemas.Action, q *Pending) Answer {
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
	Yes bool
	// People is the number of people that they stated; it must be the card's, where that asks for it.
	People int
	// By says who answered, and how.
	By string
	// Note is what they said to it, for whoever asked.
	Note string
	// Quick says that they answered sooner than the card can be read.
	Quick bool
}

// Record keeps the answer to the question c.Grant that the caller's own person
// gave it. The error says why the answer does not count; where only the number
// of people is wrong, the question is withdrawn: whoever states another number
// has not read the card.
func (g *Gate) Record(ctx context.Context, c Call, r Reply) *schemas.Error {
	p := g.pass(c)
	if err := p.load(ctx); err != nil {
		return g.storeFault(ctx, err)
	}
	if p.given.Inbox {
		return &schemas.Error{Outcome: schemas.Denied, Message: "this question is answered in the inbox and nowhere else; nothing ran", Next: "tell the person to answer it there"}
	}
	state := ledger.Refused
	if r.Yes {
		state = ledger.Granted
		if fault := p.stated(ctx, r.People); fault != nil {
			return fault
		}
	}
	if err := g.Ledger.Answer(ctx, p.bound(), ledger.Reply{State: state, By: r.By, Note: r.Note}); err != nil && !replayed(r.Yes, err) {
		return g.storeFault(ctx, err)
	}
	return nil
}

// stated says what is wrong with the number of people that somebody stated.
func (p *pass) stated(ctx context.Context, people int) *schemas.Error {
	if !recipients.Rings(p.Payload.Action) || p.given.Action != p.txn.Action || p.given.State != ledger.Waiting {
		return nil // or it is not its question, or no question any more, which the ledger says when it is answered
	}
	var card Card
	if json.Unmarshal(p.given.Card, &card) != nil {
		return cardGone()
	}
	if card.People == 0 || card.People == people {
		return nil
	}
	fault := &schemas.Error{Outcome: schemas.Declined,
		Message: fmt.Sprintf("the yes did not state how many people would be rung (%d), so it does not count; nothing ran", card.People),
		Next:    "tell the person how many it reaches; call again if they still want it"}
	p.revoke(ctx, fault)
	return fault
}

func cardGone() *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: "the card of the question is gone, with somebody whose data was erased; nothing ran",
		Next: "call again, and the person is asked anew"}
}

// replayed: an answer that comes again after it was used. Do says how the call ended.
func replayed(yes bool, err error) bool { return yes && errors.Is(err, ledger.ErrGrantSpent) }

// Withdraw takes back a question that nobody can be asked, or nobody answered.
// Its error, where there is one, is what the caller should hear instead: that
// nobody knows how the same call ended before.
func (g *Gate) Withdraw(ctx context.Context, c Call) *schemas.Error {
	ctx = context.WithoutCancel(ctx)
	p := g.pass(c)
	fault := &schemas.Error{Outcome: schemas.Denied}
	p.revoke(ctx, nil)
	p.note(Answer{Err: fault}, 0)
	if prior, err := p.prior(ctx); err == nil && prior != nil && prior.State == ledger.Unknown {
		return p.priorFault(prior)
	}
	return nil
}

// revoke takes the question back; why is kept for whoever asks what became of it.
func (p *pass) revoke(ctx context.Context, why *schemas.Error) {
	ctx = context.WithoutCancel(ctx)
	r := ledger.Reply{State: ledger.Revoked}
	if why != nil {
		r.Outcome, r.Fault = why.Outcome, faultJSON(why)
	}
	// What has been spent, answered with no or has expired asks nobody any more; a store that fails is another matter.
	err := p.load(ctx)
	if err == nil {
		err = p.Ledger.Answer(ctx, p.bound(), r)
	}
	if err != nil && p.storeFault(ctx, err).Outcome == schemas.Unavailable {
		p.Log.LogAttrs(ctx, slog.LevelError, "a question could not be withdrawn", slog.String("action", p.txn.Action), slog.String("cause", err.Error()))
	}
}

// grant is the grant that the call would spend: what it is bound to.
func (p *pass) grant() ledger.Grant {
	x := &p.txn
	return ledger.Grant{ID: x.Grant, Principal: x.Principal, Credential: x.Credential, Upstream: x.Upstream, Action: x.Action,
		Hash: x.Hash, Policy: x.Policy, Reach: x.Reach}
}

// load reads the question that is being answered, once.
func (p *pass) load(ctx context.Context) (err error) {
	if p.given.ID == "" {
		p.given, err = p.Ledger.Grant(ctx, p.Grant)
	}
	return err
}

// bound is the grant of the question that is being answered, once it is loaded. Whom the call reaches is not looked up
// for an answer: that is compared before it runs, so the question's own word is taken.
func (p *pass) bound() ledger.Grant {
	g := p.grant()
	g.ID = p.Grant
	if recipients.Rings(p.Payload.Action) {
		g.Reach = p.given.Reach
	}
	return g
}

// refused answers a call whose grant does not fit.
func (p *pass) refused(ctx context.Context, prior *ledger.Intent, err error) Answer {
	if prior == nil {
		return Answer{Err: p.storeFault(ctx, err)}
	}
	mine := prior.Grant == p.Grant // its own yes was spent, so this is the same request coming again
	asked := p.policy.Mildest(p.Payload.Action, p.Caller.rules()).Decision >= rules.Confirm
	switch {
	case mine && prior.State == ledger.Succeeded:
		return Answer{}.recorded(prior)
	case mine, prior.State == ledger.Unknown && !asked:
		// A person was asked only because nobody knows how the same call ended.
		return Answer{Err: p.priorFault(prior)}
	}
	return Answer{Err: p.storeFault(ctx, err)}
}
