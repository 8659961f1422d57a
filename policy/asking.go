package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/reach"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ask stores the question and gives its card. prior is an earlier run of the
// same that the card must tell of; nil where there is none.
func (p *pass) ask(ctx context.Context, a Answer, prior *ledger.Intent) Answer {
	n := p.grant()
	n.ID, n.Expires = ledger.NewID(), p.Now().Add(p.Wait)
	card := p.card(n.Expires)
	if prior != nil {
		n.Repeats, card.Before = prior.ID, earlier(p.Payload.Action, prior, p.Now())
	}
	raw, err := json.Marshal(card)
	if err != nil {
		a.Err = asError(err)
		return a
	}
	x := &p.txn
	n.Request, n.Client, n.Needs, n.Why, n.Rules, n.Subjects, n.Payload, n.Card = x.Request, x.Client, x.Decision, x.Why, x.Rules, x.Subjects, x.Payload, raw
	if err := p.Ledger.Ask(ctx, n); err != nil {
		a.Err = p.storeFault(ctx, err)
		return a
	}
	a.Pending = &Pending{Grant: n.ID, Card: card}
	a.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("a person must agree before %s runs; nothing ran", p.Payload.Action.Name),
		Next:    "ask the person, then call again with their answer"}
	return a
}

// Reply is what a person said to a card.
type Reply struct {
	Yes bool
	// People is the number of people that they stated; it must be the card's, where that asks for it.
	People int
	// By says who answered, and how.
	By string
}

// Record keeps a person's answer to the question c.Grant. The error says why
// the answer does not count; where only the number of people is wrong, the
// question is withdrawn: whoever states another number has not read the card.
func (g *Gate) Record(ctx context.Context, c Call, r Reply) *schemas.Error {
	p := g.pass(c)
	state := ledger.Refused
	if r.Yes {
		state = ledger.Granted
		if fault := p.stated(ctx, r.People); fault != nil {
			return fault
		}
	}
	if err := g.Ledger.Answer(ctx, p.bound(ctx), state, r.By); err != nil && !replayed(r.Yes, err) {
		return g.storeFault(ctx, err)
	}
	return nil
}

// stated says what is wrong with the number of people that somebody stated.
func (p *pass) stated(ctx context.Context, people int) *schemas.Error {
	if !reach.Rings(p.Payload.Action) {
		return nil
	}
	stored, err := p.Ledger.Grant(ctx, p.Grant)
	if err != nil {
		return p.storeFault(ctx, err)
	}
	var card Card
	switch {
	case stored.Action != p.txn.Action:
		return nil // not its question, which the ledger says when it is answered
	case json.Unmarshal(stored.Card, &card) != nil:
		return &schemas.Error{Outcome: schemas.Denied, Message: "the card of the question is gone, with somebody whose data was erased; nothing ran",
			Next: "call again, and the person is asked anew"}
	}
	if card.People == 0 || card.People == people {
		return nil
	}
	p.revoke(ctx)
	return &schemas.Error{Outcome: schemas.Declined,
		Message: fmt.Sprintf("the yes did not state how many people would be rung (%d), so it does not count; nothing ran", card.People),
		Next:    "tell the person how many it reaches; call again if they still want it"}
}

// replayed: an answer that comes again after it was used. Do says how the call ended.
func replayed(yes bool, err error) bool { return yes && errors.Is(err, ledger.ErrGrantSpent) }

// Withdraw takes back a question that nobody can be asked, or nobody answered.
// Its error, where there is one, is what the caller should hear instead: that
// nobody knows how the same call ended before.
func (g *Gate) Withdraw(ctx context.Context, c Call) *schemas.Error {
	ctx = context.WithoutCancel(ctx)
	p := g.pass(c)
	p.revoke(ctx)
	p.note(Answer{Err: &schemas.Error{Outcome: schemas.Denied}}, 0)
	if prior, err := p.prior(ctx); err == nil && prior != nil && prior.State == ledger.Unknown {
		return p.priorFault(prior)
	}
	return nil
}

func (p *pass) revoke(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	// What has been spent, answered with no or has expired asks nobody any more; a store that fails is another matter.
	err := p.Ledger.Answer(ctx, p.bound(ctx), ledger.Revoked, "")
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

// bound is the grant of the question that is being answered. Whom the call reaches is not looked up for an answer: that
// is compared before it runs, so the question's own word is taken.
func (p *pass) bound(ctx context.Context) ledger.Grant {
	g := p.grant()
	g.ID = p.Grant
	if reach.Rings(p.Payload.Action) {
		if stored, err := p.Ledger.Grant(ctx, p.Grant); err == nil {
			g.Reach = stored.Reach
		}
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
