package tools

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// The names of what is asked; the first also names the question in a modern multi-round-trip request.
const (
	approvalKey = "approve"
	peopleKey   = "people"
)

// canElicit reports whether the client declared, for this very request, that
// it can put a form to its person. The SDK does not check, and a client
// without it leaves the question hanging.
func canElicit(ctx context.Context) bool {
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		return takesForms(in.ClientCapabilities)
	}
	s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo)
	if !ok {
		return false
	}
	c := s.GetClientCapabilities()
	return takesForms(&c)
}

// clientName is what the client's program calls itself, and its version.
func clientName(ctx context.Context) string {
	var who mcp.Implementation
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		if in.ClientInfo != nil {
			who = *in.ClientInfo
		}
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		who = s.GetClientInfo()
	}
	return strings.TrimSpace(who.Name + " " + who.Version)
}

// takesForms: an empty elicitation capability means forms, from before there were others.
func takesForms(c *mcp.ClientCapabilities) bool {
	return c != nil && c.Elicitation != nil && (c.Elicitation.Form != nil || c.Elicitation.URL == nil)
}

func elicitation(card approval.Card) mcp.ElicitationParams {
	q := mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: card.Text()}
	required := []string{approvalKey}
	properties := map[string]any{approvalKey: map[string]any{"type": "boolean", "title": "Yes, do this", "default": false}}
	if card.StateNumber > 0 {
		required = append(required, peopleKey)
		properties[peopleKey] = map[string]any{"type": "integer", "title": "How many people will be rung?", "description": "Type the number that the question states"}
	}
	q.RequestedSchema = map[string]any{"type": "object", "required": required, "properties": properties}
	return q
}

// replyOf reads what the client answered: a yes only where it was accepted and the box is ticked.
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

// Why a question cannot be put.
const (
	nobodySits = "a person must agree first and none sits behind this caller"
	cannotAsk  = "a person must agree first and this client cannot ask one (it declares no elicitation)"
)

// ask puts a pending question to the client's person and gives the call's
// result. In the modern era that is the question itself: the client calls again.
func (c *call) ask(ctx context.Context, pending *policy.PendingApproval) *mcp.CallToolResult {
	switch {
	case pending.Inbox:
		return c.await(ctx, pending)
	case !c.caller.Interactive:
		return c.unasked(ctx, pending.ApprovalID, nobodySits)
	case !canElicit(ctx):
		return c.unasked(ctx, pending.ApprovalID, cannotAsk)
	case server.IsModernRequest(ctx):
		return server.NewInputRequestBuilder(pending.ApprovalID).Elicit(approvalKey, elicitation(pending.Card)).ToolResult()
	}
	wait, cancel := context.WithDeadline(ctx, pending.Card.Expires)
	defer cancel()
	stop := context.AfterFunc(c.asking, cancel)
	defer stop()
	done := c.progress(wait)
	reply, err := server.ServerFromContext(ctx).RequestElicitation(wait, mcp.ElicitationRequest{
		Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)}, Params: elicitation(pending.Card)})
	done()
	switch {
	case err == nil:
		return c.show(c.runner.Answer(ctx, c.q, pending.ApprovalID, c.replyOf(reply)))
	case errors.Is(err, context.DeadlineExceeded):
		return c.unasked(ctx, pending.ApprovalID, "a person must agree first and nobody answered in time")
	}
	return c.unasked(ctx, pending.ApprovalID, "a person must agree first and the client did not ask")
}

// await waits a while for what people answer in the inbox.
func (c *call) await(ctx context.Context, pending *policy.PendingApproval) *mcp.CallToolResult {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.asking, cancel)()
	defer c.progress(wait)()
	return c.show(c.runner.Await(wait, c.q, pending))
}

// answer takes up a modern client's second call, which brings the reply.
func (c *call) answer(ctx context.Context) *mcp.CallToolResult {
	id := c.mcp.Params.RequestState
	switch {
	case !c.caller.Interactive:
		return c.unasked(ctx, id, nobodySits)
	case !canElicit(ctx):
		return c.unasked(ctx, id, cannotAsk)
	}
	return c.show(c.runner.Answer(ctx, c.q, id, c.replyOf(server.ElicitationResponse(c.mcp.Params.InputResponses, approvalKey))))
}

func (c *call) unasked(ctx context.Context, id, why string) *mcp.CallToolResult {
	return c.show(c.runner.WithdrawUnasked(ctx, c.q, id, why))
}

// progressEvery keeps clients from giving up while a person thinks.
const progressEvery = 10 * time.Second

// progress tells a client that wants to know that a person is being waited
// for, until the function that it gives is called.
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

// Caller is who is at the other end.
type Caller struct {
	// The principal is such as `ada (stdio)`. Client is filled from what the program said of itself.
	policy.Caller
	// Runner is the one of the caller's own organisation; nil means the server's.
	Runner *Runner
	// Interactive says that a person sits behind it, so that an elicitation's reply counts.
	Interactive bool
}

type callerKey struct{}

// WithCaller puts the caller into a request's context. A request without one is nobody's and is never asked.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerFrom(ctx context.Context) Caller {
	c, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		c.Actor = ledger.Actor{Name: "nobody"}
	}
	c.Client = clientName(ctx)
	return c
}
