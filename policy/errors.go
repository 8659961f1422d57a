package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// unexpected is the error for a failure that cannot happen. Nothing is known about it, so the call
// counts as unknown.
func unexpected(err error) *schemas.Error {
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "an unexpected error",
		Next: "do not repeat it; see the server's log", Err: err}
}

// ledgerError explains the ledger's error to the caller. The text of a store error names files; it
// goes to the log only.
func (g *Gate) ledgerError(ctx context.Context, err error) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error() + "; nothing ran",
		Next: "call again without requestState, and the person is asked again", Err: err}
	var stopped *ledger.StoppedError
	var limit *ledger.LimitError
	var pending *ledger.PendingError
	var paused *ledger.PausedError
	switch {
	case errors.As(err, &limit):
		e.Outcome, e.Message, e.RetryAfter = schemas.LimitExceeded, limit.Error()+"; nothing ran", limit.RetryAfter
		e.Next = "do not try again before then; tell the person that the budget is used up"
		if limit.RetryAfter == 0 {
			e.Next = "do not try again: it costs more than the budget ever holds; do less at once, or tell the person"
		}
	case errors.As(err, &paused):
		e.Outcome, e.RetryAfter = schemas.LimitExceeded, paused.Until.Sub(g.Now())
		e.Next = "do not ask for this action again before then, in no other way either: ask the person what they want instead; they can lift the pause in the inbox"
	case errors.As(err, &stopped):
		e.Outcome, e.Message = schemas.Stopped, fmt.Sprintf("%s stopped %s %s: %s; nothing ran",
			approval.PersonName(stopped.By), stopped.StopScope, approval.Ago(stopped.At, g.Now()), stopped.Continues())
		if stopped.Note != "" {
			e.Message += " (their note: " + schemas.Escape(stopped.Note, 300) + ")"
		}
		e.Next = "do not try again; tell the person: only an admin can resume, in the inbox or with `sippet-mcp resume`"
	case errors.Is(err, ledger.ErrRecipientsChanged):
		e.Next = "call again, and the person is asked again"
	case errors.Is(err, ledger.ErrKeyMoved):
		e.Outcome, e.Next = schemas.Unavailable, "tell the person to start this server again"
	case errors.Is(err, ledger.ErrTokenRevoked):
		e.Message, e.Next = "the token of this caller was revoked; nothing ran", "tell the person, who can ask for another token"
	case errors.Is(err, ledger.ErrApprovalDeclined):
		e.Outcome, e.Next = schemas.Declined, "do not ask again for the same; ask the person what they want instead"
	case errors.Is(err, ledger.ErrApprovalPending):
		e.Outcome, e.Next = schemas.ApprovalPending, "wait for the person's answer"
	case errors.As(err, &pending):
		e.Outcome = schemas.LimitExceeded
		e.Next = "do not repeat it before some are answered: tell the person that they wait in the inbox"
		if pending.Requester {
			e.Next += "; calls of another kind can still be asked for"
		}
	case errors.Is(err, ledger.ErrNoApproval), errors.Is(err, ledger.ErrApprovalExpired), errors.Is(err, ledger.ErrApprovalUsed),
		errors.Is(err, ledger.ErrApprovalRevoked), errors.Is(err, ledger.ErrApprovalMismatch):
	case errors.Is(err, ledger.ErrApprovalErased):
		return approval.CardErased()
	case ctx.Err() != nil:
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "the call was cancelled; nothing ran", "call again if it is still wanted"
	default:
		what := "cannot be used"
		var store *ledger.StoreError
		if errors.As(err, &store) {
			what += " (" + strings.ReplaceAll(string(store.Kind), "_", " ") + ")"
		}
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "this server's ledger "+what+"; nothing ran", "tell the person to read the server's log, which says what to do"
		if store != nil && store.Kind == ledger.DiskFull {
			e.Next = "tell the person to free space on the server's disk; calls work again by themselves then"
		}
	}
	return e
}

// whyErased is why a call that would change an erased record is denied, whatever the policy decides.
const whyErased = "the record is erased, and an erased record cannot be changed"

// deniedError is the error for a call that the policy does not let run.
func deniedError(action *schemas.Action, v rules.Verdict) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s is not allowed here; nothing ran", action.Name)}
	switch {
	case v.Why == whyErased:
		e.Next = "do not try again; tell the person that the data of this record is gone"
	case action.Class == schemas.Credential:
		e.Next = "tell the person to do this in Sippet itself: a credential must not pass through an AI"
	default:
		e.Next = "do not try again; tell the person, who decides with the server's --policy what it may do"
	}
	e.Message += " (" + v.Why + ")"
	return e
}
