package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// unexpected makes the project's error of one that cannot happen. Nothing is known of it, so the call counts as unknown.
func unexpected(err error) *schemas.Error {
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "an unexpected error", Next: "do not repeat it; see the server's log", Err: err}
}

// ledgerError says what the ledger's error means for the call. Where the store
// itself fails, its own sentence names files and goes to the log, not to the caller.
func (g *Gate) ledgerError(ctx context.Context, err error) *schemas.Error {
	var f *ledger.StoppedError
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error() + "; nothing ran", Next: "call again without requestState, and the person is asked anew", Err: err}
	var limit *ledger.LimitError
	switch {
	case errors.As(err, &limit):
		e.Outcome, e.Message, e.RetryAfter = schemas.LimitExceeded, limit.Error()+"; nothing ran", limit.RetryAfter
		e.Next = "do not try again before then; tell the person that the budget is spent"
		if limit.RetryAfter == 0 {
			e.Next = "do not try again: it costs more than the budget ever holds; do less at once, or tell the person"
		}
	case errors.As(err, &f):
		e.Outcome, e.Message = schemas.Stopped, fmt.Sprintf("%s stopped everything but reads and hanging up, %s; nothing ran", f.By, ago(f.At, g.Now()))
		if f.Note != "" {
			e.Message += " (their note: " + schemas.Escape(f.Note, 300) + ")"
		}
		e.Next = "do not try again; tell the person, who alone can resume it (`sippet-mcp resume`)"
	case errors.Is(err, ledger.ErrRecipientsChanged):
		e.Message, e.Next = "whom it would ring has changed since the person agreed; nothing ran", "call again, and the person is asked anew"
	case errors.Is(err, ledger.ErrTokenRevoked):
		e.Message, e.Next = "the token of this caller was revoked; nothing ran", "tell the person, who can ask for another"
	case errors.Is(err, ledger.ErrNoApproval):
		e.Message = "no such question was asked; nothing ran"
	case errors.Is(err, ledger.ErrApprovalDeclined):
		e.Outcome, e.Next = schemas.Declined, "do not ask again for the same; ask the person what they want instead"
	case errors.Is(err, ledger.ErrApprovalPending):
		e.Outcome, e.Next = schemas.ApprovalPending, "wait for the person's answer"
	case errors.Is(err, ledger.ErrTooManyPending):
		e.Outcome, e.Next = schemas.Unavailable, "let the person answer what is waiting, then call again"
	case errors.Is(err, ledger.ErrApprovalExpired), errors.Is(err, ledger.ErrApprovalUsed), errors.Is(err, ledger.ErrApprovalRevoked), errors.Is(err, ledger.ErrApprovalMismatch):
	case ctx.Err() != nil:
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "the call was given up; nothing ran", "call again if it is still wanted"
	default:
		what := "cannot be used"
		var t *ledger.StoreError
		if errors.As(err, &t) {
			what += " (" + strings.ReplaceAll(string(t.Kind), "_", " ") + ")"
		}
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "this server's ledger "+what+"; nothing ran", "tell the person to look at the server's log, which says what to do"
	}
	return e
}

// isStoreError reports whether the store failed, and did not merely refuse.
func isStoreError(err error) bool {
	var t *ledger.StoreError
	return errors.As(err, &t)
}

func deniedError(a *schemas.Action, v rules.Verdict) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s is not allowed here; nothing ran", a.Name)}
	switch {
	case v.Decision == rules.Approve:
		e.Message = fmt.Sprintf("%s needs the yes of another person, and this program has no inbox in which to give it; nothing ran", a.Name)
		e.Next = "tell the person, who can do this in Sippet itself"
	case a.Class == schemas.Credential:
		e.Next = "tell the person to do this in Sippet itself: a credential must not pass through an AI"
	default:
		e.Next = "do not try again; tell the person, who decides with the server's --policy what it may do"
	}
	e.Message += " (" + v.Why + ")"
	return e
}
