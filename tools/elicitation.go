package tools

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// The fields of the form. approvalKey is also the key of the elicitation in a modern answer.
const (
	approvalKey = "approve"
	peopleKey   = "people"
)

// elicitation returns the form for a card. The field repeats the deed, because a client may cut the
// message. It has no default, because a client may take one for the person's answer.
func elicitation(card approval.Card) mcp.ElicitationParams {
	e := mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: card.Text()}
	required := []string{approvalKey}
	properties := map[string]any{approvalKey: map[string]any{"type": "boolean", "title": "Approve", "description": strings.Join(card.Deed, " ")}}
	if card.StateNumber > 0 {
		required = append(required, peopleKey)
		properties[peopleKey] = map[string]any{"type": "integer", "title": "How many people does this reach?", "description": "Type the number of people stated above"}
	}
	e.RequestedSchema = map[string]any{"type": "object", "required": required, "properties": properties}
	return e
}

// replyOf reads the client's response. It approves only if the form was accepted with the box
// ticked.
func (c *call) replyOf(r *mcp.ElicitationResult) approval.Reply {
	reply := approval.Reply{By: ledger.Actor{Name: c.caller.Person, Via: "client"}}
	if r == nil || r.Action != mcp.ElicitationResponseActionAccept {
		return reply
	}
	m, _ := r.Content.(map[string]any)
	reply.Approve, _ = m[approvalKey].(bool)
	switch n := m[peopleKey].(type) {
	case float64:
		if n == math.Trunc(n) {
			reply.StatedNumber = int(n)
		}
	case json.Number:
		v, _ := n.Int64()
		reply.StatedNumber = int(v)
	}
	return reply
}

// Why nobody could be asked.
const (
	notInteractive = "a person must approve this call and this caller is not interactive"
	cannotAsk      = "a person must approve this call and this client cannot ask one (it declares no elicitation)"
	noReply        = "a person must approve this call and nobody answered in time"
	notAsked       = "a person must approve this call and the client did not ask one"
)

// ask asks a person about a pending request and returns the call's result. In the modern protocol
// that is the elicitation itself: the client calls again with the response.
func (c *call) ask(ctx context.Context, pending *policy.PendingApproval) *mcp.CallToolResult {
	switch {
	case pending.Inbox:
		return c.await(ctx, pending)
	case !c.caller.Interactive:
		return c.withdraw(ctx, pending.ApprovalID, notInteractive)
	case !canElicit(ctx):
		return c.withdraw(ctx, pending.ApprovalID, cannotAsk)
	case server.IsModernRequest(ctx):
		return server.NewInputRequestBuilder(pending.ApprovalID).Elicit(approvalKey, elicitation(pending.Card)).ToolResult()
	}
	wait, cancel := context.WithDeadline(ctx, pending.Card.Expires)
	defer cancel()
	stop := context.AfterFunc(c.asking, cancel)
	defer stop()
	done := c.progress(wait)
	response, err := server.ServerFromContext(ctx).RequestElicitation(wait, mcp.ElicitationRequest{
		Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)}, Params: elicitation(pending.Card)})
	done()
	switch {
	case err == nil:
		return c.show(c.runner.Answer(ctx, c.request, pending.ApprovalID, c.replyOf(response)))
	case errors.Is(err, context.DeadlineExceeded):
		return c.withdraw(ctx, pending.ApprovalID, noReply)
	}
	return c.withdraw(ctx, pending.ApprovalID, notAsked)
}

// await waits a while for an answer in the inbox.
func (c *call) await(ctx context.Context, pending *policy.PendingApproval) *mcp.CallToolResult {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.asking, cancel)()
	defer c.progress(wait)()
	return c.show(c.runner.Await(wait, c.request, pending))
}

// answer handles the second call of a modern client, which has the response.
func (c *call) answer(ctx context.Context) *mcp.CallToolResult {
	id := c.mcp.Params.RequestState
	switch {
	case !c.caller.Interactive:
		return c.withdraw(ctx, id, notInteractive)
	case !canElicit(ctx):
		return c.withdraw(ctx, id, cannotAsk)
	}
	return c.show(c.runner.Answer(ctx, c.request, id, c.replyOf(server.ElicitationResponse(c.mcp.Params.InputResponses, approvalKey))))
}

func (c *call) withdraw(ctx context.Context, id, why string) *mcp.CallToolResult {
	return c.show(c.runner.WithdrawUnasked(ctx, c.request, id, why))
}

// progressEvery is how often a waiting call sends progress, which keeps clients from giving up.
const progressEvery = 10 * time.Second

// progress sends progress to a client that asked for it, until done is called.
func (c *call) progress(ctx context.Context) (done func()) {
	meta := c.mcp.Params.Meta
	if meta == nil || meta.ProgressToken == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for n := 1; ; n++ {
			_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": meta.ProgressToken, "progress": n, "message": "waiting for a person's answer"})
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return cancel
}
