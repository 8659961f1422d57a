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

// checkStopped says why nothing of this kind goes on now: a person stopped
// everything, or the ledger fails. nil where it goes on.
func (p *attempt) checkStopped(ctx context.Context) *schemas.Error {
	a := p.Payload.Action
	if a.Class == schemas.Read {
		if err := p.Ledger.StoreError(); err != nil && !p.policy.UnrecordedReads() {
			return p.ledgerError(ctx, err)
		}
		return nil
	}
	if a.Name == ledger.HangUp {
		return nil
	}
	f, err := p.Ledger.CurrentStop(ctx)
	if err == nil && f != nil {
		err = &ledger.StoppedError{EmergencyStop: *f}
	}
	if err != nil {
		return p.ledgerError(ctx, err)
	}
	return nil
}

// findConflicting is an earlier run of the same that stands in the way; nil where none does.
func (p *attempt) findConflicting(ctx context.Context) (*ledger.Intent, error) {
	if p.txn.Class == schemas.Read || p.txn.Action == ledger.HangUp {
		return nil, nil
	}
	return p.Ledger.FindConflicting(ctx, p.txn)
}

// recorded answers with what came of the same call before.
func (a Result) recorded(previous *ledger.Intent) Result {
	a.Previous, a.Data, a.Err = previous, previous.Result, nil
	if a.Data == nil {
		a.Data = json.RawMessage("null")
	}
	return a
}

// commitFailed answers a call that the ledger refused: nothing was sent.
func (p *attempt) commitFailed(ctx context.Context, a Result, err error) Result {
	var before *ledger.ConflictError
	if !errors.As(err, &before) {
		a.Err = p.ledgerError(ctx, err)
		if errors.Is(err, ledger.ErrRecipientsChanged) {
			p.revoke(ctx, a.Err)
		}
		return a
	}
	// The same ran between the look before and now.
	previous, err := p.Ledger.Intent(ctx, before.Intent.ID)
	if err != nil {
		a.Err = p.ledgerError(ctx, err)
		return a
	}
	p.revokeOvertaken(ctx, &previous)
	if previous.State == ledger.Succeeded {
		return a.recorded(&previous)
	}
	a.Err = p.conflictError(&previous)
	return a
}

// revokeOvertaken takes back the yes of a call of which the same was sent meanwhile: it was given without knowing of that.
func (p *attempt) revokeOvertaken(ctx context.Context, previous *ledger.Intent) {
	if p.ApprovalID != "" && previous.ApprovalID != p.ApprovalID {
		p.revoke(ctx, &schemas.Error{Outcome: schemas.Denied, Message: "the same " + previous.Action + " was sent while the person was asked, so their yes was not used",
			Next: "call again if it is meant a second time, and the person is told of the first"})
	}
}

// conflictError answers a call of which the same is in flight, or may have run.
func (p *attempt) conflictError(previous *ledger.Intent) *schemas.Error {
	a, now := p.Payload.Action, p.Now()
	if previous.State == ledger.Unknown {
		return p.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: fmt.Sprintf("the same %s was sent %s and nobody knows whether it ran; it was not sent again", a.Name, ago(previous.Prepared, now))}, previous.ID)
	}
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Intent: previous.ID,
		Message: fmt.Sprintf("the same %s was sent %s and is still running; it was not sent again", a.Name, ago(previous.Prepared, now)),
		Next:    "wait for the answer to the first call; do not repeat it"}
}

// unknownOutcome completes an error of a call that may have run: which attempt, and how to find out.
func (p *attempt) unknownOutcome(e *schemas.Error, intent string) *schemas.Error {
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

// previousRunLine tells a person of the earlier run, for the card.
func previousRunLine(a *schemas.Action, previous *ledger.Intent, now time.Time) string {
	if previous.State == ledger.Succeeded {
		return fmt.Sprintf("The same was done %s. Yes does it once more.", ago(previous.Settled, now))
	}
	s := fmt.Sprintf("The same was sent %s, and nobody knows whether it ran. Yes may do it twice.", ago(previous.Prepared, now))
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
