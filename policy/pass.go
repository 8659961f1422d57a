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

// pass is one time that a call goes along the road.
type pass struct {
	*Gate
	Call
	policy  *rules.Policy
	verdict rules.Verdict
	reach   *recipients.Set // whom it would ring; nil where it rings nobody
	given   ledger.Grant    // the question that was answered; empty where Grant is
	txn     ledger.Txn      // what the ledger is told
}

func (g *Gate) pass(c Call) *pass {
	pol, a := g.Policy.For(c.Caller), c.Payload.Action
	p := &pass{Gate: g, Call: c, policy: pol}
	p.txn = ledger.Txn{Repeatable: a.Repeatable, Call: ledger.Call{Request: c.Request, Principal: c.Principal, Credential: c.Credential,
		Client: c.Client, Upstream: g.Organisation, Action: a.Name, Class: a.Class, Hash: c.Payload.Hash(), Policy: pol.Version(),
		Subjects: c.Payload.Subjects(), Payload: c.Payload.Body}}
	if a.CreatesSubject() {
		// Whom it creates is known once Sippet has answered; until then the person goes by the request.
		p.txn.Subjects = append([]string{ledger.Provisional + p.txn.Hash}, p.txn.Subjects...)
	}
	return p
}

func (p *pass) road(ctx context.Context) Answer {
	if fault := p.stopped(ctx); fault != nil {
		return Answer{Err: fault}
	}
	prior, err := p.prior(ctx)
	if err != nil {
		return Answer{Err: p.storeFault(ctx, err)}
	}
	if p.Grant != "" {
		// Before looking and validating, so that a wrong grant costs Sippet nothing.
		if err := p.load(ctx); err != nil {
			return Answer{Err: p.storeFault(ctx, err)}
		}
		if err := p.Ledger.Check(ctx, p.bound()); err != nil {
			return p.refused(ctx, prior, err)
		}
	} else if a, ok := p.earlier(ctx); ok {
		return a
	}
	if fault := p.decide(ctx); fault != nil {
		return Answer{Verdict: p.verdict, Err: fault}
	}
	a := Answer{Verdict: p.verdict}
	if a.Err = p.forbidden(); a.Err != nil {
		return a
	}
	need := p.verdict.Decision
	switch {
	case prior == nil:
	case prior.State == ledger.Succeeded && !p.Again && need < rules.Confirm && (p.Grant == "" || p.given.Repeats != prior.ID):
		p.overtaken(ctx, prior)
		return a.recorded(prior)
	case prior.State == ledger.Succeeded, prior.State == ledger.Unknown:
		need = max(need, rules.Confirm)
	default:
		a.Err = p.priorFault(prior)
		return a
	}
	// A yes is spent by what it was for also where the rules demand none any more: left behind, it would run it once more.
	if p.txn.Grant = p.Grant; need >= rules.Confirm {
		p.txn.Decision = need.String()
	}
	if p.Grant != "" && need > rules.Confirm && p.given.Needs != need.String() {
		// The rules look at the time, and may say something else than when it was asked.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: "by now it needs the yes of another person; nothing ran",
			Next: "call again, and another person is asked"}
		p.revoke(ctx, a.Err)
		return a
	}
	if need > rules.Allow {
		if a.Err = asError(p.Upstream.Validate(ctx, request(p.Payload))); a.Err != nil {
			if p.Grant != "" {
				// The answer was to this attempt; another one asks again.
				p.revoke(ctx, a.Err)
			}
			return a
		}
	}
	if need >= rules.Confirm && p.txn.Grant == "" {
		return p.ask(ctx, a, need, prior)
	}
	return p.run(ctx, a)
}

// decide finds out whom the call would ring, and what the policy demands of it.
func (p *pass) decide(ctx context.Context) *schemas.Error {
	facts := rules.Facts{Payload: p.Payload, Caller: p.Caller.rules(), Now: p.Now()}
	a := p.Payload.Action
	if recipients.Rings(a) && p.policy.Mildest(a, facts.Caller).Decision < rules.Deny {
		var fault *schemas.Error
		if p.reach, fault = recipients.Of(ctx, p.Payload, func(ctx context.Context, read *schemas.Payload) (json.RawMessage, error) {
			return p.look(ctx, read, "whom "+a.Name+" would ring")
		}); fault != nil {
			return p.discreet(fault)
		}
		facts.Reach, p.txn.Reach = p.reach, p.reach.Digest
	}
	p.verdict = p.policy.Decide(facts)
	if recipients.Rings(a) && p.reach == nil {
		p.verdict.Decision = rules.Deny // whatever else was decided: nobody knows whom it would ring
	}
	p.txn.Decision, p.txn.Why, p.txn.Rules = p.verdict.Decision.String(), p.verdict.Why, p.verdict.Rules
	for _, e := range p.verdict.Exempted {
		p.txn.Exempted = append(p.txn.Exempted, e.Rule+": "+e.Reason)
	}
	if a.Name != ledger.HangUp { // no budget keeps a call going
		p.txn.Debits = p.verdict.Debits
	}
	// What is denied outright is not looked up, so another policy cannot decide it either.
	if shadow := p.Policy.Shadow(); shadow != nil && (p.reach != nil || !recipients.Rings(a)) {
		if v := shadow.Decide(facts); v.Decision != p.verdict.Decision {
			p.txn.Shadow = v.Decision.String() + ": " + v.Why
			p.Log.LogAttrs(ctx, slog.LevelInfo, "the shadow policy decides otherwise", slog.String("action", a.Name),
				slog.String("decision", p.txn.Decision), slog.String("shadow", p.txn.Shadow))
		}
	}
	return nil
}

// hides are the fields of contacts that the caller must not see.
func (p *pass) hides() map[string]bool {
	contacts, err := schemas.Find(recipients.ContactList)
	if err != nil {
		return nil
	}
	return fieldsOf(contacts, p.policy.Hidden(contacts, p.Caller.rules()))
}

// discreet leaves out of a fault what it tells of a contact, where the caller must not see all of them.
func (p *pass) discreet(fault *schemas.Error) *schemas.Error {
	if len(p.hides()) == 0 || len(fault.Details) == 0 {
		return fault
	}
	out := *fault
	out.Details = nil
	for _, d := range fault.Details {
		out.Details = append(out.Details, schemas.Detail{Path: d.Path, Message: "cannot be rung"})
	}
	return &out
}

// look is a read that the gate itself needs before it can decide, or for a card. It is in the audit under the caller's name.
func (p *pass) look(ctx context.Context, read *schemas.Payload, why string) (json.RawMessage, error) {
	began, deadline := time.Now(), lookAhead
	if p.reach != nil || !recipients.Rings(p.Payload.Action) {
		deadline = lookBack // it is for the card
	}
	res, err := p.send(ctx, read, deadline)
	q := p.Gate.pass(Call{Caller: p.Caller, Request: p.Request, Payload: read})
	q.txn.Decision, q.txn.Why = rules.Allow.String(), why
	q.note(Answer{Data: res.Data, Err: asError(err), status: res.Status}, time.Since(began))
	return res.Data, err
}

// HandoverFor is how long what an action issued waits for the person who agreed.
const HandoverFor = 15 * time.Minute

// How long a call is held up by looking: at whom it would ring, and at what it replaces.
const (
	lookAhead = 10 * time.Second
	lookBack  = 5 * time.Second
)

// run makes the call durable, sends it, and makes its outcome durable.
func (p *pass) run(ctx context.Context, a Answer) Answer {
	action := p.Payload.Action
	if action.Class == schemas.Read && p.txn.Grant == "" && len(p.txn.Debits) == 0 {
		res, err := p.send(ctx, p.Payload, action.Deadline())
		a.Data, a.Err, a.status = res.Data, asError(err), res.Status
		return a
	}
	// A caller that goes away must not leave behind a write of which nobody knows how it ended. rpc has its own deadline.
	ctx = context.WithoutCancel(ctx)
	p.txn.Replaced = p.replaced(ctx)
	intent, err := p.Ledger.Commit(ctx, p.txn)
	if err != nil {
		return p.uncommitted(ctx, a, err)
	}
	a.intent = true
	began := time.Now()
	res, err := p.send(ctx, p.Payload, action.Deadline())
	a.Data, a.Err, a.status = res.Data, asError(err), res.Status
	end := ledger.Settlement{Intent: intent.ID, State: progress(a.Err, res.Sent), Sent: res.Sent, Status: res.Status,
		Outcome: a.Outcome(), Latency: time.Since(began)}
	switch {
	case action.Class == schemas.Read:
		// What a read tells of others is nobody's to keep: it is not sealed under their keys, and is never repeated.
	case action.Class != schemas.Credential:
		end.Result = a.Data
	case end.State == ledger.Succeeded:
		// It goes to the person who agreed, past everything else.
		end.Handover, end.Until = a.Data, p.Now().Add(HandoverFor)
		a.HandedOver = end.Until
	}
	if action.Class == schemas.Credential {
		a.Data = json.RawMessage("null")
	}
	if end.State == ledger.Succeeded {
		end.Becomes, end.Erased = p.Payload.Created(a.Data), p.Payload.Erases()
	} else if p.txn.Grant != "" && a.Err != nil {
		end.Fault = faultJSON(a.Err)
	}
	if a.Err != nil && a.Err.Outcome == schemas.OutcomeUnknown {
		a.Err = p.unknown(a.Err, intent.ID)
	}
	if err := p.Ledger.Settle(ctx, end); err != nil {
		p.Log.LogAttrs(ctx, slog.LevelError, "the outcome of a call could not be recorded", slog.String("action", action.Name),
			slog.String("intent", intent.ID), slog.String("outcome", string(end.Outcome)), slog.String("cause", err.Error()))
		if a.Err == nil || a.Err.Outcome != schemas.OutcomeUnknown {
			a.Data, a.Err = nil, p.unknown(&schemas.Error{Outcome: schemas.OutcomeUnknown,
				Message: action.Name + " was sent, and how it ended could not be recorded", Err: err}, intent.ID)
		}
	}
	return a
}

// progress reads how an intent ended from what the transport knows.
func progress(e *schemas.Error, sent bool) ledger.Progress {
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
func (p *pass) replaced(ctx context.Context) json.RawMessage {
	before := p.Payload.Before()
	if before == nil {
		return nil
	}
	res, err := p.send(ctx, before, lookBack)
	if err != nil {
		p.Log.LogAttrs(ctx, slog.LevelWarn, "what an update replaces could not be read, so it cannot be undone",
			slog.String("action", p.Payload.Action.Name), slog.String("cause", err.Error()))
		return nil
	}
	return p.Payload.Replaced(res.Data)
}

// The bounds of what waits in memory for its record.
const (
	maxNoted = 16 << 10 // bytes of a payload
	maxFound = 16 << 10 // bytes of an answer; a longer one is looked through at once
)

// note leaves a record of a call that has none: a read, or one that did not run.
func (p *pass) note(a Answer, took time.Duration) {
	if a.Pending != nil && p.txn.Shadow == "" || a.intent && p.txn.Class != schemas.Read || a.Question.ID != "" {
		return // it has a record, or is the answer of a call that has
	}
	e := ledger.Event{Call: p.txn.Call, Outcome: a.Outcome(), Status: a.status, Latency: took}
	if len(e.Payload) > maxNoted {
		e.Payload = nil
	}
	if payload, data := p.Payload, a.Data; a.Err == nil && p.txn.Class == schemas.Read {
		e.Find = func() ([]string, []string) { return payload.Returned(data) }
		if len(data) > maxFound {
			subjects, erased := payload.Returned(data)
			e.Find = func() ([]string, []string) { return subjects, erased }
		}
	}
	p.Ledger.Note(e)
}

func (p *pass) log(ctx context.Context, a Answer) {
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
		slog.String("decision", a.Verdict.Decision.String()), slog.String("principal", p.Principal), slog.String("request", p.Request)}
	if a.Err != nil && a.Err.Err != nil {
		attrs = append(attrs, slog.String("cause", a.Err.Err.Error()))
	}
	p.Log.LogAttrs(ctx, level, "call", attrs...)
}
