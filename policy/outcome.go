package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// earlier answers a call of which the same was asked in the inbox and has ended, where the caller has not heard of it:
// it has come for the answer, and asks for nothing new.
func (p *pass) earlier(ctx context.Context) (Answer, bool) {
	if !p.Inbox || p.Again || p.txn.Class == schemas.Read {
		return Answer{}, false
	}
	q, err := p.Ledger.Asked(ctx, p.grant())
	switch {
	case errors.Is(err, ledger.ErrNoGrant):
		return Answer{}, false
	case err != nil:
		return Answer{Err: p.storeFault(ctx, err)}, true
	case !q.Inbox, q.Told, q.Open(p.Now()), q.State == ledger.Waiting, q.State == ledger.Granted:
		return Answer{}, false // also one that ran out: it is asked anew
	case q.State == ledger.Revoked && q.Outcome == "":
		return Answer{}, false
	}
	a := p.Became(ctx, q)
	a.Verdict = rules.Verdict{Decision: rules.Confirm, Why: q.Why}
	if a.Pending != nil {
		return a, q.State == ledger.Spent // it is running
	}
	// What is long over answers for nothing: who asks today to ring somebody does not mean yesterday's call.
	return a, p.Now().Sub(a.Ended) < newsFor || p.Payload.Action.Repeatable && p.Now().Sub(a.Ended) < repeatableNewsFor
}

// newsFor is how long what came of a question is the answer to the same call again, where the caller has not heard it;
// repeatableNewsFor where once more would change nothing.
const (
	newsFor           = 10 * time.Minute
	repeatableNewsFor = 24 * time.Hour
)

// Became says what has come of the question so far. Where it has not ended that
// is Pending; where it was a read that somebody agreed to, the call must come for it.
func (g *Gate) Became(ctx context.Context, q ledger.Grant) Answer {
	a := Answer{Question: q, Ended: q.Answered}
	fail := func(e *schemas.Error) Answer {
		a.Err = e
		return a
	}
	action, err := schemas.Find(q.Action)
	if err != nil {
		return fail(asError(err))
	}
	switch {
	case q.State == ledger.Refused:
		e := &schemas.Error{Outcome: schemas.Declined, Message: fmt.Sprintf("%s said no to %s; nothing ran", NameOf(q.By), q.Action),
			Next: "do not ask again for the same; ask the person what they want instead"}
		if q.Note != "" {
			e.Message = fmt.Sprintf("%s said no to %s; nothing ran (their words: %s)", NameOf(q.By), q.Action, schemas.Escape(q.Note, maxNote))
		}
		return fail(e)
	case q.State == ledger.Revoked && q.Fault != nil:
		return fail(faultOf(q.Fault))
	case q.State == ledger.Revoked:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "the question was withdrawn; nothing ran", Next: "call again if it is still wanted, and the person is asked anew"})
	case q.State == ledger.Spent:
		return g.ran(ctx, a, action)
	case !q.Open(g.Now()) && q.State == ledger.Granted:
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: NameOf(q.By) + " agreed, and nobody could run it in time, so the yes is void; nothing ran", Next: "call again if it is still wanted, and the person is asked anew"})
	case !q.Open(g.Now()):
		return fail(&schemas.Error{Outcome: schemas.Denied, Message: "nobody answered in time, which is a no; nothing ran", Next: "tell the person; call again if it is still wanted, and they are asked anew"})
	}
	card := Card{Needs: q.Needs, Expires: q.Expires}
	if q.Card != nil && json.Unmarshal(q.Card, &card) != nil {
		return fail(cardGone())
	}
	a = a.pending(action, &Pending{Grant: q.ID, Card: card, Inbox: true})
	if q.State == ledger.Granted {
		a.Err.Message = fmt.Sprintf("%s agreed, and %s is about to run", NameOf(q.By), q.Action)
		a.Err.Next = "wait a moment, then call approval_status"
		if action.Class == schemas.Read {
			a.Err.Message, a.Err.Next = NameOf(q.By)+" agreed", "call it again with the very same arguments: what a read tells is kept nowhere"
		}
	}
	return a
}

// ran says how the run ended that spent the question's yes.
func (g *Gate) ran(ctx context.Context, a Answer, action *schemas.Action) Answer {
	in, err := g.Ledger.Intent(ctx, a.Question.Intent)
	if errors.Is(err, ledger.ErrNoIntent) {
		a.Err = &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "it was run, and how it ended is not kept any more", Next: "do not repeat it; look whether it took effect"}
		return a
	}
	if err != nil {
		a.Err = g.storeFault(ctx, err)
		return a
	}
	p := &pass{Gate: g, Call: Call{Payload: &schemas.Payload{Action: action}}}
	switch {
	case in.State == ledger.Succeeded && action.Class == schemas.Read:
		// Nothing must not pass for an empty list.
		a.Err = &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s agreed, and a call has come for it; what a read tells is kept nowhere", NameOf(a.Question.By)),
			Next: "call it again if it is still needed, and the person is asked anew"}
	case in.State == ledger.Succeeded:
		a = a.recorded(&in)
		a.Prior = nil // it is the first that the caller hears of it
		a.Ended = in.Settled
		if action.Class == schemas.Credential {
			a.HandedOver, err = g.Ledger.Held(ctx, a.Question.ID)
			if err != nil {
				a.Err = g.storeFault(ctx, err)
			}
		}
	case in.State == ledger.Unknown:
		a.Err, a.Ended = p.priorFault(&in), in.Settled
	case in.State == ledger.Failed:
		a.Ended = in.Settled
		if a.Err = faultOf(in.Fault); in.Fault == nil {
			a.Err = &schemas.Error{Outcome: in.Outcome, Message: action.Name + " was sent, and Sippet refused it; what it said is not kept", Next: "tell the person"}
		}
	default:
		a = a.pending(action, &Pending{Grant: a.Question.ID, Card: Card{Needs: a.Question.Needs, Expires: a.Question.Expires}, Inbox: true})
		a.Err.Message, a.Err.Next = fmt.Sprintf("%s agreed, and %s is running", NameOf(a.Question.By), action.Name), "wait a moment, then call approval_status"
	}
	return a
}

// Await waits until something came of the question: it has ended, or it is a
// read that somebody agreed to. Where ctx ends before, the answer is Pending.
func (g *Gate) Await(ctx context.Context, w *Watch, id string) Answer {
	changed, stop := w.SubscribeTo(id)
	defer stop()
	look := context.WithoutCancel(ctx)
	for {
		// What is sealed is opened only where there is news.
		rows, err := g.Ledger.Grants(look, ledger.GrantFilter{ID: id})
		if err != nil {
			return Answer{Err: g.storeFault(look, err)}
		}
		if len(rows) == 0 || rows[0].State != ledger.Waiting || !rows[0].Open(g.Now()) || ctx.Err() != nil {
			q, err := g.Ledger.Grant(look, id)
			if err != nil {
				return Answer{Err: g.storeFault(look, err)}
			}
			if next := g.instead(look, &q); next != "" {
				return g.Await(ctx, w, next)
			}
			a := g.Became(look, q)
			if a.Pending == nil || q.State == ledger.Granted && Read(q.Action) || ctx.Err() != nil {
				return a
			}
		}
		end := time.NewTimer(min(awaitEnd, max(0, rows[0].Expires.Sub(g.Now()))+50*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-changed:
		case <-end.C:
		}
		end.Stop()
	}
}

// instead is the question that took the place of one; empty where none did. Of the same calls at the same moment each asks,
// and the last question stands.
func (g *Gate) instead(ctx context.Context, q *ledger.Grant) string {
	if q.State != ledger.Revoked || q.Outcome != "" {
		return ""
	}
	next, err := g.Ledger.Asked(ctx, *q)
	if err != nil || next.ID == q.ID || !next.Inbox || next.Policy != q.Policy || next.Reach != q.Reach || next.Repeats != q.Repeats || next.Needs != q.Needs {
		return ""
	}
	return next.ID
}

// awaitEnd is how often the end of a run is looked for without a word of it.
const awaitEnd = 5 * time.Second

// Told notes that the caller has heard the answer, where it is one that ends a question.
func (g *Gate) Told(ctx context.Context, a Answer) {
	if a.Question.ID == "" || a.Pending != nil || a.Question.Told {
		return
	}
	if err := g.Ledger.Told(context.WithoutCancel(ctx), a.Question.ID); err != nil {
		g.Log.WarnContext(ctx, "that a caller heard what came of their question could not be noted; they hear it again", "cause", err)
	}
}

// Read reports whether the action of that name only looks.
func Read(action string) bool {
	a, err := schemas.Find(action)
	return err == nil && a.Class == schemas.Read
}

// NameOf takes the name from who answered, such as `ada (inbox)`.
func NameOf(by string) string {
	name, _, _ := strings.Cut(by, " (")
	if name == "" || name == "elicitation" || name == "terminal" {
		return "the person"
	}
	return schemas.Escape(name, 64)
}

// maxNote is how much of what a person said is shown, in characters.
const maxNote = 500

// fault is how a schemas.Error is kept.
type fault struct {
	Outcome       schemas.Outcome
	Message, Next string
	Details       []schemas.Detail `json:",omitempty"`
	RetryAfter    time.Duration    `json:",omitempty"`
	Intent        string           `json:",omitempty"`
}

func faultJSON(e *schemas.Error) []byte {
	raw, err := json.Marshal(fault{e.Outcome, e.Message, e.Next, e.Details, e.RetryAfter, e.Intent})
	if err != nil {
		return nil
	}
	return raw
}

func faultOf(raw []byte) *schemas.Error {
	var f fault
	if json.Unmarshal(raw, &f) != nil || f.Outcome == "" {
		return &schemas.Error{Outcome: schemas.Unavailable, Message: "what came of it cannot be read", Next: "tell the person to look into the audit"}
	}
	return &schemas.Error{Outcome: f.Outcome, Message: f.Message, Next: f.Next, Details: f.Details, RetryAfter: f.RetryAfter, Intent: f.Intent}
}

// FaultMessage is what a kept fault says to a person; empty where there is none.
func FaultMessage(raw []byte) string {
	if raw == nil {
		return ""
	}
	e := faultOf(raw)
	s := e.Message
	for _, d := range e.Details[:min(3, len(e.Details))] {
		s += "; " + schemas.Escape(d.Path+" "+d.Message, 200)
	}
	return s
}
