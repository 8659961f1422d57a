package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Upstream validates and runs payloads at Sippet, as *rpc.Client does.
type Upstream interface {
	Validate(context.Context, rpc.Request) *schemas.Error
	Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error)
}

// Gate takes every call to Sippet through the call lifecycle. It is safe for concurrent use.
type Gate struct {
	Policy   *PolicySet
	Upstream Upstream
	Ledger   ledger.Ledger
	// Organisation is the id of Upstream's organisation in the ledger. Key is the name of its API
	// key; empty for a simulated one.
	Organisation, Key string
	// Simulated is true if Upstream is the sandbox; every card says so.
	Simulated bool
	// Lifetime is how long most approval requests stay open; see schemas.Action.ApprovalLifetime.
	Lifetime time.Duration
	// ClientFirst is how long a request that the client asks its person about is not shown to
	// approvers.
	ClientFirst time.Duration
	Now         func() time.Time
	Log         *slog.Logger
}

// Caller is who makes a call.
type Caller struct {
	// Actor is their name and channel, as cards and the audit log show them.
	Actor ledger.Actor
	// ID identifies them for rules and budgets: a token's id, else the person's name.
	ID string
	// Person is who sits at the client or is responsible for it.
	Person string
	Roles  []string
	// Policy names policies that apply to them in addition to the server's; empty for none.
	Policy string
	// Credential is the id of the token that they showed; empty without one.
	Credential string
	// Client is what their program calls itself.
	Client string
}

// Call is one call of an action.
type Call struct {
	Caller
	// Request is the id of the request in the log and the audit log; Do creates one if it is empty.
	Request string
	Payload *schemas.Payload
	// ApprovalID is the id of the request that a person answered; empty on the first attempt.
	ApprovalID string
	// Again is true if the call is meant even though the same call ran a moment ago: a person is
	// asked.
	Again bool
	// CanAsk is true if the client can show its person a form, CanOpen if it can open an address
	// for them, and somebody is known to sit there.
	CanAsk, CanOpen bool
	// Shows returns how many rows of the answer the caller is shown, from its first one; negative
	// for all. nil shows all.
	Shows func(data json.RawMessage) int
}

// Result is the outcome of a call, or that a person must approve it.
type Result struct {
	Verdict rules.Verdict
	// Data is Sippet's answer if Err is nil; null if the previous answer was not stored.
	Data json.RawMessage
	// Previous is set if nothing ran because the same call ran before. Data is the previous answer.
	Previous *ledger.Intent
	// Err is why the call did not run, or that its outcome is unknown; nil if it ran.
	Err *schemas.Error
	// Pending is set, with an Err of outcome approval_pending, if a person must approve the call.
	Pending *PendingApproval
	// Approval is the answered request that led to this result; zero without one.
	Approval ledger.ApprovalRequest
	// Settled is when the request that led to this result was decided or its run ended.
	Settled time.Time
	// Dropped says which keys of metadata the call drops, without untrusted text; empty if none, and if
	// another process ran the call.
	Dropped string
	// HandoverUntil is until when the person who approved can take the credential that the action
	// issued; zero without one.
	HandoverUntil time.Time

	status int
	intent bool // the ledger has an intent for the call
}

// PendingApproval is an approval request that a person must answer. It is in the inbox.
type PendingApproval struct {
	ApprovalID string
	Card       approval.Card
	// Person is the requester's name among persons; empty if unknown.
	Person string
	// New is true if this call created it.
	New bool
	// Dialogue is how the client asks its person as well.
	Dialogue Dialogue
}

// Dialogue is a way in which a client asks its person.
type Dialogue int

// The dialogues.
const (
	NoDialogue Dialogue = iota // the inbox alone
	FormDialogue
	// URLDialogue opens the card in the inbox.
	URLDialogue
)

// Outcome returns the outcome.
func (r Result) Outcome() schemas.Outcome {
	switch {
	case r.Err != nil:
		return r.Err.Outcome
	case r.Previous != nil:
		return schemas.Recorded
	}
	return schemas.Done
}

// Do takes a call through the lifecycle that the package comment shows.
func (g *Gate) Do(ctx context.Context, c Call) Result {
	began := time.Now()
	if c.Request == "" {
		c.Request = ledger.NewID()
	}
	at := g.attempt(c)
	defer func() { at.reading.Show(nil, 0) }() // a panic must not hold it
	res := at.run(ctx)
	at.endReading(res)
	at.recordEvent(res, time.Since(began))
	at.log(ctx, res)
	return res
}

// Explanation is what Do would decide for a call.
type Explanation struct {
	Verdict rules.Verdict
	// Recipients are the people whom the call would reach; nil if it reaches nobody.
	Recipients *recipients.Set
	// Related is what was read about the contact that the call writes; nil if it writes none.
	Related *recipients.Related
	// Fault is why the call would not run: the policy, an emergency stop, or what Sippet's validate
	// finds; nil if it would.
	Fault *schemas.Error
}

// Explain returns what Do would decide, and runs nothing but validate and prefetches. It is recorded,
// and taken from budgets of reading.
func (g *Gate) Explain(ctx context.Context, c Call) (e Explanation) {
	began := time.Now()
	if c.Request == "" {
		c.Request = ledger.NewID()
	}
	at := g.attempt(c)
	at.tested = true
	defer func() { at.recordExplained(e, time.Since(began)) }()
	if e.Fault = at.checkRecorded(ctx); e.Fault != nil {
		return e
	}
	if e.Fault = at.startReading(ctx, at.contactBudgets()); e.Fault != nil {
		return e
	}
	at.findSafe(ctx)
	if e.Fault = at.checkStopped(ctx); e.Fault == nil {
		if e.Fault = at.decide(ctx); e.Fault == nil {
			e.Fault = at.explainMemory(ctx)
		}
	}
	e.Verdict, e.Recipients, e.Related = at.verdict, at.recipients, at.related
	if e.Fault == nil {
		if e.Fault = at.checkAllowed(); e.Fault == nil {
			e.Fault = g.Upstream.Validate(ctx, at.turn().request(c.Payload))
		}
	}
	g.Log.LogAttrs(ctx, slog.LevelInfo, "call explained", slog.String("action", c.Payload.Action.Name),
		slog.String("decision", e.Verdict.Decision.String()), slog.Bool("passed", e.Fault == nil), slog.String("caller", c.Actor.String()))
	return e
}

// explainMemory raises the decision to confirm, as run does, if an outcome is unknown or the call exceeds
// a budget.
func (at *attempt) explainMemory(ctx context.Context) *schemas.Error {
	previous, err := at.findConflicting(ctx)
	if err == nil {
		err = at.findUnknown(ctx, previous)
	}
	if err != nil {
		return at.ledgerError(ctx, err)
	}
	if why := at.unknownWhy(previous); why != "" && at.verdict.Decision < rules.Confirm {
		at.verdict.Decision, at.verdict.Why = rules.Confirm, why
	}
	return at.explainBudgets(ctx)
}

// Hidden returns the fields of the action's records that the caller must not see.
func (g *Gate) Hidden(c Caller, action *schemas.Action) map[string]bool {
	return fieldsOf(action, g.Policy.For(c).HiddenFields(action, c.rules()))
}

// MildestDecision returns the mildest decision that any call of the action could get.
func (g *Gate) MildestDecision(c Caller, action *schemas.Action) rules.Decision {
	return g.Policy.For(c).Mildest(action, c.rules()).Decision
}

// rules returns the caller as rules see it.
func (c Caller) rules() rules.Caller { return rules.Caller{ID: c.ID, Person: c.Person, Roles: c.Roles} }

// fieldsOf returns the fields of the action's own resource from names such as
// `Contact.dateOfBirth`.
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

// turn says how the requests of a call wait for their turn at Sippet.
type turn struct {
	caller  string
	rank    rpc.Rank
	recheck func(context.Context) *schemas.Error
}

// turn returns that of the call. Reads that the gate needs for it rank as the call does.
func (at *attempt) turn() turn {
	t := turn{caller: cmp.Or(at.ID, at.Actor.Name), rank: rpc.RankWrite}
	switch a := at.Payload.Action; {
	case a.Name == ledger.HangUp, at.txn.Safe:
		t.rank = rpc.RankUrgent
	case a.Class == schemas.Read:
		t.rank = rpc.RankRead
	}
	return t
}

func (t turn) request(p *schemas.Payload) rpc.Request {
	return rpc.Request{Action: p.Action.Name, Body: p.Body, Read: p.Action.Class == schemas.Read, Deadline: p.Action.Deadline(),
		Caller: t.caller, Rank: t.rank, Recheck: t.recheck}
}

// runUpstream is the only caller of Upstream.Run.
func (g *Gate) runUpstream(ctx context.Context, t turn, p *schemas.Payload, deadline time.Duration) (rpc.Result, *schemas.Error) {
	r := t.request(p)
	r.Deadline = deadline
	return g.Upstream.Run(ctx, r)
}
