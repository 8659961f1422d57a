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
	ownCall    bool // the call is about a live call that the caller's work started
	verdict    rules.Verdict
	recipients *recipients.Set               // nil if the call reaches nobody
	unknown    *ledger.Intent                // another call did the same to one of these people, or not; nil without one
	related    *recipients.Related           // nil if the call writes no contact
	approval   ledger.ApprovalRequest        // the request that was answered; zero without ApprovalID
	record     *approval.Record              // as readRecord read it
	owners     map[string][]recipients.Owner // by number, as facts read them
	over       *ledger.LimitError            // Commit says that a person must confirm the call; nil if it does not
	refills    []ledger.Refill               // what an approval of the card adds to budgets
	txn        ledger.Txn                    // what Commit gets
	reading    *ledger.Reading               // the persons in the answer are counted; nil if they are not
	taken      []ledger.Debit                // what the answer took from budgets of reading
	tested     bool                          // the call does not run: only its decision is asked for
}

func (g *Gate) attempt(c Call) *attempt {
	pol, action := g.Policy.For(c.Caller), c.Payload.Action
	at := &attempt{Gate: g, Call: c, policy: pol}
	at.txn = ledger.Txn{Repeats: action.Repeats(), Call: ledger.Call{Request: c.Request, Caller: c.Actor, Credential: c.Credential,
		Client: c.Client, Organisation: g.Organisation, Key: g.Key, Action: action.Name, Class: action.Class, Hash: c.Payload.Hash(), Policy: pol.Version(),
		EffectKind: action.EffectKind, Subjects: c.Payload.Subjects(), Payload: c.Payload.Body}}
	at.txn.EffectKey = at.txn.Hash
	if action.Class != schemas.Read {
		at.txn.EffectKey = c.Payload.EffectKey()
	}
	if action.CreatesSubject() {
		// Sippet's answer has the new subject's id. Until then the payload's hash names it.
		at.txn.Subjects = append([]string{ledger.Provisional + at.txn.Hash}, at.txn.Subjects...)
	}
	return at
}

// run takes the call through the lifecycle, as the package comment shows it.
func (at *attempt) run(ctx context.Context) Result {
	at.findSafe(ctx)
	if fault := at.checkStopped(ctx); fault != nil {
		return Result{Err: fault}
	}
	previous, err := at.findConflicting(ctx)
	if err != nil {
		return Result{Err: at.ledgerError(ctx, err)}
	}
	if at.ApprovalID != "" {
		// Before resolving and validating, so that a wrong approval costs Sippet nothing.
		if err := at.loadApproval(ctx); err != nil {
			return Result{Err: at.ledgerError(ctx, err)}
		}
		if err := at.Ledger.CheckApproval(ctx, at.boundApproval()); err != nil {
			return at.approvalRejected(ctx, previous, err)
		}
	} else if res, ok := at.unreported(ctx); ok {
		return res
	}
	if fault := at.decide(ctx); fault != nil {
		return Result{Verdict: at.verdict, Err: fault}
	}
	res := Result{Verdict: at.verdict}
	if note := at.related.DroppedNote(); note != "" && !at.hiddenContactFields()["metadata"] {
		res.Dropped = note
	}
	if res.Err = at.checkAllowed(); res.Err != nil {
		return res
	}
	need := at.verdict.Decision
	switch {
	case previous == nil:
	case previous.State == ledger.Succeeded && !at.Again && need < rules.Confirm && (at.ApprovalID == "" || at.approval.Repeats != previous.ID):
		at.revokeOvertaken(ctx, previous)
		return res.recorded(previous)
	case previous.State == ledger.Succeeded, previous.State == ledger.Unknown:
		need = max(need, rules.Confirm)
	default:
		res.Err = at.conflictError(previous)
		return res
	}
	if err := at.findUnknown(ctx, previous); err != nil {
		res.Err = at.ledgerError(ctx, err)
		return res
	}
	if at.unknown != nil {
		need = max(need, rules.Confirm)
	}
	// Use up the approval even if none is needed any more; otherwise the executor would run the
	// call again.
	if at.txn.ApprovalID = at.ApprovalID; need >= rules.Confirm {
		at.txn.Decision = need.String()
	}
	if at.ApprovalID != "" && need > rules.Confirm && at.approval.Needs != need.String() {
		// Rules about the time may decide differently now than at the request.
		res.Err = &schemas.Error{Outcome: schemas.Denied, Message: "the call now needs the approval of another person; nothing ran",
			Next: "call again, and another person is asked"}
		at.revoke(ctx, res.Err)
		return res
	}
	if fault := at.validate(ctx, need); fault != nil {
		res.Err = fault
		return res
	}
	if at.ApprovalID != "" {
		fault, changed := at.checkCard(ctx)
		if fault != nil {
			at.revoke(ctx, fault)
		}
		if fault != nil && !changed {
			res.Err = fault
			return res
		}
		if changed {
			need = max(need, rules.Confirm)
			at.ApprovalID, at.txn.ApprovalID, at.txn.Decision, at.approval = "", "", need.String(), ledger.ApprovalRequest{}
		}
	}
	if need >= rules.Confirm && at.txn.ApprovalID == "" {
		return at.ask(ctx, res, need, previous)
	}
	return at.send(ctx, res)
}

// validate asks Sippet whether it would accept the payload. An approval was for this attempt, so a
// failure revokes it.
func (at *attempt) validate(ctx context.Context, need rules.Decision) *schemas.Error {
	if need == rules.Allow {
		return nil
	}
	fault := at.Upstream.Validate(ctx, at.turn().request(at.Payload))
	if fault != nil && at.ApprovalID != "" {
		at.revoke(ctx, fault)
	}
	return fault
}

// decide resolves the recipients, or reads the contacts that the call is about, and evaluates the
// policy.
func (at *attempt) decide(ctx context.Context) *schemas.Error {
	facts := rules.Facts{Payload: at.Payload, Caller: at.Caller.rules(), Callers: at.Ledger, Now: at.Now(), OwnCall: at.ownCall}
	action := at.Payload.Action
	if recipients.HasRecipients(action) && at.policy.Mildest(action, facts.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if at.recipients, fault = recipients.Resolve(ctx, at.Payload, func(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
			return at.prefetch(ctx, read, "recipients of "+action.Name)
		}); fault != nil {
			return at.redact(fault)
		}
		facts.Recipients, at.txn.Recipients = at.recipients, at.recipients.Digest
		at.addRecipients()
		if err := at.markRecent(ctx); err != nil {
			return at.ledgerError(ctx, err)
		}
	}
	if recipients.HasRelated(action) && at.policy.Mildest(action, facts.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if at.related, fault = recipients.FindRelated(ctx, at.Payload, func(ctx context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
			return at.prefetch(ctx, read, "contacts of "+action.Name)
		}); fault != nil {
			return at.redact(fault)
		}
		facts.Related = at.related
		at.addRecipients()
		if err := at.findEarlier(ctx); err != nil {
			return at.ledgerError(ctx, err)
		}
	}
	at.verdict = at.policy.Decide(facts)
	if recipients.HasRecipients(action) && at.recipients == nil || recipients.HasRelated(action) && at.related == nil {
		at.verdict.Decision = rules.Deny // without them nothing else counts
	}
	if r := at.related; r != nil && r.Current != nil && r.Current.Erased {
		at.verdict.Decision, at.verdict.Why, at.verdict.Debits = rules.Deny, whyErased, nil
	}
	at.txn.Decision, at.txn.Why, at.txn.Rules = at.verdict.Decision.String(), at.verdict.Why, at.verdict.Rules
	for _, e := range at.verdict.Exempted {
		at.txn.Exempted = append(at.txn.Exempted, e.Rule+": "+e.Reason)
	}
	if action.Name != ledger.HangUp { // no budget may keep action call from ending
		for _, d := range at.verdict.Debits {
			at.txn.Debits = append(at.txn.Debits, ledger.Debit(d))
		}
	}
	at.evaluateShadow(ctx, facts)
	return nil
}

// addRecipients tells the ledger what identifies each recipient, and each contact that the card names,
// so that their data is sealed under their own key.
func (at *attempt) addRecipients() {
	known := map[string]bool{}
	for _, subject := range at.txn.Subjects {
		known[subject] = true
	}
	var people []ledger.Recipient
	if at.recipients != nil {
		for _, r := range at.recipients.List {
			p := ledger.Recipient{Subject: string(schemas.ContactSubject) + ":" + r.Contact, Names: []string{r.Name, r.Number, r.Address}}
			switch {
			case r.Contact != "":
			case r.Address != "":
				p.Subject = string(schemas.EmailSubject) + ":" + r.Address
			default:
				p.Subject = string(schemas.PhoneSubject) + ":" + r.Number
			}
			people = append(people, p)
		}
	}
	if at.related != nil {
		for _, m := range at.related.Matches { // the card names them
			people = append(people, ledger.Recipient{Subject: string(schemas.ContactSubject) + ":" + m.Contact, Names: []string{m.Name}})
		}
	}
	for _, p := range people {
		if at.txn.RecipientList = append(at.txn.RecipientList, p); !known[p.Subject] {
			known[p.Subject] = true
			at.txn.Subjects = append(at.txn.Subjects, p.Subject)
		}
	}
}

// evaluateShadow records what the shadow policy decides, if that differs. A call that is denied
// outright has no resolved recipients, so the shadow policy cannot decide it either.
func (at *attempt) evaluateShadow(ctx context.Context, facts rules.Facts) {
	action, shadow := at.Payload.Action, at.Policy.shadowPolicy()
	if shadow == nil || at.recipients == nil && recipients.HasRecipients(action) || at.related == nil && recipients.HasRelated(action) {
		return
	}
	if v := shadow.Decide(facts); v.Decision != at.verdict.Decision {
		at.txn.Shadow = v.Decision.String() + ": " + v.Why
		at.Log.LogAttrs(ctx, slog.LevelInfo, "the shadow policy decides differently", slog.String("action", action.Name),
			slog.String("decision", at.txn.Decision), slog.String("shadow", at.txn.Shadow))
	}
}

// hiddenContactFields returns the fields of contacts that the caller must not see.
func (at *attempt) hiddenContactFields() map[string]bool {
	contacts, fault := schemas.Find(recipients.ContactList)
	if fault != nil {
		return nil
	}
	return fieldsOf(contacts, at.policy.HiddenFields(contacts, at.Caller.rules()))
}

// redact removes details about contacts from an error if the caller must not see all of their
// fields.
func (at *attempt) redact(fault *schemas.Error) *schemas.Error {
	if len(at.hiddenContactFields()) == 0 || len(fault.Details) == 0 {
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
func (at *attempt) prefetch(ctx context.Context, read *schemas.Payload, why string) (json.RawMessage, *schemas.Error) {
	began, deadline := time.Now(), recipientsDeadline
	if at.recipients != nil || !recipients.HasRecipients(at.Payload.Action) {
		deadline = recordDeadline
	}
	res, fault := at.runUpstream(ctx, at.turn(), read, deadline)
	q := at.Gate.attempt(Call{Caller: at.Caller, Request: at.Request, Payload: read})
	q.txn.Decision, q.txn.Why, q.txn.Prefetch = rules.Allow.String(), why, true
	q.recordEvent(Result{Data: res.Data, Err: fault, status: res.Status}, time.Since(began))
	return res.Data, fault
}

// card builds the card for a request.
func (at *attempt) card(ctx context.Context, needs string, expires time.Time, earlier approval.Earlier) approval.Card {
	in := approval.Call{Payload: at.Payload, Needs: needs, Why: at.verdict.Why, Rules: at.verdict.Rules, Requester: at.Actor, Client: at.Client,
		Simulated: at.Simulated, Expires: expires, Record: at.readRecord(ctx), Recipients: at.visibleRecipients(), Related: at.related,
		HiddenOfContacts: at.hiddenContactFields(), Earlier: earlier, Costs: at.costs(ctx)}
	at.readFacts(ctx, &in)
	in.History = at.readHistory(ctx, earlier)
	in.Over = at.readOver(ctx)
	return approval.NewCard(in)
}
