package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// stopped says why nothing of this kind goes on now: a person stopped
// everything, or the ledger fails. nil where it goes on.
func (p *pass) stopped(ctx context.Context) *schemas.Error {
	a := p.Payload.Action
	if a.Class == schemas.Read {
		if err := p.Ledger.Trouble(); err != nil && !p.policy.UnrecordedReads() {
			return p.storeFault(ctx, err)
		}
		return nil
	}
	if a.Name == ledger.HangUp {
		return nil
	}
	f, err := p.Ledger.Frozen(ctx)
	if err == nil && f != nil {
		err = &ledger.FrozenError{Frozen: *f}
	}
	if err != nil {
		return p.storeFault(ctx, err)
	}
	return nil
}

// prior is an earlier run of the same that stands in the way; nil where none does.
func (p *pass) prior(ctx context.Context) (*ledger.Intent, error) {
	if p.txn.Class == schemas.Read || p.txn.Action == ledger.HangUp {
		return nil, nil
	}
	return p.Ledger.Prior(ctx, p.txn)
}

// recorded answers with what came of the same call before.
func (a Answer) recorded(prior *ledger.Intent) Answer {
	a.Prior, a.Data, a.Err = prior, prior.Result, nil
	if a.Data == nil {
		a.Data = json.RawMessage("null")
	}
	return a
}

// uncommitted answers a call that the ledger refused: nothing was sent.
func (p *pass) uncommitted(ctx context.Context, a Answer, err error) Answer {
	var before *ledger.PriorError
	if !errors.As(err, &before) {
		a.Err = p.storeFault(ctx, err)
		if errors.Is(err, ledger.ErrGrantDrift) {
			p.revoke(ctx, a.Err)
		}
		return a
	}
	// The same ran between the look before and now.
	prior, err := p.Ledger.Intent(ctx, before.Prior.ID)
	if err != nil {
		a.Err = p.storeFault(ctx, err)
		return a
	}
	p.overtaken(ctx, &prior)
	if prior.State == ledger.Succeeded {
		return a.recorded(&prior)
	}
	a.Err = p.priorFault(&prior)
	return a
}

// overtaken takes back the yes of a call of which the same was sent meanwhile: it was given without knowing of that.
func (p *pass) overtaken(ctx context.Context, prior *ledger.Intent) {
	if p.Grant != "" && prior.Grant != p.Grant {
		p.revoke(ctx, &schemas.Error{Outcome: schemas.Denied, Message: "the same " + prior.Action + " was sent while the person was asked, so their yes was not used",
			Next: "call again if it is meant a second time, and the person is told of the first"})
	}
}

// priorFault answers a call of which the same is in flight, or may have run.
func (p *pass) priorFault(prior *ledger.Intent) *schemas.Error {
	a, now := p.Payload.Action, p.Now()
	if prior.State == ledger.Unknown {
		return p.unknown(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: fmt.Sprintf("the same %s was sent %s and nobody knows whether it ran; it was not sent again", a.Name, ago(prior.Prepared, now))}, prior.ID)
	}
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Intent: prior.ID,
		Message: fmt.Sprintf("the same %s was sent %s and is still running; it was not sent again", a.Name, ago(prior.Prepared, now)),
		Next:    "wait for the answer to the first call; do not repeat it"}
}

// unknown completes an error of a call that may have run: which attempt, and how to find out.
func (p *pass) unknown(e *schemas.Error, intent string) *schemas.Error {
	out := *e
	out.Intent = intent
	look := "do not repeat it: "
	if list := p.Payload.Action.ShownBy(); list != "" {
		look += "see with " + list + " whether it took effect, "
	}
	sandbox := ""
	if p.Simulated {
		sandbox = " --sandbox"
	}
	out.Next = look + "and tell the person, who closes it with `sippet-mcp audit resolve " + intent + sandbox + " --as succeeded|failed --note TEXT`"
	return &out
}

// earlier tells a person of the earlier run, for the card.
func earlier(a *schemas.Action, prior *ledger.Intent, now time.Time) string {
	if prior.State == ledger.Succeeded {
		return fmt.Sprintf("The same was done %s. Yes does it once more.", ago(prior.Settled, now))
	}
	s := fmt.Sprintf("The same was sent %s, and nobody knows whether it ran. Yes may do it twice.", ago(prior.Prepared, now))
	if list := a.ShownBy(); list != "" {
		s += " Look first: " + list + " shows whether it took effect."
	}
	return s
}

func ago(then, now time.Time) string {
	switch d := now.Sub(then); {
	case d < time.Minute:
		return fmt.Sprintf("%d seconds ago", max(0, int(d.Seconds())))
	case d < 2*time.Minute:
		return "a minute ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return "on " + then.UTC().Format("2 January 2006")
}
