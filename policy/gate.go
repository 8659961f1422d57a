package policy

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Upstream is Sippet, as *rpc.Client speaks to it.
type Upstream interface {
	Validate(context.Context, rpc.Request) *schemas.Error
	Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error)
}

// Gate is the one road to Sippet. It is safe for concurrent use.
type Gate struct {
	Policy   *PolicySet
	Upstream Upstream
	Ledger   ledger.Ledger
	// Organisation names where Upstream leads, as the ledger tells organisations apart.
	Organisation string
	// Simulated says so on every card: the upstream is the sandbox.
	Simulated bool
	// Inbox says that there is a place where people answer later, and an Executor that runs what they agree to.
	Inbox bool
	// Wait is how long a question that is put to somebody at once may stay unanswered.
	Wait time.Duration
	Now  func() time.Time
	Log  *slog.Logger
}

// Caller is who asks.
type Caller struct {
	// Actor is their name and channel, as cards and the audit log show them.
	Actor ledger.Actor
	// ID is how rules and budgets know them: a token's id, else the person's name.
	ID string
	// Person is who sits behind it or answers for it.
	Person string
	Roles  []string
	// Policy names the policies that hold for them beside the server's own; empty where none do.
	Policy string
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
	// ApprovalID is the id of the grant that a person answered; empty on the first pass.
	ApprovalID string
	// Again says that the call is meant even where the same ran a moment ago: a person is asked.
	Again bool
	// CanAsk says that whoever calls can put a question to its person at once, so that a confirmation need not wait in the inbox.
	CanAsk bool
}

// Result is how a call ended, or that a person is due.
type Result struct {
	Verdict rules.Verdict
	// Data is Sippet's answer where Err is nil; null where the earlier answer was not kept.
	Data json.RawMessage
	// Previous is set where nothing new ran because the same call ran before; Data is its answer.
	Previous *ledger.Intent
	// Err is why it did not run, or that nobody knows; nil where it ran.
	Err *schemas.Error
	// Pending is set, with Err of outcome approval_pending, where a person must be asked.
	Pending *PendingApproval
	// Approval is the question that a person answered, where this is what came of it; empty elsewhere.
	Approval ledger.ApprovalRequest
	// Settled is when that came of it.
	Settled time.Time
	// HandoverUntil is set where an action issued something that only the person who agreed is shown; until then they can take it.
	HandoverUntil time.Time

	status int
	intent bool // the ledger has an intent of it
}

// PendingApproval is a question for a person.
type PendingApproval struct {
	ApprovalID string
	Card       Card
	// Inbox says that it waits in the inbox; else the caller puts it to its person. New that it was not there before.
	Inbox, New bool
}

// Outcome gives the word for how the call ended.
func (a Result) Outcome() schemas.Outcome {
	switch {
	case a.Err != nil:
		return a.Err.Outcome
	case a.Previous != nil:
		return schemas.Recorded
	}
	return schemas.Done
}

// Do takes a call along the road, as the package comment draws it.
func (g *Gate) Do(ctx context.Context, c Call) Result {
	began := time.Now()
	if c.Request == "" {
		c.Request = ledger.NewID()
	}
	p := g.attempt(c)
	a := p.run(ctx)
	p.recordEvent(a, time.Since(began))
	p.log(ctx, a)
	return a
}

// Explanation is what a call would meet.
type Explanation struct {
	Verdict rules.Verdict
	// Recipients is whom it would ring; nil where it rings nobody.
	Recipients *recipients.Set
	// Fault is why it would not run: the policy's no, a stop, or what Sippet's validate finds; nil where it passes.
	Fault *schemas.Error
}

// Explain says what Do would meet, and runs nothing.
func (g *Gate) Explain(ctx context.Context, c Call) (e Explanation) {
	p := g.attempt(c)
	if e.Fault = p.checkStopped(ctx); e.Fault == nil {
		e.Fault = p.decide(ctx)
	}
	e.Verdict, e.Recipients = p.verdict, p.recipients
	if e.Fault == nil {
		if e.Fault = p.checkAllowed(); e.Fault == nil {
			e.Fault = g.Upstream.Validate(ctx, request(c.Payload))
		}
	}
	g.Log.LogAttrs(ctx, slog.LevelInfo, "validated only", slog.String("action", c.Payload.Action.Name),
		slog.String("decision", e.Verdict.Decision.String()), slog.Bool("passed", e.Fault == nil), slog.String("caller", c.Actor.String()))
	return e
}

// Hidden are the fields of the action's records that the caller must not see.
func (g *Gate) Hidden(c Caller, a *schemas.Action) map[string]bool {
	return fieldsOf(a, g.Policy.For(c).HiddenFields(a, c.rules()))
}

// MildestDecision is the mildest decision that any call of the action could get.
func (g *Gate) MildestDecision(c Caller, a *schemas.Action) rules.Decision {
	return g.Policy.For(c).Mildest(a, c.rules()).Decision
}

// rules is the caller as rules see them.
func (c Caller) rules() rules.Caller { return rules.Caller{ID: c.ID, Person: c.Person, Roles: c.Roles} }

// fieldsOf takes from `Contact.dateOfBirth` and others the fields of the action's own resource.
func fieldsOf(a *schemas.Action, hidden []string) map[string]bool {
	if a.Resource == nil || len(hidden) == 0 {
		return nil
	}
	out := map[string]bool{}
	for _, h := range hidden {
		if resource, field, _ := strings.Cut(h, "."); resource == a.Resource.Name {
			out[field] = true
		}
	}
	return out
}

// runUpstream is the only place from which anything runs.
func (g *Gate) runUpstream(ctx context.Context, p *schemas.Payload, deadline time.Duration) (rpc.Result, *schemas.Error) {
	r := request(p)
	r.Deadline = deadline
	return g.Upstream.Run(ctx, r)
}

func request(p *schemas.Payload) rpc.Request {
	return rpc.Request{Action: p.Action.Name, Body: p.Body, Read: p.Action.Class == schemas.Read, Deadline: p.Action.Deadline()}
}
