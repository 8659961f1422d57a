package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

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
	Grants   Grants
	// Simulated says so on every card: the upstream is the sandbox.
	Simulated bool
	// Wait is how long a question may stay unanswered.
	Wait time.Duration
	Now  func() time.Time
	Log  *slog.Logger
}

// Call is one request to do something.
type Call struct {
	// Principal is who asks, as grants and cards name them.
	Principal string
	Payload   *schemas.Payload
	// Grant is the id of the grant that a person answered; empty on the first pass.
	Grant string
}

// Answer is how a call ended, or that a person is due.
type Answer struct {
	Verdict Verdict
	// Data is Sippet's answer where Err is nil.
	Data json.RawMessage
	// Err is why it did not run, or that nobody knows; nil where it ran.
	Err *schemas.Error
	// Pending is set, with Err of outcome approval_pending, where a person must be asked.
	Pending *Pending
}

// Pending is a question for a person.
type Pending struct {
	Grant string
	Card  Card
}

// Outcome gives the word for how the call ended.
func (a Answer) Outcome() schemas.Outcome {
	if a.Err == nil {
		return schemas.Done
	}
	return a.Err.Outcome
}

// Do takes a call along the road, as the package comment draws it.
func (g *Gate) Do(ctx context.Context, c Call) (a Answer) {
	a.Verdict = g.Policy.Decide(c.Payload.Action)
	defer func() { g.log(ctx, c, a) }()
	switch a.Verdict.Decision {
	case Allow:
		return g.run(ctx, c, a)
	case Validate, Confirm:
	default:
		a.Err = refusal(c.Payload.Action, a.Verdict)
		return a
	}
	grant := g.grant(c)
	if a.Verdict.Decision == Confirm && c.Grant != "" {
		// Before validating, so that a wrong grant costs Sippet nothing.
		if err := g.Grants.Check(ctx, grant); err != nil {
			a.Err = grantError(err)
			return a
		}
	}
	if a.Err = g.validate(ctx, c); a.Err != nil {
		if c.Grant != "" {
			// The answer was to this attempt; another one asks again.
			g.Withdraw(ctx, c)
		}
		return a
	}
	if a.Verdict.Decision == Confirm {
		if c.Grant == "" {
			return g.ask(ctx, c, a)
		}
		if err := g.Grants.Spend(ctx, grant); err != nil {
			a.Err = grantError(err)
			return a
		}
	}
	return g.run(ctx, c, a)
}

// Explain says what Do would meet, and runs nothing: the verdict, and what
// Sippet's validate says of the payload (nil where it passes).
func (g *Gate) Explain(ctx context.Context, c Call) (Verdict, *schemas.Error) {
	v := g.Policy.Decide(c.Payload.Action)
	fault := refusal(c.Payload.Action, v)
	switch v.Decision {
	case Allow, Validate, Confirm:
		fault = g.validate(ctx, c)
	}
	g.Log.LogAttrs(ctx, slog.LevelInfo, "validated only", slog.String("action", c.Payload.Action.Name),
		slog.String("decision", v.Decision.String()), slog.Bool("passed", fault == nil), slog.String("principal", c.Principal))
	return v, fault
}

// Record keeps a person's answer to the question c.Grant. by says who
// answered and how. The error says why the answer does not count.
func (g *Gate) Record(ctx context.Context, c Call, yes bool, by string) *schemas.Error {
	state := Refused
	if yes {
		state = Granted
	}
	if err := g.Grants.Record(ctx, g.grant(c), state, by); err != nil {
		return grantError(err)
	}
	return nil
}

// Withdraw takes back a question that nobody can be asked, or nobody answered.
func (g *Gate) Withdraw(ctx context.Context, c Call) {
	// What has been spent, answered with no or has expired asks nobody any more; a store that fails is another matter.
	if err := g.Grants.Record(context.WithoutCancel(ctx), g.grant(c), Revoked, ""); err != nil && grantError(err).Outcome == schemas.Unavailable {
		g.Log.LogAttrs(ctx, slog.LevelError, "a question could not be withdrawn", slog.String("action", c.Payload.Action.Name), slog.String("cause", err.Error()))
	}
}

func (g *Gate) grant(c Call) Grant {
	return Grant{ID: c.Grant, Principal: c.Principal, Action: c.Payload.Action.Name, Hash: c.Payload.Hash(), Policy: g.Policy.Version}
}

func (g *Gate) ask(ctx context.Context, c Call, a Answer) Answer {
	n := g.grant(c)
	n.ID, n.Expires = NewGrantID(), g.Now().Add(g.Wait)
	if err := g.Grants.Open(ctx, n); err != nil {
		a.Err = grantError(err)
		return a
	}
	a.Pending = &Pending{Grant: n.ID, Card: newCard(c, a.Verdict, n.Expires, g.Simulated)}
	a.Err = &schemas.Error{Outcome: schemas.ApprovalPending,
		Message: fmt.Sprintf("a person must agree before %s runs; nothing ran", c.Payload.Action.Name),
		Next:    "ask the person, then call again with their answer"}
	return a
}

func (g *Gate) validate(ctx context.Context, c Call) *schemas.Error {
	return asError(g.Upstream.Validate(ctx, request(c.Payload)))
}

func (g *Gate) run(ctx context.Context, c Call, a Answer) Answer {
	if c.Payload.Action.Class != schemas.Read {
		// A caller that goes away must not leave behind a write of which nobody knows how it ended. rpc has its own deadline.
		ctx = context.WithoutCancel(ctx)
	}
	res, err := g.Upstream.Run(ctx, request(c.Payload))
	if a.Err = asError(err); a.Err == nil {
		a.Data = res.Data
		return a
	}
	if list := c.Payload.Action.ShownBy(); a.Err.Outcome == schemas.OutcomeUnknown && list != "" {
		a.Err.Next = fmt.Sprintf("do not repeat it: see with %s whether it took effect, and tell the person", list)
	}
	return a
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

func refusal(a *schemas.Action, v Verdict) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s is not allowed here; nothing ran", a.Name)}
	switch {
	case a.Class == schemas.Credential:
		e.Next = "tell the person to do this in Sippet itself: a credential must not pass through an AI"
	case v.Decision == Approve:
		e.Message = fmt.Sprintf("%s needs the yes of another person, and this version has no place to give it; nothing ran", a.Name)
		e.Next = "tell the person, who can do this in Sippet itself"
	default:
		e.Next = "do not try again; tell the person, who decides what this server may do"
	}
	e.Message += " (" + v.Why + ")"
	return e
}

func grantError(err error) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error() + "; nothing ran", Next: "call again without requestState, and the person is asked anew", Err: err}
	switch {
	case errors.Is(err, ErrGrantDenied):
		e.Outcome, e.Next = schemas.Declined, "do not ask again for the same; ask the person what they want instead"
	case errors.Is(err, ErrGrantWaiting):
		e.Outcome, e.Next = schemas.ApprovalPending, "wait for the person's answer"
	case errors.Is(err, ErrTooMany):
		e.Outcome, e.Next = schemas.Unavailable, "let the person answer what is waiting, then call again"
	case !known(err):
		e.Outcome, e.Message, e.Next = schemas.Unavailable, "the store of grants cannot be used; nothing ran", "tell the person to look at the server's log"
	}
	return e
}

func known(err error) bool {
	for _, k := range []error{ErrNoGrant, ErrGrantExpired, ErrGrantSpent, ErrGrantRevoked, ErrGrantOther} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

func (g *Gate) log(ctx context.Context, c Call, a Answer) {
	level := slog.LevelInfo
	if c.Payload.Action.Class == schemas.Read && a.Err == nil {
		level = slog.LevelDebug
	}
	if !g.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("action", c.Payload.Action.Name), slog.String("outcome", string(a.Outcome())),
		slog.String("decision", a.Verdict.Decision.String()), slog.String("principal", c.Principal)}
	if a.Err != nil && a.Err.Err != nil {
		attrs = append(attrs, slog.String("cause", a.Err.Err.Error()))
	}
	g.Log.LogAttrs(ctx, level, "call", attrs...)
}
