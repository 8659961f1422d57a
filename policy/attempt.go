package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// attempt is one time that a call goes through the gate. Its methods are the steps of the call
// lifecycle.
type attempt struct {
	*Gate
	Call
	policy     *rules.Policy
	verdict    rules.Verdict
	recipients *recipients.Set        // nil if the call reaches nobody
	approval   ledger.ApprovalRequest // the request that was answered; zero without ApprovalID
	txn        ledger.Txn             // what Commit gets
}

func (g *Gate) attempt(c Call) *attempt {
	pol, a := g.Policy.For(c.Caller), c.Payload.Action
	p := &attempt{Gate: g, Call: c, policy: pol}
	p.txn = ledger.Txn{Idempotent: a.Idempotent, Call: ledger.Call{Request: c.Request, Caller: c.Actor, Credential: c.Credential,
		Client: c.Client, Organisation: g.Organisation, Action: a.Name, Class: a.Class, Hash: c.Payload.Hash(), Policy: pol.Version(),
		Subjects: c.Payload.Subjects(), Payload: c.Payload.Body}}
	if a.CreatesSubject() {
		// The new subject's id is known after Sippet's answer. Until then the payload's hash names
		// it.
		p.txn.Subjects = append([]string{ledger.Provisional + p.txn.Hash}, p.txn.Subjects...)
	}
	return p
}

// run takes the call through the lifecycle, as the package comment shows it.
func (p *attempt) run(ctx context.Context) Result {
	if fault := p.checkStopped(ctx); fault != nil {
		return Result{Err: fault}
	}
	previous, err := p.findConflicting(ctx)
	if err != nil {
		return Result{Err: p.ledgerError(ctx, err)}
	}
	if p.ApprovalID != "" {
		// Before resolving and validating, so that a wrong approval costs Sippet nothing.
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
	// Use up the approval even if none is needed any more; otherwise the executor would run the
	// call again.
	if p.txn.ApprovalID = p.ApprovalID; need >= rules.Confirm {
		p.txn.Decision = need.String()
	}
	if p.ApprovalID != "" && need > rules.Confirm && p.approval.Needs != need.String() {
		// Rules about the time may decide differently now than at the request.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: "the call now needs the approval of another person; nothing ran",
			Next: "call again, and another person is asked"}
		p.revoke(ctx, a.Err)
		return a
	}
	if fault := p.validate(ctx, need); fault != nil {
		a.Err = fault
		return a
	}
	if need >= rules.Confirm && p.txn.ApprovalID == "" {
		return p.ask(ctx, a, need, previous)
	}
	return p.send(ctx, a)
}

// validate asks Sippet whether it would accept the payload. An approval was for this attempt, so a
// failure revokes it.
func (p *attempt) validate(ctx context.Context, need rules.Decision) *schemas.Error {
	if need == rules.Allow {
		return nil
	}
	fault := p.Upstream.Validate(ctx, request(p.Payload))
	if fault != nil && p.ApprovalID != "" {
		p.revoke(ctx, fault)
	}
	return fault
}

// decide resolves the recipients and evaluates the policy.
func (p *attempt) decide(ctx context.Context) *schemas.Error {
	facts := rules.Facts{Payload: p.Payload, Caller: p.Caller.rules(), Now: p.Now()}
	a := p.Payload.Action
	if recipients.HasRecipients(a) && p.policy.Mildest(a, facts.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if p.recipients, fault = recipients.Resolve(ctx, p.Payload, func(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
			return p.prefetch(ctx, read, "recipients of "+a.Name)
		}); fault != nil {
			return p.redact(fault)
		}
		facts.Recipients, p.txn.Recipients = p.recipients, p.recipients.Digest
	}
	p.verdict = p.policy.Decide(facts)
	if recipients.HasRecipients(a) && p.recipients == nil {
		p.verdict.Decision = rules.Deny // without recipients nothing else counts
	}
	p.txn.Decision, p.txn.Why, p.txn.Rules = p.verdict.Decision.String(), p.verdict.Why, p.verdict.Rules
	for _, e := range p.verdict.Exempted {
		p.txn.Exempted = append(p.txn.Exempted, e.Rule+": "+e.Reason)
	}
	if a.Name != ledger.HangUp { // no budget may keep a call from ending
		for _, d := range p.verdict.Debits {
			p.txn.Debits = append(p.txn.Debits, ledger.Debit(d))
		}
	}
	p.evaluateShadow(ctx, facts)
	return nil
}

// evaluateShadow records what the shadow policy decides, if it differs. A call that is denied
// outright has no resolved recipients, so the shadow policy cannot decide it either.
func (p *attempt) evaluateShadow(ctx context.Context, facts rules.Facts) {
	a, shadow := p.Payload.Action, p.Policy.Shadow()
	if shadow == nil || p.recipients == nil && recipients.HasRecipients(a) {
		return
	}
	if v := shadow.Decide(facts); v.Decision != p.verdict.Decision {
		p.txn.Shadow = v.Decision.String() + ": " + v.Why
		p.Log.LogAttrs(ctx, slog.LevelInfo, "the shadow policy decides differently", slog.String("action", a.Name),
			slog.String("decision", p.txn.Decision), slog.String("shadow", p.txn.Shadow))
	}
}

// hiddenContactFields returns the fields of contacts that the caller must not see.
func (p *attempt) hiddenContactFields() map[string]bool {
	contacts, fault := schemas.Find(recipients.ContactList)
	if fault != nil {
		return nil
	}
	return fieldsOf(contacts, p.policy.HiddenFields(contacts, p.Caller.rules()))
}

// redact removes details about contacts from an error if the caller must not see all of their
// fields.
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

// How long a prefetch may delay a call: for recipients, and for a card or an undo.
const (
	recipientsDeadline = 10 * time.Second
	recordDeadline     = 5 * time.Second
)

// prefetch runs a read that the gate itself needs, for a decision or a card. The audit log has it
// under the caller's name, marked as a prefetch.
func (p *attempt) prefetch(ctx context.Context, read *schemas.Payload, why string) (json.RawMessage, *schemas.Error) {
	began, deadline := time.Now(), recipientsDeadline
	if p.recipients != nil || !recipients.HasRecipients(p.Payload.Action) {
		deadline = recordDeadline
	}
	res, fault := p.runUpstream(ctx, read, deadline)
	q := p.Gate.attempt(Call{Caller: p.Caller, Request: p.Request, Payload: read})
	q.txn.Decision, q.txn.Why, q.txn.Prefetch = rules.Allow.String(), why, true
	q.recordEvent(Result{Data: res.Data, Err: fault, status: res.Status}, time.Since(began))
	return res.Data, fault
}

// card builds the card of the call as it stands, for a request.
func (p *attempt) card(ctx context.Context, needs string, expires time.Time) approval.Card {
	return approval.NewCard(approval.Call{Payload: p.Payload, Needs: needs, Why: p.verdict.Why, Rules: p.verdict.Rules, Requester: p.Actor, Client: p.Client,
		Simulated: p.Simulated, Expires: expires, Record: p.readRecord(ctx), Recipients: p.visibleRecipients(), Budgets: p.budgetLines(ctx)})
}
