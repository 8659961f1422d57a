package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Upstream is Sippet, as *rpc.Client speaks to it.
type Upstream interface {
	Validate(context.Context, rpc.Request) error
	Run(context.Context, rpc.Request) (rpc.Result, error)
}

// Gate is the one road to Sippet. It is safe for concurrent use.
type Gate struct {
	Policy   *Policy
	Upstream Upstream
	Ledger   ledger.Ledger
	// Organisation names where Upstream leads, as the ledger tells organisations apart.
	Organisation string
	// Simulated says so on every card: the upstream is the sandbox.
	Simulated bool
	// Wait is how long a question may stay unanswered.
	Wait time.Duration
	Now  func() time.Time
	Log  *slog.Logger
}

// Caller is who asks.
type Caller struct {
	// Principal names them, as grants, cards and the audit do.
	Principal string
	// Credential is the id of what they showed; empty where nothing was asked for.
	Credential string
	// Client is what their program calls itself.
	Client string
}

// Call is one request to do something.
type Call struct {
	Caller
	// Request is the id of the request in log and audit; Do makes one where it is empty.
	Request string
	Payload *schemas.Payload
	// Grant is the id of the grant that a person answered; empty on the first pass.
	Grant string
	// Again says that the call is meant even where the same ran a moment ago: a person is asked.
	Again bool
}

// Answer is how a call ended, or that a person is due.
type Answer struct {
	Verdict Verdict
	// Data is Sippet's answer where Err is nil; null where the earlier answer was not kept.
	Data json.RawMessage
	// Prior is set where nothing new ran because the same call ran before; Data is its answer.
	Prior *ledger.Intent
	// Err is why it did not run, or that nobody knows; nil where it ran.
	Err *schemas.Error
	// Pending is set, with Err of outcome approval_pending, where a person must be asked.
	Pending *Pending

	status int
	intent bool // the ledger has an intent of it
}

// Pending is a question for a person.
type Pending struct {
	Grant string
	Card  Card
}

// Outcome gives the word for how the call ended.
func (a Answer) Outcome() schemas.Outcome {
	switch {
	case a.Err != nil:
		return a.Err.Outcome
	case a.Prior != nil:
		return schemas.Recorded
	}
	return schemas.Done
}

// Do takes a call along the road, as the package comment draws it.
func (g *Gate) Do(ctx context.Context, c Call) Answer {
	began := time.Now()
	if c.Request == "" {
		c.Request = ledger.NewID()
	}
	a := Answer{Verdict: g.Policy.Decide(c.Payload.Action)}
	x := g.txn(c, a.Verdict)
	a = g.road(ctx, c, x, a)
	g.note(c, x, a, time.Since(began))
	g.log(ctx, c, a)
	return a
}

// txn is what the ledger is told of a call.
func (g *Gate) txn(c Call, v Verdict) *ledger.Txn {
	p := c.Payload
	x := &ledger.Txn{Repeatable: p.Action.Repeatable, Call: ledger.Call{Request: c.Request, Principal: c.Principal, Credential: c.Credential,
		Client: c.Client, Upstream: g.Organisation, Action: p.Action.Name, Class: p.Action.Class, Hash: p.Hash(), Decision: v.Decision.String(),
		Why: v.Why, Policy: g.Policy.Version, Subjects: p.Subjects(), Payload: p.Body}}
	if p.Action.CreatesSubject() {
		// Whom it creates is known once Sippet has answered; until then the person goes by the request.
		x.Subjects = append([]string{ledger.Provisional + c.Request}, x.Subjects...)
	}
	return x
}

func (g *Gate) road(ctx context.Context, c Call, x *ledger.Txn, a Answer) Answer {
	need := a.Verdict.Decision
	switch need {
	case Allow, Validate, Confirm:
	default:
		a.Err = refusal(c.Payload.Action, a.Verdict)
		return a
	}
	if a.Err = g.stopped(ctx, c.Payload.Action); a.Err != nil {
		return a
	}
	prior, err := g.prior(ctx, x)
	switch {
	case err != nil:
		a.Err = g.storeFault(ctx, err)
		return a
	case prior == nil:
	case prior.State == ledger.Succeeded && !c.Again && need < Confirm:
		return a.recorded(prior)
	case prior.State == ledger.Succeeded, prior.State == ledger.Unknown:
		need = max(need, Confirm)
	default:
		a.Err = g.priorFault(c.Payload.Action, prior)
		return a
	}
	if need == Confirm {
		x.Decision, x.Grant = need.String(), c.Grant
	}
	if x.Grant != "" {
		// Before validating, so that a wrong grant costs Sippet nothing.
		if err := g.Ledger.Check(ctx, g.grant(x)); err != nil {
			return g.refused(ctx, c, a, prior, err)
		}
	}
	if need > Allow {
		if a.Err = asError(g.Upstream.Validate(ctx, request(c.Payload))); a.Err != nil {
			if c.Grant != "" {
				// The answer was to this attempt; another one asks again.
				g.revoke(ctx, x)
			}
			return a
		}
	}
	if need == Confirm && x.Grant == "" {
		return g.ask(ctx, c, x, a, prior)
	}
	return g.run(ctx, c, x, a)
}

// run makes the call durable, sends it, and makes its outcome durable.
func (g *Gate) run(ctx context.Context, c Call, x *ledger.Txn, a Answer) Answer {
	p := c.Payload
	if p.Action.Class == schemas.Read && x.Grant == "" {
		res, err := g.send(ctx, p, p.Action.Deadline())
		a.Data, a.Err, a.status = res.Data, asError(err), res.Status
		return a
	}
	// A caller that goes away must not leave behind a write of which nobody knows how it ended. rpc has its own deadline.
	ctx = context.WithoutCancel(ctx)
	x.Replaced = g.replaced(ctx, p)
	intent, err := g.Ledger.Commit(ctx, *x)
	if err != nil {
		return g.uncommitted(ctx, c, x, a, err)
	}
	a.intent = true
	began := time.Now()
	res, err := g.send(ctx, p, p.Action.Deadline())
	a.Data, a.Err, a.status = res.Data, asError(err), res.Status
	end := ledger.Settlement{Intent: intent.ID, State: progress(a.Err, res.Sent), Sent: res.Sent, Status: res.Status,
		Outcome: a.Outcome(), Latency: time.Since(began), Result: a.Data}
	if end.State == ledger.Succeeded {
		end.Becomes, end.Erased = p.Created(a.Data), p.Erases()
	}
	if a.Err != nil && a.Err.Outcome == schemas.OutcomeUnknown {
		a.Err = g.unknown(p.Action, a.Err, intent.ID)
	}
	if err := g.Ledger.Settle(ctx, end); err != nil {
		g.Log.LogAttrs(ctx, slog.LevelError, "the outcome of a call could not be recorded", slog.String("action", p.Action.Name),
			slog.String("intent", intent.ID), slog.String("outcome", string(end.Outcome)), slog.String("cause", err.Error()))
		if a.Err == nil || a.Err.Outcome != schemas.OutcomeUnknown {
			a.Data, a.Err = nil, g.unknown(p.Action, &schemas.Error{Outcome: schemas.OutcomeUnknown,
				Message: fmt.Sprintf("%s was sent, and how it ended could not be recorded", p.Action.Name), Err: err}, intent.ID)
		}
	}
	return a
}

// send is the only place from which anything runs.
func (g *Gate) send(ctx context.Context, p *schemas.Payload, deadline time.Duration) (rpc.Result, error) {
	r := request(p)
	r.Deadline = deadline
	return g.Upstream.Run(ctx, r)
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

// lookBack bounds how long an update is held up by the look at what it replaces.
const lookBack = 5 * time.Second

// replaced reads what an update is about to overwrite, so that it can be put
// back; nil where nothing is, or where it cannot be read: an update is no less allowed for that.
func (g *Gate) replaced(ctx context.Context, p *schemas.Payload) json.RawMessage {
	before := p.Before()
	if before == nil {
		return nil
	}
	res, err := g.send(ctx, before, lookBack)
	if err != nil {
		g.Log.LogAttrs(ctx, slog.LevelWarn, "what an update replaces could not be read, so it cannot be undone",
			slog.String("action", p.Action.Name), slog.String("cause", err.Error()))
		return nil
	}
	return p.Replaced(res.Data)
}

// Explain says what Do would meet, and runs nothing: the verdict, and what
// Sippet's validate says of the payload (nil where it passes).
func (g *Gate) Explain(ctx context.Context, c Call) (Verdict, *schemas.Error) {
	v := g.Policy.Decide(c.Payload.Action)
	fault := refusal(c.Payload.Action, v)
	switch v.Decision {
	case Allow, Validate, Confirm:
		if fault = g.stopped(ctx, c.Payload.Action); fault == nil {
			fault = asError(g.Upstream.Validate(ctx, request(c.Payload)))
		}
	}
	g.Log.LogAttrs(ctx, slog.LevelInfo, "validated only", slog.String("action", c.Payload.Action.Name),
		slog.String("decision", v.Decision.String()), slog.Bool("passed", fault == nil), slog.String("principal", c.Principal))
	return v, fault
}

func request(p *schemas.Payload) rpc.Request {
	return rpc.Request{Action: p.Action.Name, Body: p.Body, Read: p.Action.Class == schemas.Read, Deadline: p.Action.Deadline()}
}

func asError(err error) *schemas.Error {
	if err == nil {
		return nil
	}
	var e *schemas.Error
	if errors.As(err, &e) {
		return e
	}
	// Not one of ours: nothing is known of it, so the gravest reading holds.
	return &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "an unexpected error", Next: "do not repeat it; see the server's log", Err: err}
}

// The bounds of what waits in memory for its record.
const (
	maxNoted = 64 << 10 // bytes of a payload
	maxFound = 64 << 10 // bytes of an answer; a longer one is looked through at once
)

// note leaves a record of a call that has none: a read, or one that did not run.
func (g *Gate) note(c Call, x *ledger.Txn, a Answer, took time.Duration) {
	if a.Pending != nil || a.intent && x.Class != schemas.Read {
		return
	}
	e := ledger.Event{Call: x.Call, Outcome: a.Outcome(), Status: a.status, Latency: took}
	if len(e.Payload) > maxNoted {
		e.Payload = nil
	}
	if data := a.Data; a.Err == nil && x.Class == schemas.Read {
		e.Find = func() ([]string, []string) { return c.Payload.Returned(data) }
		if len(data) > maxFound {
			subjects, erased := c.Payload.Returned(data)
			e.Find = func() ([]string, []string) { return subjects, erased }
		}
	}
	g.Ledger.Note(e)
}

func (g *Gate) log(ctx context.Context, c Call, a Answer) {
	level := slog.LevelInfo
	switch {
	case a.Outcome() == schemas.Unavailable:
		level = slog.LevelError
	case c.Payload.Action.Class == schemas.Read && a.Err == nil:
		level = slog.LevelDebug
	}
	if !g.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("action", c.Payload.Action.Name), slog.String("outcome", string(a.Outcome())),
		slog.String("decision", a.Verdict.Decision.String()), slog.String("principal", c.Principal), slog.String("request", c.Request)}
	if a.Err != nil && a.Err.Err != nil {
		attrs = append(attrs, slog.String("cause", a.Err.Err.Error()))
	}
	g.Log.LogAttrs(ctx, level, "call", attrs...)
}
