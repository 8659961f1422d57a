package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ask stores the question and gives its card. prior is an earlier run of the
// same that the card must tell of; nil where there is none.
func (g *Gate) ask(ctx context.Context, c Call, x *ledger.Txn, a Answer, prior *ledger.Intent) Answer {
	n := g.grant(x)
	n.ID, n.Expires = ledger.NewID(), g.Now().Add(g.Wait)
	card := newCard(c, a.Verdict, n.Expires, g.Simulated)
	if prior != nil {
		n.Repeats, card.Before = prior.ID, earlier(c.Payload.Action, prior, g.Now())
	}
	raw, err := json.Marshal(card)
	if err != nil {
		a.Err = asError(err)
		return a
	}
	n.Request, n.Client, n.Needs, n.Why, n.Subjects, n.Payload, n.Card = x.Request, x.Client, x.Decision, x.Why, x.Subjects, x.Payload, raw
	if err := g.Ledger.Ask(ctx, n); err != nil {
		a.Err = g.storeFault(ctx, err)
		return a
	}
	a.Pending = &Pending{Grant: n.ID, Card: card}
	a.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("a person must agree before %s runs; nothing ran", c.Payload.Action.Name),
		Next:    "ask the person, then call again with their answer"}
	return a
}

// Record keeps a person's answer to the question c.Grant. by says who
// answered and how. The error says why the answer does not count.
func (g *Gate) Record(ctx context.Context, c Call, yes bool, by string) *schemas.Error {
	state := ledger.Refused
	if yes {
		state = ledger.Granted
	}
	if err := g.Ledger.Answer(ctx, g.bound(c), state, by); err != nil && !replayed(yes, err) {
		return g.storeFault(ctx, err)
	}
	return nil
}

// replayed: an answer that comes again after it was used. Do says how the call ended.
func replayed(yes bool, err error) bool { return yes && errors.Is(err, ledger.ErrGrantSpent) }

// Withdraw takes back a question that nobody can be asked, or nobody answered.
// Its error, where there is one, is what the caller should hear instead: that
// nobody knows how the same call ended before.
func (g *Gate) Withdraw(ctx context.Context, c Call) *schemas.Error {
	ctx = context.WithoutCancel(ctx)
	v := g.Policy.Decide(c.Payload.Action)
	x := g.txn(c, v)
	x.Grant = c.Grant
	g.revoke(ctx, x)
	if v.Decision >= Confirm {
		return nil
	}
	if prior, err := g.prior(ctx, x); err == nil && prior != nil && prior.State == ledger.Unknown {
		return g.priorFault(c.Payload.Action, prior)
	}
	return nil
}

func (g *Gate) revoke(ctx context.Context, x *ledger.Txn) {
	// What has been spent, answered with no or has expired asks nobody any more; a store that fails is another matter.
	err := g.Ledger.Answer(context.WithoutCancel(ctx), g.grant(x), ledger.Revoked, "")
	if err != nil && g.storeFault(ctx, err).Outcome == schemas.Unavailable {
		g.Log.LogAttrs(ctx, slog.LevelError, "a question could not be withdrawn", slog.String("action", x.Action), slog.String("cause", err.Error()))
	}
}

func (g *Gate) bound(c Call) ledger.Grant {
	x := g.txn(c, Verdict{})
	x.Grant = c.Grant
	return g.grant(x)
}

// grant is the grant that the call would spend: what it is bound to.
func (g *Gate) grant(x *ledger.Txn) ledger.Grant {
	return ledger.Grant{ID: x.Grant, Principal: x.Principal, Credential: x.Credential, Upstream: x.Upstream, Action: x.Action, Hash: x.Hash, Policy: x.Policy}
}

// refused answers a call whose grant does not fit.
func (g *Gate) refused(ctx context.Context, c Call, a Answer, prior *ledger.Intent, err error) Answer {
	switch {
	case prior != nil && prior.Grant == c.Grant && prior.State == ledger.Succeeded:
		// Its own yes was spent, so this is the same request coming again.
		return a.recorded(prior)
	case prior != nil && prior.State == ledger.Unknown && (prior.Grant == c.Grant || a.Verdict.Decision < Confirm):
		a.Err = g.priorFault(c.Payload.Action, prior)
	default:
		a.Err = g.storeFault(ctx, err)
	}
	return a
}
