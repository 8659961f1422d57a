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

// status returns the outcome of one of the caller's own requests. If it is pending, status waits
// until wait ends. For any other id the result is the same, so that nobody learns which requests
// exist.
func (r *Runner) status(ctx, wait context.Context, c policy.Caller, id string) Result {
	q, err := r.Gate.Ledger.Approval(ctx, id)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrRejected):
		return r.fail("", ledgerFailed(err))
	case err != nil, !isOwn(&q, c):
		return r.fail("", noSuchRequest)
	}
	if q.State == ledger.Pending && q.Open(r.Gate.Now()) && wait.Err() == nil {
		if stop, ok := r.beginWait(c); ok {
			r.Gate.AwaitApproval(wait, r.Inbox.Watch, id)
			stop()
			if q, err = r.Gate.Ledger.Approval(context.WithoutCancel(ctx), id); err != nil {
				return r.fail("", ledgerFailed(err))
			}
		}
	}
	a := r.Gate.ResultOf(ctx, q)
	p, fault := schemas.Restore(q.Payload)
	if fault != nil { // it was erased together with a person's data
		p = &schemas.Payload{}
		if p.Action, fault = schemas.Find(q.Action); fault != nil {
			return r.fail("", noSuchRequest)
		}
	}
	return r.answer(ctx, Request{Caller: c, Action: q.Action}, p, a, nil)
}

var noSuchRequest = &schemas.Error{Outcome: schemas.InvalidArguments, Message: "this caller has no approval request with that id",
	Next: "use the approval.id of the approval_pending answer, or leave id out to list what is pending"}

func ledgerFailed(err error) *schemas.Error {
	return &schemas.Error{Outcome: schemas.Unavailable, Message: "this server's ledger cannot be used", Next: "try again later", Err: err}
}

// isOwn reports whether the caller made the request.
func isOwn(q *ledger.ApprovalRequest, c policy.Caller) bool {
	return q.Requester == c.Actor && q.Credential == c.Credential
}

// pending lists the caller's own open requests, oldest first.
func (r *Runner) pending(ctx context.Context, c policy.Caller) Result {
	open, err := r.Gate.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true})
	if err != nil {
		return r.fail("", ledgerFailed(err))
	}
	type request struct {
		Action string               `json:"action"`
		State  ledger.ApprovalState `json:"state"`
		*pendingMember
		Requested string `json:"requested"`
	}
	list := []request{}
	for i := range open {
		if q := &open[i]; isOwn(q, c) {
			p := &policy.PendingApproval{ApprovalID: q.ID, Person: q.Person, Card: approval.Card{Needs: q.Needs, Expires: q.Expires}}
			list = append(list, request{q.Action, q.State, r.Inbox.member(p), q.Requested.UTC().Format(time.RFC3339)})
		}
	}
	w := r.newRenderer(0)
	w.put(`{"outcome":"done"`)
	w.member("pending", list)
	if len(list) > 0 {
		w.member("nextStep", "tell the person what waits for them, with the links; then give one id to approval_status")
	}
	return w.end(schemas.Done)
}

var statusTool = func() mcp.Tool {
	t := mcp.NewToolWithRawSchema("approval_status",
		"Get the outcome of a call that answered approval_pending: still pending, declined with the person's note, or the action's own answer once it was approved and ran. It waits up to 45 seconds for a person; without an id it lists at once what is pending for you. Use it after you have told the person, not in a loop; the same call repeated with the very same arguments answers the same. It changes nothing and reminds nobody. To test a call beforehand, use validate_action.",
		json.RawMessage(`{"type":"object","properties":{"id":{"type":"string","description":"approval.id of the approval_pending answer"},"waitSeconds":{"type":"integer","minimum":0,"maximum":45,"description":"how long to wait for a person; 45 by default, 0 answers at once"}},"additionalProperties":false}`))
	t.Title = "Approval status"
	t.Annotations = readOnlyHints
	return t
}()

func (s *Server) handleStatus(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	caller := callerFrom(ctx)
	runner := s.runnerOf(caller)
	id, wait, fault := readStatusArguments(r.Params.RawArguments)
	if fault != nil {
		return s.show(runner.fail("", fault)), nil
	}
	if id == "" {
		return s.show(runner.pending(ctx, caller.Caller)), nil
	}
	waiting, cancel := context.WithTimeout(ctx, min(wait, runner.Inbox.Wait))
	defer cancel()
	defer context.AfterFunc(s.asking.ctx, cancel)()
	return s.show(runner.status(ctx, waiting, caller.Caller, id)), nil
}

// readStatusArguments reads the arguments of approval_status. The id is empty if none is given.
func readStatusArguments(raw []byte) (id string, wait time.Duration, fault *schemas.Error) {
	fault = &schemas.Error{Outcome: schemas.InvalidArguments, Message: "the arguments do not fit approval_status",
		Next: `give {"id":"<approval.id of the approval_pending answer>"}, or {} to list what is pending`}
	var args map[string]json.RawMessage
	if len(raw) > 1000 || len(raw) > 0 && json.Unmarshal(raw, &args) != nil {
		return "", 0, fault
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if name != "id" && name != "waitSeconds" {
			fault.Details = append(fault.Details, schemas.Detail{Path: schemas.Escape(name, 60), Message: "unknown name, valid: id, waitSeconds"})
		}
	}
	if args["id"] != nil && (json.Unmarshal(args["id"], &id) != nil || id == "") {
		fault.Details = append(fault.Details, schemas.Detail{Path: "id", Message: "must be the text of approval.id"})
	}
	seconds := int(MaxWait / time.Second)
	if args["waitSeconds"] != nil && (json.Unmarshal(args["waitSeconds"], &seconds) != nil || seconds < 0 || seconds > int(MaxWait/time.Second)) {
		fault.Details = append(fault.Details, schemas.Detail{Path: "waitSeconds", Message: "must be a whole number from 0 to 45"})
	}
	if len(fault.Details) > 0 {
		return "", 0, fault
	}
	return id, time.Duration(seconds) * time.Second, nil
}
