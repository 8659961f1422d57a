package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// stopped says why nothing of this kind goes on now: a person stopped
// everything, or the ledger fails. nil where it goes on.
func (g *Gate) stopped(ctx context.Context, a *schemas.Action) *schemas.Error {
	if a.Class == schemas.Read {
		if err := g.Ledger.Trouble(); err != nil && !g.Policy.UnrecordedReads {
			return g.storeFault(ctx, err)
		}
		return nil
	}
	if a.Name == ledger.HangUp {
		return nil
	}
	f, err := g.Ledger.Frozen(ctx)
	if err == nil && f != nil {
		err = &ledger.FrozenError{Frozen: *f}
	}
	if err != nil {
		return g.storeFault(ctx, err)
	}
	return nil
}

// prior is an earlier run of the same that stands in the way; nil where none does.
func (g *Gate) prior(ctx context.Context, x *ledger.Txn) (*ledger.Intent, error) {
	if x.Class == schemas.Read || x.Action == ledger.HangUp {
		return nil, nil
	}
	return g.Ledger.Prior(ctx, *x)
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
func (g *Gate) uncommitted(ctx context.Context, c Call, x *ledger.Txn, a Answer, err error) Answer {
	var p *ledger.PriorError
	if !errors.As(err, &p) {
		a.Err = g.storeFault(ctx, err)
		return a
	}
	// The same ran between the look before and now. A yes that was given meanwhile was given without knowing of it.
	prior, err := g.Ledger.Intent(ctx, p.Prior.ID)
	if err != nil {
		a.Err = g.storeFault(ctx, err)
		return a
	}
	if x.Grant != "" && prior.Grant != x.Grant {
		g.revoke(ctx, x)
	}
	if prior.State == ledger.Succeeded {
		return a.recorded(&prior)
	}
	a.Err = g.priorFault(c.Payload.Action, &prior)
	return a
}

// priorFault answers a call of which the same is in flight, or may have run.
func (g *Gate) priorFault(a *schemas.Action, prior *ledger.Intent) *schemas.Error {
	now := g.Now()
	if prior.State == ledger.Unknown {
		return g.unknown(a, &schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: fmt.Sprintf("the same %s was sent %s and nobody knows whether it ran; it was not sent again", a.Name, ago(prior.Prepared, now))}, prior.ID)
	}
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Intent: prior.ID,
		Message: fmt.Sprintf("the same %s was sent %s and is still running; it was not sent again", a.Name, ago(prior.Prepared, now)),
		Next:    "wait for the answer to the first call; do not repeat it"}
}

// unknown completes an error of a call that may have run: which attempt, and how to find out.
func (g *Gate) unknown(a *schemas.Action, e *schemas.Error, intent string) *schemas.Error {
	out := *e
	out.Intent = intent
	look := "do not repeat it: "
	if list := a.ShownBy(); list != "" {
		look += "see with " + list + " whether it took effect, "
	}
	sandbox := ""
	if g.Simulated {
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

// storeFault says what the ledger's error means for the call. Where the store
// itself fails, its own sentence names files and goes to the log, not to the caller.
func (g *Gate) storeFault(ctx context.Context, err error) *schemas.Error {
	var f *ledger.FrozenError
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error() + "; nothing ran", Next: "call again without requestState, and the person is asked anew", Err: err}
	switch {
	case errors.As(err, &f):
		e.Outcome, e.Message = schemas.Frozen, fmt.Sprintf("%s stopped everything but reads and hanging up, %s; nothing ran", f.By, ago(f.At, g.Now()))
		if f.Note != "" {
			e.Message += " (their note: " + schemas.Escape(f.Note, 300) + ")"
		}
		e.Next = "do not try again; tell the person, who alone can resume it (`sippet-mcp resume`)"
	case errors.Is(err, ledger.ErrNoGrant):
		e.Message = "no such question was asked; nothing ran"
	case errors.Is(err, ledger.ErrGrantDenied):
		e.Outcome, e.Next = schemas.Declined, "do not ask again for the same; ask the person what they want instead"
	case errors.Is(err, ledger.ErrGrantWaiting):
		e.Outcome, e.Next = schemas.ApprovalPending, "wait for the person's answer"
	case errors.Is(err, ledger.ErrTooMany):
		e.Outcome, e.Next = schemas.Unavailable, "let the person answer what is waiting, then call again"
	case errors.Is(err, ledger.ErrGrantExpired), errors.Is(err, ledger.ErrGrantSpent), errors.Is(err, ledger.ErrGrantRevoked), errors.Is(err, ledger.ErrGrantOther):
	case ctx.Err() != nil:
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "the call was given up; nothing ran", "call again if it is still wanted"
	default:
		what := "cannot be used"
		var t *ledger.Trouble
		if errors.As(err, &t) {
			what += " (" + strings.ReplaceAll(string(t.Kind), "_", " ") + ")"
		}
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "this server's ledger "+what+"; nothing ran", "tell the person to look at the server's log, which says what to do"
	}
	return e
}

func refusal(a *schemas.Action, v Verdict) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s is not allowed here; nothing ran", a.Name)}
	switch {
	case a.Class == schemas.Credential:
		e.Next = "tell the person to do this in Sippet itself: a credential must not pass through an AI"
	case v.Decision == Approve:
		e.Message = fmt.Sprintf("%s needs the yes of another person, and this version has no place to give it; nothing ran", a.Name)
		e.Next = "tell the person, who can do this in Sippet itself"
	default:
		e.Next = "do not try again; tell the person, who decides what this server may do"
	}
	e.Message += " (" + v.Why + ")"
	return e
}
