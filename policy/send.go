package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// handoverValidFor is how long a credential that an action issued waits for the person who approved
// it.
const handoverValidFor = 15 * time.Minute

// send commits the call, runs it, and settles its outcome. A read that nobody had to approve, and
// that no budget counts, needs no intent.
func (at *attempt) send(ctx context.Context, res Result) Result {
	action := at.Payload.Action
	if res.Err = at.startReading(ctx, at.verdict.Reading); res.Err != nil {
		return res
	}
	if action.Class == schemas.Read && at.txn.ApprovalID == "" && len(at.txn.Debits) == 0 {
		answer, fault := at.runUpstream(ctx, at.turn(), at.Payload, action.Deadline())
		res.Data, res.Err, res.status = answer.Data, fault, answer.Status
		return res
	}
	// A client that disconnects must not leave a write with an unknown outcome behind. Package rpc
	// has its own deadline.
	client := ctx
	ctx = context.WithoutCancel(ctx)
	at.txn.Replaced = at.readReplaced(ctx)
	intent, err := at.Ledger.Commit(ctx, at.txn)
	if err != nil {
		return at.commitFailed(ctx, res, err)
	}
	res.intent = true
	began, turn := time.Now(), at.turn()
	turn.recheck = func(ctx context.Context) *schemas.Error { return at.recheck(ctx, client) }
	answer, fault := at.runUpstream(ctx, turn, at.Payload, action.Deadline())
	res.Data, res.Err, res.status = answer.Data, fault, answer.Status
	end := ledger.Settlement{Intent: intent.ID, State: intentState(res.Err, answer.Sent), Sent: answer.Sent, Status: answer.Status,
		Outcome: res.Outcome(), Latency: time.Since(began)}
	switch {
	case action.Class == schemas.Read:
		// The result of a read is not stored: it is not sealed under the keys of the people in it,
		// and never repeated.
	case action.Class != schemas.Credential:
		end.Result = res.Data
	case end.State == ledger.Succeeded:
		// The credential goes to the person who approved it, and nowhere else.
		end.Handover, end.HandoverUntil = res.Data, at.Now().Add(handoverValidFor)
		res.HandoverUntil = end.HandoverUntil
	}
	if action.Class == schemas.Credential {
		res.Data = json.RawMessage("null")
	}
	if end.State == ledger.Succeeded {
		end.CreatedSubject, end.Erased = at.Payload.Created(res.Data), at.Payload.Erases()
	} else if at.txn.ApprovalID != "" && res.Err != nil {
		end.Fault = ledger.EncodeError(res.Err)
	}
	if res.Err != nil && res.Err.Outcome == schemas.OutcomeUnknown {
		res.Err = at.unknownOutcome(res.Err, intent.ID)
	}
	return at.settle(ctx, res, end)
}

// recheck returns why a call that waited for its turn must not run any more: an emergency stop began, or
// the client left before anybody approved it.
func (at *attempt) recheck(ctx, client context.Context) *schemas.Error {
	switch {
	case at.txn.Safe:
		return nil
	case at.txn.ApprovalID == "" && client.Err() != nil && at.Payload.Action.Name != ledger.HangUp:
		return &schemas.Error{Outcome: schemas.UpstreamUnavailable, Err: client.Err(),
			Message: at.Payload.Action.Name + " was cancelled while it waited for its turn", Next: "nothing was sent; call again if it is still wanted"}
	}
	return at.checkStopped(ctx)
}

// settle stores the outcome. If it cannot be stored, the caller gets outcome_unknown: the next
// process would say the same.
func (at *attempt) settle(ctx context.Context, res Result, end ledger.Settlement) Result {
	err := at.Ledger.Settle(ctx, end)
	if err == nil {
		return res
	}
	at.Log.LogAttrs(ctx, slog.LevelError, "the outcome of a call could not be recorded", slog.String("action", at.Payload.Action.Name),
		slog.String("intent", end.Intent), slog.String("outcome", string(end.Outcome)), slog.String("cause", err.Error()))
	if res.Err == nil || res.Err.Outcome != schemas.OutcomeUnknown {
		res.Data, res.Err = nil, at.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: at.Payload.Action.Name + " was sent, but its outcome could not be recorded", Err: err}, end.Intent)
	}
	return res
}

// intentState derives an intent's state from what the transport knows.
func intentState(e *schemas.Error, sent bool) ledger.IntentState {
	switch {
	case e == nil:
		return ledger.Succeeded
	case e.Outcome == schemas.OutcomeUnknown:
		return ledger.Unknown
	case !sent:
		return ledger.NotSent
	case e.Outcome == schemas.UpstreamError, e.Outcome == schemas.ValidationFailed:
		return ledger.Failed
	}
	return ledger.Unknown
}

// readReplaced reads what an update is about to overwrite, so that it can be undone. It returns nil
// if nothing is overwritten or the read fails: the update is allowed all the same.
func (at *attempt) readReplaced(ctx context.Context) json.RawMessage {
	before := at.Payload.BeforeRead()
	if before == nil {
		return nil
	}
	res, fault := at.runUpstream(ctx, at.turn(), before, recordDeadline)
	if fault != nil {
		at.Log.LogAttrs(ctx, slog.LevelWarn, "the values that an update replaces could not be read, so it cannot be undone",
			slog.String("action", at.Payload.Action.Name), slog.String("cause", fault.Error()))
		return nil
	}
	return at.Payload.Replaced(res.Data)
}

// What an event may keep in memory until it is written, in bytes.
const (
	maxEventPayload = 16 << 10 // of a payload; a longer one is not recorded
	maxScanLater    = 16 << 10 // of an answer; a longer one is scanned for subjects at once
)

// recordEvent records a call without an intent: a read, or a call that did not run. A call with a
// record of its own, or the outcome of an earlier call, gets none.
func (at *attempt) recordEvent(res Result, took time.Duration) {
	if res.Pending != nil && at.txn.Shadow == "" || res.intent && at.txn.Class != schemas.Read || res.Approval.ID != "" {
		return
	}
	e := ledger.Event{Call: at.txn.Call, Outcome: res.Outcome(), Status: res.status, Latency: took, Debits: at.taken, Validated: at.tested}
	if len(e.Payload) > maxEventPayload {
		e.Payload = nil
	}
	if payload, data := at.Payload, res.Data; !at.tested && res.Err == nil && at.txn.Class == schemas.Read {
		e.FindSubjects = func() ([]string, []string) { return payload.Returned(data) }
		if len(data) > maxScanLater {
			subjects, erased := payload.Returned(data)
			e.FindSubjects = func() ([]string, []string) { return subjects, erased }
		}
	}
	at.Ledger.RecordEvent(e)
}

func (at *attempt) log(ctx context.Context, res Result) {
	level := slog.LevelInfo
	switch {
	case res.Outcome() == schemas.Unavailable:
		level = slog.LevelError
	case at.Payload.Action.Class == schemas.Read && res.Err == nil:
		level = slog.LevelDebug
	}
	if !at.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("action", at.Payload.Action.Name), slog.String("outcome", string(res.Outcome())),
		slog.String("decision", res.Verdict.Decision.String()), slog.String("caller", at.Actor.String()), slog.String("request", at.Request)}
	if res.Err != nil && res.Err.Err != nil {
		attrs = append(attrs, slog.String("cause", res.Err.Err.Error()))
	}
	at.Log.LogAttrs(ctx, level, "call", attrs...)
}
