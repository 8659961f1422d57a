package tools

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Inbox is what a call needs of the inbox.
type Inbox struct {
	Watch *approval.Watcher
	// Wait is how long a call waits for an answer before it says that it is pending, such as
	// DefaultWait.
	Wait time.Duration
	// Link returns the address at which a logged-in person answers the request; empty if it is
	// unknown. It contains no secret.
	Link func(id string) string
	// Requested is called with each new request.
	Requested func(policy.Caller, *policy.PendingApproval)
}

// DefaultWait is less than what clients wait for a tool.
const DefaultWait = 45 * time.Second

// member returns what an answer shows of a pending request.
func (in *Inbox) member(pending *policy.PendingApproval) *pendingMember {
	return &pendingMember{pending.ApprovalID, in.Link(pending.ApprovalID), pending.Card.Needs, pending.Card.Expires.UTC().Format(time.RFC3339)}
}

// Await waits a while for the answer to a request in the inbox and for the run, and returns the
// outcome. If nobody has answered by then, the result says how to get it later.
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
		q.ApprovalID = a.Approval.ID // results of reads are not stored, so this call runs it
		return r.Call(ctx, q)
	}
	return r.answer(ctx, q, c.Payload, a, nil)
}

// status returns the outcome of one of the caller's own requests. For any other id the result is
// the same, so that nobody learns which requests exist.
func (r *Runner) status(ctx context.Context, c policy.Caller, id string) Result {
	none := &schemas.Error{Outcome: schemas.InvalidArguments, Message: "this caller has no approval request with that id",
		Next: "use the approval.id of the approval_pending answer"}
	q, err := r.Gate.Ledger.Approval(ctx, id)
	if err != nil || !q.Inbox || q.Requester != c.Actor || q.Credential != c.Credential {
		if err == nil || errors.Is(err, ledger.ErrRejected) {
			return r.fail("", none)
		}
		return r.fail("", &schemas.Error{Outcome: schemas.Unavailable, Message: "this server's ledger cannot be used",
			Next: "try again later", Err: err})
	}
	a := r.Gate.ResultOf(ctx, q)
	p, fault := schemas.Restore(q.Payload)
	if fault != nil { // it was erased together with a person's data
		p = &schemas.Payload{}
		if p.Action, fault = schemas.Find(q.Action); fault != nil {
			return r.fail("", none)
		}
	}
	return r.answer(ctx, Request{Caller: c, Action: q.Action}, p, a, nil)
}

var statusTool = func() mcp.Tool {
	t := mcp.NewToolWithRawSchema("approval_status",
		"Get the outcome of a call that answered approval_pending: still pending, declined with the person's note, or the action's own answer once it was approved and ran. Use it after you have told the person, not in a loop; the same call repeated with the very same arguments answers the same. It changes nothing and reminds nobody. To test a call beforehand, use validate_action.",
		json.RawMessage(`{"type":"object","properties":{"id":{"type":"string","description":"approval.id of the approval_pending answer"}},"additionalProperties":false,"required":["id"]}`))
	t.Title = "Approval status"
	t.Annotations = readOnlyHints
	return t
}()

func (s *Server) handleStatus(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	caller := callerFrom(ctx)
	runner := s.runnerOf(caller)
	var args map[string]json.RawMessage
	var id string
	if len(r.Params.RawArguments) > 1000 || json.Unmarshal(r.Params.RawArguments, &args) != nil || json.Unmarshal(args["id"], &id) != nil || id == "" || len(args) > 1 {
		e := &schemas.Error{Outcome: schemas.InvalidArguments, Message: "the arguments do not fit approval_status", Next: `give {"id":"<approval.id of the approval_pending answer>"}`}
		for _, name := range slices.Sorted(maps.Keys(args)) {
			if name != "id" {
				e.Details = append(e.Details, schemas.Detail{Path: schemas.Escape(name, 60), Message: "unknown name, valid: id"})
			}
		}
		return s.show(runner.fail("", e)), nil
	}
	return s.show(runner.status(ctx, caller.Caller, id)), nil
}
