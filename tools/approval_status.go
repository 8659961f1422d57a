package tools

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Inbox is the place where people answer later, as far as a call has to do with it.
type Inbox struct {
	Watch *approval.Watcher
	// Wait is how long a call waits for the answer before it says that it is pending; DefaultWait is what suits clients.
	Wait time.Duration
	// Link is where the question is answered, by somebody who logs in there; empty where nobody knows. It holds no secret.
	Link func(id string) string
	// Requested is told of each new question.
	Requested func(policy.Caller, *policy.PendingApproval)
}

// DefaultWait is less than what clients wait for a tool.
const DefaultWait = 45 * time.Second

// Await waits a while for what people answer to a question in the inbox, and
// gives what came of it. Where nobody has answered by then the result says how
// to find out later.
func (r *Runner) Await(ctx context.Context, q Request, pending *policy.PendingApproval) Result {
	if pending.New {
		r.Inbox.Requested(q.Caller, pending)
	}
	c, fault := r.call(q, pending.ApprovalID)
	if fault != nil {
		return r.fail(q.Action, fault)
	}
	wait, cancel := context.WithTimeout(ctx, r.Inbox.Wait)
	defer cancel()
	a := r.Gate.AwaitApproval(wait, r.Inbox.Watch, pending.ApprovalID)
	if a.Pending != nil && a.Approval.State == ledger.Approved && c.Payload.Action.Class == schemas.Read {
		q.ApprovalID = a.Approval.ID // what a read tells is kept nowhere, so the call itself takes it
		return r.Call(ctx, q)
	}
	return r.answer(ctx, q, c.Payload, a, nil)
}

// member returns what an answer shows of a pending request.
func (in *Inbox) member(pending *policy.PendingApproval) *pendingMember {
	return &pendingMember{pending.ApprovalID, in.Link(pending.ApprovalID), pending.Card.Needs, pending.Card.Expires.UTC().Format(time.RFC3339)}
}

// Status says what has come of a question of the caller's.
func (r *Runner) Status(ctx context.Context, c policy.Caller, id string) Result {
	none := &schemas.Error{Outcome: schemas.InvalidArguments, Message: "no such question was asked by this caller", Next: "give the id that approval_pending named"}
	q, err := r.Gate.Ledger.Approval(ctx, id)
	if err != nil || !q.Inbox || q.Requester != c.Actor || q.Credential != c.Credential {
		if err == nil || errors.Is(err, ledger.ErrRejected) {
			return r.fail("", none)
		}
		return r.fail("", &schemas.Error{Outcome: schemas.Unavailable, Message: "this server's ledger cannot be used", Next: "try again later", Err: err})
	}
	a := r.Gate.ResultOf(ctx, q)
	p, fault := schemas.Restore(q.Payload)
	if fault != nil { // it is gone, with somebody whose data was erased
		p = &schemas.Payload{}
		if p.Action, fault = schemas.Find(q.Action); fault != nil {
			return r.fail("", none)
		}
	}
	return r.answer(ctx, Request{Caller: c, Action: q.Action}, p, a, nil)
}

var statusTool = func() mcp.Tool {
	t := mcp.NewToolWithRawSchema("approval_status",
		"Ask what came of a call that answered approval_pending: still waiting, declined with the person's words, or what the action answered once somebody agreed and it ran. Use it after you have told the person, not in a loop; the same call repeated with the very same arguments answers the same. It changes nothing and hurries nobody. To try a call first, validate_action.",
		json.RawMessage(`{"type":"object","properties":{"id":{"type":"string","description":"approval.id of the answer approval_pending"}},"additionalProperties":false,"required":["id"]}`))
	t.Title = "Approval status"
	yes, no := true, false
	t.Annotations = mcp.ToolAnnotation{ReadOnlyHint: &yes, DestructiveHint: &no, IdempotentHint: &yes, OpenWorldHint: &no}
	return t
}()

func (s *Server) status(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	caller := callerFrom(ctx)
	runner := s.runnerOf(caller)
	var args map[string]json.RawMessage
	var id string
	if len(r.Params.RawArguments) > 1000 || json.Unmarshal(r.Params.RawArguments, &args) != nil || json.Unmarshal(args["id"], &id) != nil || id == "" || len(args) > 1 {
		e := &schemas.Error{Outcome: schemas.InvalidArguments, Message: "the arguments do not fit approval_status", Next: `give {"id":"<approval.id of the answer approval_pending>"}`}
		for _, name := range slices.Sorted(maps.Keys(args)) {
			if name != "id" {
				e.Details = append(e.Details, schemas.Detail{Path: schemas.Escape(name, 60), Message: "unknown name, valid: id"})
			}
		}
		return s.show(runner.fail("", e)), nil
	}
	return s.show(runner.Status(ctx, caller.Caller, id)), nil
}
