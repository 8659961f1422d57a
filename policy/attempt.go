package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// attempt is one time that a call goes along the road.
type attempt struct {
	*Gate
	Call
	policy     *rules.Policy
	verdict    rules.Verdict
	recipients *recipients.Set        // whom it would ring; nil where it rings nobody
	approval   ledger.ApprovalRequest // the question that was answered; empty where Grant is
	txn        ledger.Txn             // what the ledger is told
}

func (g *Gate) attempt(c Call) *attempt {
	pol, a := g.Policy.For(c.Caller), c.Payload.Action
	p := &attempt{Gate: g, Call: c, policy: pol}
	p.txn = ledger.Txn{Idempotent: a.Idempotent, Call: ledger.Call{Request: c.Request, Caller: c.Actor, Credential: c.Credential,
		Client: c.Client, Organisation: g.Organisation, Action: a.Name, Class: a.Class, Hash: c.Payload.Hash(), Policy: pol.Version(),
		Subjects: c.Payload.Subjects(), Payload: c.Payload.Body}}
	if a.CreatesSubject() {
		// Whom it creates is known once Sippet has answered; until then the person goes by the request.
		p.txn.Subjects = append([]string{ledger.Provisional + p.txn.Hash}, p.txn.Subjects...)
	}
	return p
}

func (p *attempt) run(ctx context.Context) Result {
	if fault := p.checkStopped(ctx); fault != nil {
		return Result{Err: fault}
	}
	previous, err := p.findConflicting(ctx)
	if err != nil {
		return Result{Err: p.ledgerError(ctx, err)}
	}
	if p.ApprovalID != "" {
		// Before looking and validating, so that a wrong grant costs Sippet nothing.
		if err := p.loadApproval(ctx); err != nil {
			return Result{Err: p.ledgerError(ctx, err)}
		}
		if err := p.Ledger.CheckApproval(ctx, p.boundApproval()); err != nil {
			return p.approvalRejected(ctx, previous, err)
		}
	} else if a, ok := p.unreported(ctx); ok {
		return a
	}
	if fault := p.decide(ctx); fault != nil {
		return Result{Verdict: p.verdict, Err: fault}
	}
	a := Result{Verdict: p.verdict}
	if a.Err = p.checkAllowed(); a.Err != nil {
		return a
	}
	need := p.verdict.Decision
	switch {
	case previous == nil:
	case previous.State == ledger.Succeeded && !p.Again && need < rules.Confirm && (p.ApprovalID == "" || p.approval.Repeats != previous.ID):
		p.revokeOvertaken(ctx, previous)
		return a.recorded(previous)
	case previous.State == ledger.Succeeded, previous.State == ledger.Unknown:
		need = max(need, rules.Confirm)
	default:
		a.Err = p.conflictError(previous)
		return a
	}
	// A yes is spent by what it was for also where the rules demand none any more: left behind, it would run it once more.
	if p.txn.ApprovalID = p.ApprovalID; need >= rules.Confirm {
		p.txn.Decision = need.String()
	}
	if p.ApprovalID != "" && need > rules.Confirm && p.approval.Needs != need.String() {
		// The rules look at the time, and may say something else than when it was asked.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: "by now it needs the yes of another person; nothing ran",
			Next: "call again, and another person is asked"}
		p.revoke(ctx, a.Err)
		return a
	}
	if need > rules.Allow {
		if a.Err = p.Upstream.Validate(ctx, request(p.Payload)); a.Err != nil {
			if p.ApprovalID != "" {
				// The answer was to this attempt; another one asks again.
				p.revoke(ctx, a.Err)
			}
			return a
		}
	}
	if need >= rules.Confirm && p.txn.ApprovalID == "" {
		return p.ask(ctx, a, need, previous)
	}
	return p.send(ctx, a)
}

// decide finds out whom the call would ring, and what the policy demands of it.
func (p *attempt) decide(ctx context.Context) *schemas.Error {
	facts := rules.Facts{Payload: p.Payload, Caller: p.Caller.rules(), Now: p.Now()}
	a := p.Payload.Action
	if recipients.HasRecipients(a) && p.policy.Mildest(a, facts.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if p.recipients, fault = recipients.Resolve(ctx, p.Payload, func(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
			return p.prefetch(ctx, read, "whom "+a.Name+" would ring")
		}); fault != nil {
			return p.redact(fault)
		}
		facts.Recipients, p.txn.Recipients = p.recipients, p.recipients.Digest
	}
	p.verdict = p.policy.Decide(facts)
	if recipients.HasRecipients(a) && p.recipients == nil {
		p.verdict.Decision = rules.Deny // whatever else was decided: nobody knows whom it would ring
	}
	p.txn.Decision, p.txn.Why, p.txn.Rules = p.verdict.Decision.String(), p.verdict.Why, p.verdict.Rules
	for _, e := range p.verdict.Exempted {
		p.txn.Exempted = append(p.txn.Exempted, e.Rule+": "+e.Reason)
	}
	if a.Name != ledger.HangUp { // no budget keeps a call going
		for _, d := range p.verdict.Debits {
			p.txn.Debits = append(p.txn.Debits, ledger.Debit(d))
		}
	}
	// What is denied outright is not looked up, so another policy cannot decide it either.
	if shadow := p.Policy.Shadow(); shadow != nil && (p.recipients != nil || !recipients.HasRecipients(a)) {
		if v := shadow.Decide(facts); v.Decision != p.verdict.Decision {
			p.txn.Shadow = v.Decision.String() + ": " + v.Why
			p.Log.LogAttrs(ctx, slog.LevelInfo, "the shadow policy decides otherwise", slog.String("action", a.Name),
				slog.String("decision", p.txn.Decision), slog.String("shadow", p.txn.Shadow))
		}
	}
	return nil
}

// hiddenContactFields are the fields of contacts that the caller must not see.
func (p *attempt) hiddenContactFields() map[string]bool {
	contacts, fault := schemas.Find(recipients.ContactList)
	if fault != nil {
		return nil
	}
	return fieldsOf(contacts, p.policy.HiddenFields(contacts, p.Caller.rules()))
}

// redact leaves out of a fault what it tells of a contact, where the caller must not see all of them.
func (p *attempt) redact(fault *schemas.Error) *schemas.Error {
	if len(p.hiddenContactFields()) == 0 || len(fault.Details) == 0 {
		return fault
	}
	out := *fault
	out.Details = nil
	for _, d := range fault.Details {
		out.Details = append(out.Details, schemas.Detail{Path: d.Path, Message: "cannot be rung"})
	}
	return &out
}

// prefetch is a read that the gate itself needs before it can decide, or for a card. It is in the audit under the caller's name.
func (p *attempt) prefetch(ctx context.Context, read *schemas.Payload, why string) (json.RawMessage, *schemas.Error) {
	began, deadline := time.Now(), recipientsDeadline
	if p.recipients != nil || !recipients.HasRecipients(p.Payload.Action) {
		deadline = recordDeadline // it is for the card
	}
	res, fault := p.runUpstream(ctx, read, deadline)
	q := p.Gate.attempt(Call{Caller: p.Caller, Request: p.Request, Payload: read})
	q.txn.Decision, q.txn.Why, q.txn.Prefetch = rules.Allow.String(), why, true
	q.recordEvent(Result{Data: res.Data, Err: fault, status: res.Status}, time.Since(began))
	return res.Data, fault
}

// HandoverValidFor is how long what an action issued waits for the person who agreed.
const HandoverValidFor = 15 * time.Minute

// How long a call is held up by looking: at whom it would ring, and at what it replaces.
const (
	recipientsDeadline = 10 * time.Second
	recordDeadline     = 5 * time.Second
)

// send makes the call durable, sends it, and makes its outcome durable.
func (p *attempt) send(ctx context.Context, a Result) Result {
	action := p.Payload.Action
	if action.Class == schemas.Read && p.txn.ApprovalID == "" && len(p.txn.Debits) == 0 {
		res, fault := p.runUpstream(ctx, p.Payload, action.Deadline())
		a.Data, a.Err, a.status = res.Data, fault, res.Status
		return a
	}
	// A caller that goes away must not leave behind a write of which nobody knows how it ended. rpc has its own deadline.
	ctx = context.WithoutCancel(ctx)
	p.txn.Replaced = p.replaced(ctx)
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
		// What a read tells of others is nobody's to keep: it is not sealed under their keys, and is never repeated.
	case action.Class != schemas.Credential:
		end.Result = a.Data
	case end.State == ledger.Succeeded:
		// It goes to the person who agreed, past everything else.
		end.Handover, end.HandoverUntil = a.Data, p.Now().Add(HandoverValidFor)
		a.HandoverUntil = end.HandoverUntil
	}
	if action.Class == schemas.Credential {
		a.Data = json.RawMessage("null")
	}
	if end.State == ledger.Succeeded {
		end.CreatedSubject, end.Erased = p.Payload.Created(a.Data), p.Payload.Erases()
	} else if p.txn.ApprovalID != "" && a.Err != nil {
		end.Fault = encodeError(a.Err)
	}
	if a.Err != nil && a.Err.Outcome == schemas.OutcomeUnknown {
		a.Err = p.unknownOutcome(a.Err, intent.ID)
	}
	if err := p.Ledger.Settle(ctx, end); err != nil {
		p.Log.LogAttrs(ctx, slog.LevelError, "the outcome of a call could not be recorded", slog.String("action", action.Name),
			slog.String("intent", intent.ID), slog.String("outcome", string(end.Outcome)), slog.String("cause", err.Error()))
		if a.Err == nil || a.Err.Outcome != schemas.OutcomeUnknown {
			a.Data, a.Err = nil, p.unknownOutcome(&schemas.Error{Outcome: schemas.OutcomeUnknown,
				Message: action.Name + " was sent, and how it ended could not be recorded", Err: err}, intent.ID)
		}
	}
	return a
}

// intentState reads how an intent ended from what the transport knows.
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

// replaced reads what an update is about to overwrite, so that it can be put
// back; nil where nothing is, or where it cannot be read: an update is no less allowed for that.
func (p *attempt) replaced(ctx context.Context) json.RawMessage {
	before := p.Payload.BeforeRead()
	if before == nil {
		return nil
	}
	res, err := p.runUpstream(ctx, before, recordDeadline)
	if err != nil {
		p.Log.LogAttrs(ctx, slog.LevelWarn, "what an update replaces could not be read, so it cannot be undone",
			slog.String("action", p.Payload.Action.Name), slog.String("cause", err.Error()))
		return nil
	}
	return p.Payload.Replaced(res.Data)
}

// The bounds of what waits in memory for its record.
const (
	maxEventPayload = 16 << 10 // bytes of a payload
	maxScanLater    = 16 << 10 // bytes of an answer; a longer one is looked through at once
)

// recordEvent leaves a record of a call that has none: a read, or one that did not run.
func (p *attempt) recordEvent(a Result, took time.Duration) {
	if a.Pending != nil && p.txn.Shadow == "" || a.intent && p.txn.Class != schemas.Read || a.Approval.ID != "" {
		return // it has a record, or is the answer of a call that has
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
