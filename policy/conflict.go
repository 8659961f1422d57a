package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// checkStopped returns why no such call may run now: an emergency stop that covers it, or a failure of
// the ledger. nil if it may.
func (at *attempt) checkStopped(ctx context.Context) *schemas.Error {
	action := at.Payload.Action
	if action.Class == schemas.Read {
		return at.checkRecorded(ctx)
	}
	if at.txn.Safe || action.Name == ledger.HangUp {
		return nil
	}
	stops, err := at.Ledger.CurrentStops(ctx)
	if err != nil {
		return at.ledgerError(ctx, err)
	}
	if stop := ledger.FindStop(stops, at.Actor, action.EffectKind); stop != nil {
		return at.ledgerError(ctx, &ledger.StoppedError{EmergencyStop: *stop})
	}
	return nil
}

// maxUnrecorded is how long a policy may allow reads while the audit log cannot be written.
const maxUnrecorded = 5 * time.Minute

// checkRecorded returns why a call that leaves no intent may not run now: it could not be recorded.
// nil if it can, or if the policy allows it for a while without a record.
func (at *attempt) checkRecorded(ctx context.Context) *schemas.Error {
	err := at.Ledger.StoreError()
	if err == nil || at.policy.UnrecordedReads() && at.Now().Sub(at.Ledger.FailingSince()) < maxUnrecorded {
		return nil
	}
	fault := at.ledgerError(ctx, err)
	if at.policy.UnrecordedReads() {
		fault.Message += ": for five minutes reads ran without a record, and now they wait until it can be written"
	}
	return fault
}

// findConflicting returns a previous run of the same call that prevents this one; nil without one.
func (at *attempt) findConflicting(ctx context.Context) (*ledger.Intent, error) {
	if at.txn.Class == schemas.Read || at.txn.Safe || at.txn.Action == ledger.HangUp {
		return nil, nil
	}
	return at.Ledger.FindConflicting(ctx, at.txn)
}

// findUnknown finds a call by anybody in the organisation that does the same to one of the people
// whom this call affects, and whose outcome is unknown. previous is the earlier run of this call.
func (at *attempt) findUnknown(ctx context.Context, previous *ledger.Intent) error {
	if at.txn.EffectKind == "" {
		return nil
	}
	at.txn.Affects = at.Payload.Affects()
	if at.recipients != nil {
		at.txn.Affects = at.recipients.AppendSubjects(at.txn.Affects)
	}
	found, err := at.Ledger.FindUnknown(ctx, at.txn)
	if err == nil && found != nil && (previous == nil || previous.ID != found.ID) {
		at.unknown = found
	}
	return err
}

// recorded answers with the result of the previous run.
func (r Result) recorded(previous *ledger.Intent) Result {
	r.Previous, r.Data, r.Err = previous, previous.Result, nil
	if r.Data == nil {
		r.Data = json.RawMessage("null")
	}
	return r
}

// commitFailed returns the result of a call that the ledger rejected: nothing was sent.
func (at *attempt) commitFailed(ctx context.Context, res Result, err error) Result {
	var unknown *ledger.UnknownError
	if errors.As(err, &unknown) { // findUnknown looked too early
		at.unknown, at.txn.Decision = &unknown.Intent, rules.Confirm.String()
		return at.ask(ctx, res, rules.Confirm, nil)
	}
	var limit *ledger.LimitError
	if errors.As(err, &limit) && limit.Refill > 0 {
		at.over, at.verdict = limit, at.policy.Over(at.verdict, limit.Budget)
		at.txn.Decision, at.txn.Why, res.Verdict = at.verdict.Decision.String(), at.verdict.Why, at.verdict
		return at.ask(ctx, res, at.verdict.Decision, nil)
	}
	var conflict *ledger.ConflictError
	if !errors.As(err, &conflict) {
		res.Err = at.ledgerError(ctx, err)
		if errors.Is(err, ledger.ErrRecipientsChanged) {
			at.revoke(ctx, res.Err)
		}
		return res
	}
	// The same call ran between findConflicting and Commit.
	previous, err := at.Ledger.Intent(ctx, conflict.Intent.ID)
	if err != nil {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	at.revokeOvertaken(ctx, &previous)
	if previous.State == ledger.Succeeded {
		return res.recorded(&previous)
	}
	res.Err = at.conflictError(&previous)
	return res
}

// revokeOvertaken revokes the approval of a call if the same call was sent meanwhile: the card did
// not mention that run.
func (at *attempt) revokeOvertaken(ctx context.Context, previous *ledger.Intent) {
	if at.ApprovalID != "" && previous.ApprovalID != at.ApprovalID {
		at.revoke(ctx, &schemas.Error{Outcome: schemas.Denied,
			Message: "the same " + previous.Action + " was sent while the request was pending, so the approval was not used",
			Next:    "call again to run it a second time; the new card mentions the first run"})
	}
}

// conflictError is the error for a call if the same call is in flight or may have run.
func (at *attempt) conflictError(previous *ledger.Intent) *schemas.Error {
	action, now := at.Payload.Action, at.Now()
	if previous.State == ledger.Unknown {
		return at.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: fmt.Sprintf("the same %s was sent %s and its outcome is unknown; it was not sent again", action.Name, approval.Ago(previous.Prepared, now))}, previous.ID)
	}
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Intent: previous.ID,
		Message: fmt.Sprintf("the same %s was sent %s and is still running; it was not sent again", action.Name, approval.Ago(previous.Prepared, now)),
		Next:    "wait for the result of the first call; do not repeat it"}
}

// unknownOutcome completes the error of a call that may have run: the intent, and how to find out.
func (at *attempt) unknownOutcome(e *schemas.Error, intent string) *schemas.Error {
	out := *e
	out.Intent = intent
	check := "do not repeat it: "
	if list := at.Payload.Action.ShownBy(); list != "" {
		check += "check with " + list + " whether it took effect, "
	}
	sandbox := ""
	if at.Simulated {
		sandbox = " --sandbox"
	}
	out.Next = check + "and tell the person, who records the outcome with `sippet-mcp audit resolve " + intent + sandbox + " --as succeeded|failed --note TEXT`"
	return &out
}

// unknownWhy says why an unknown outcome needs a person; empty if none does. It names no caller,
// because it may go to another one.
func (at *attempt) unknownWhy(previous *ledger.Intent) string {
	switch {
	case previous != nil && previous.State == ledger.Unknown:
		return fmt.Sprintf("the same call was sent %s and its outcome is unknown", approval.Ago(previous.Prepared, at.Now()))
	case at.unknown != nil:
		return fmt.Sprintf("%s was sent %s for one of the people that this call is about, and its outcome is unknown",
			at.unknown.Action, approval.Ago(at.unknown.Prepared, at.Now()))
	}
	return ""
}
