package tools

import (
	"context"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Inbox is what a call needs of the inbox.
type Inbox struct {
	Watch *approval.Watcher
	// Wait is how long after its beginning a call that waits for an answer says that it is pending,
	// at most MaxWait.
	Wait time.Duration
	// Link returns the address at which a logged-in person answers the request; empty if it is
	// unknown. It contains no secret.
	Link func(id string) string
	// Show shows a request to people: it sends the notice, and opens the browser of the person at
	// this machine unless quiet is true.
	Show func(c policy.Caller, p *policy.PendingApproval, quiet bool)
}

// MaxWait is less than what clients wait for a tool.
const MaxWait = 45 * time.Second

// pendingMember is the member `approval` of an answer that waits for a person.
type pendingMember struct {
	ID        string `json:"id"`
	Link      string `json:"link,omitempty"`
	Needs     string `json:"needs"`
	MayAnswer string `json:"mayAnswer"`
	Expires   string `json:"expires"`
}

// member returns what an answer shows of a pending request.
func (in *Inbox) member(p *policy.PendingApproval) *pendingMember {
	return &pendingMember{p.ApprovalID, in.Link(p.ApprovalID), p.Card.Needs, p.WhoMayAnswer(), p.Card.Expires.UTC().Format(time.RFC3339)}
}

// Await waits a while for the answer to a request and for the run, and returns the outcome. If
// nobody has answered by then, the result says how to get it later. why, if not nil, returns what the
// client's own dialogue has led to instead of an answer, once the wait is over; empty for nothing.
// ctx ends when the client leaves. wait, which is ctx or made from it, may end before.
func (r *Runner) Await(ctx, wait context.Context, q Request, p *policy.PendingApproval, why func() string) Result {
	c, fault := r.call(q, p.ApprovalID)
	if fault != nil {
		return r.fail(q.Action, fault)
	}
	wait, cancel := context.WithTimeout(wait, r.Inbox.Wait)
	defer cancel()
	a := r.Gate.AwaitApproval(wait, r.Inbox.Watch, p.ApprovalID)
	if a.Pending != nil && a.Approval.State == ledger.Approved && c.Payload.Action.Class == schemas.Read {
		q.ApprovalID = a.Approval.ID // results of reads are not stored, so this call runs it
		return r.Call(ctx, q)
	}
	if a.Pending != nil && why != nil {
		if text := why(); text != "" {
			a.Err.Message += " (" + text + ")"
		}
	}
	return r.answer(ctx, q, c.Payload, a, nil)
}

// Withdraw ends a request that nobody has answered, because the program ends, and returns the
// outcome: that nobody answered, or what an answer at this moment has led to.
func (r *Runner) Withdraw(ctx context.Context, q Request, p *policy.PendingApproval) Result {
	c, fault := r.call(q, p.ApprovalID)
	if fault != nil {
		return r.fail(q.Action, fault)
	}
	// Somebody may have just approved it: then it runs within a minute.
	latest, err := r.Gate.Ledger.Approval(ctx, p.ApprovalID)
	if err != nil || latest.State != ledger.Approved || approval.IsRead(latest.Action) {
		r.Gate.Withdraw(ctx, c, approval.ProgramEnded())
	}
	a := r.Gate.AwaitApproval(ctx, r.Inbox.Watch, p.ApprovalID)
	if approval.IsProgramEnded(&a.Approval) {
		return r.fail(q.Action, &schemas.Error{Outcome: schemas.Denied, Message: "nobody answered in time; nothing ran",
			Next: "run it again when " + p.WhoMayAnswer() + " can answer"})
	}
	return r.answer(ctx, q, c.Payload, a, nil)
}

// beginWait reports whether a call of the caller may wait. One may at a time, until stop is called:
// a client may send many calls together, and its person answers one after the other.
func (r *Runner) beginWait(c policy.Caller) (stop func(), ok bool) {
	key := c.Actor.String() + "\x00" + c.Credential
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[key] {
		return nil, false
	}
	if r.waiting == nil {
		r.waiting = map[string]bool{}
	}
	r.waiting[key] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, key)
	}, true
}
