package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// HandoverValidFor is how long a credential that an action issued waits for the person who approved
// it.
const HandoverValidFor = 15 * time.Minute

// send commits the call, runs it, and settles its outcome. A read that nobody had to approve, and
// that no budget counts, needs no intent.
func (p *attempt) send(ctx context.Context, a Result) Result {
	action := p.Payload.Action
	if action.Class == schemas.Read && p.txn.ApprovalID == "" && len(p.txn.Debits) == 0 {
		res, fault := p.runUpstream(ctx, p.Payload, action.Deadline())
		a.Data, a.Err, a.status = res.Data, fault, res.Status
		return a
	}
	// A client that disconnects must not leave a write with an unknown outcome behind. Package rpc
	// has its own deadline.
	ctx = context.WithoutCancel(ctx)
	p.txn.Replaced = p.readReplaced(ctx)
	intent, err := p.Ledger.Commit(ctx, p.txn)
	if err != nil {
		return p.commitFailed(ctx, a, err)
	}
	a.intent = true
	began := time.Now()
	res, fault := p.runUpstream(ctx, p.Payload, action.Deadline())
	a.Data, a.Err, a.status = res.Data, fault, res.Status
	end := ledger.Settlement{Intent: intent.ID, State: intentState(a.Err, res.Sent), Sent: res.Sent, Status: res.Status,
		Outcome: a.Outcome(), Latency: time.Since(began)}
	switch {
	case action.Class == schemas.Read:
		// The result of a read is not stored: it is not sealed under the keys of the people in it,
		// and never repeated.
	case action.Class != schemas.Credential:
		end.Result = a.Data
	case end.State == ledger.Succeeded:
		// The credential goes to the person who approved it, and nowhere else.
		end.Handover, end.HandoverUntil = a.Data, p.Now().Add(HandoverValidFor)
		a.HandoverUntil = end.HandoverUntil
	}
	if action.Class == schemas.Credential {
		a.Data = json.RawMessage("null")
	}
	if end.State == ledger.Succeeded {
		end.CreatedSubject, end.Erased = p.Payload.Created(a.Data), p.Payload.Erases()
	} else if p.txn.ApprovalID != "" && a.Err != nil {
		end.Fault = ledger.EncodeError(a.Err)
	}
	if a.Err != nil && a.Err.Outcome == schemas.OutcomeUnknown {
		a.Err = p.unknownOutcome(a.Err, intent.ID)
	}
	return p.settle(ctx, a, end)
}

// settle stores the outcome. If it cannot be stored, the caller gets outcome_unknown: the next
// process would say the same.
func (p *attempt) settle(ctx context.Context, a Result, end ledger.Settlement) Result {
	err := p.Ledger.Settle(ctx, end)
	if err == nil {
		return a
	}
	p.Log.LogAttrs(ctx, slog.LevelError, "the outcome of a call could not be recorded", slog.String("action", p.Payload.Action.Name),
		slog.String("intent", end.Intent), slog.String("outcome", string(end.Outcome)), slog.String("cause", err.Error()))
	if a.Err == nil || a.Err.Outcome != schemas.OutcomeUnknown {
		a.Data, a.Err = nil, p.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
			Message: p.Payload.Action.Name + " was sent, but its outcome could not be recorded", Err: err}, end.Intent)
	}
	return a
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
func (p *attempt) readReplaced(ctx context.Context) json.RawMessage {
	before := p.Payload.BeforeRead()
	if before == nil {
		return nil
	}
	res, fault := p.runUpstream(ctx, before, recordDeadline)
	if fault != nil {
		p.Log.LogAttrs(ctx, slog.LevelWarn, "the values that an update replaces could not be read, so it cannot be undone",
			slog.String("action", p.Payload.Action.Name), slog.String("cause", fault.Error()))
		return nil
	}
	return p.Payload.Replaced(res.Data)
}

// What an event may keep in memory until it is written, in bytes.
const (
	maxEventPayload = 16 << 10 // of a payload; a longer one is not recorded
	maxScanLater    = 16 << 10 // of an answer; a longer one is scanned for subjects at once
)

// recordEvent records a call without an intent: a read, or a call that did not run. A call with a
// record of its own, or the outcome of an earlier call, gets none.
func (p *attempt) recordEvent(a Result, took time.Duration) {
	if a.Pending != nil && p.txn.Shadow == "" || a.intent && p.txn.Class != schemas.Read || a.Approval.ID != "" {
		return
	}
	e := ledger.Event{Call: p.txn.Call, Outcome: a.Outcome(), Status: a.status, Latency: took}
	if len(e.Payload) > maxEventPayload {
		e.Payload = nil
	}
	if payload, data := p.Payload, a.Data; a.Err == nil && p.txn.Class == schemas.Read {
		e.FindSubjects = func() ([]string, []string) { return payload.Returned(data) }
		if len(data) > maxScanLater {
			subjects, erased := payload.Returned(data)
			e.FindSubjects = func() ([]string, []string) { return subjects, erased }
		}
	}
	p.Ledger.RecordEvent(e)
}

func (p *attempt) log(ctx context.Context, a Result) {
	level := slog.LevelInfo
	switch {
	case a.Outcome() == schemas.Unavailable:
		level = slog.LevelError
	case p.Payload.Action.Class == schemas.Read && a.Err == nil:
		level = slog.LevelDebug
	}
	if !p.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("action", p.Payload.Action.Name), slog.String("outcome", string(a.Outcome())),
		slog.String("decision", a.Verdict.Decision.String()), slog.String("caller", p.Actor.String()), slog.String("request", p.Request)}
	if a.Err != nil && a.Err.Err != nil {
		attrs = append(attrs, slog.String("cause", a.Err.Err.Error()))
	}
	p.Log.LogAttrs(ctx, level, "call", attrs...)
}
