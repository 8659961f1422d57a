package tools

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/policy"
)

// approvalKey names the question in a modern multi-round-trip request.
const approvalKey = "approve"

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

func question(card policy.Card) mcp.ElicitationParams {
	return mcp.ElicitationParams{
		Mode:    mcp.ElicitationModeForm,
		Message: card.Text(),
		RequestedSchema: map[string]any{
			"type":     "object",
			"required": []string{approvalKey},
			"properties": map[string]any{approvalKey: map[string]any{
				"type": "boolean", "title": "Yes, do this", "default": false,
			}},
		},
	}
}

// agreed reports whether the reply is a yes: accepted, and the box ticked. Everything else is a no.
func agreed(r *mcp.ElicitationResult) bool {
	if r == nil || r.Action != mcp.ElicitationResponseActionAccept {
		return false
	}
	m, _ := r.Content.(map[string]any)
	yes, _ := m[approvalKey].(bool)
	return yes
}

const byElicitation = "elicitation"

// ask puts a pending question to the client's person and gives the call's
// result. In the modern era that is the question itself: the client calls again.
func (s *Server) ask(ctx context.Context, r mcp.CallToolRequest, q Request, pending Result) *mcp.CallToolResult {
	grant := pending.Pending.Grant
	switch {
	case !callerFrom(ctx).Interactive:
		return s.show(s.runner.Unasked(ctx, q, grant, "a person must agree first and none sits behind this caller"))
	case !canElicit(ctx):
		return s.show(s.runner.Unasked(ctx, q, grant, "a person must agree first and this client cannot ask one (it declares no elicitation)"))
	case server.IsModernRequest(ctx):
		return server.NewInputRequestBuilder(grant).Elicit(approvalKey, question(pending.Pending.Card)).ToolResult()
	}
	wait, cancel := context.WithDeadline(ctx, pending.Pending.Card.Expires)
	defer cancel()
	stop := context.AfterFunc(s.asking, cancel)
	defer stop()
	done := s.progress(wait, r)
	reply, err := server.ServerFromContext(ctx).RequestElicitation(wait, mcp.ElicitationRequest{
		Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)}, Params: question(pending.Pending.Card)})
	done()
	switch {
	case err == nil:
		return s.show(s.runner.Answer(ctx, q, grant, agreed(reply), byElicitation))
	case errors.Is(err, context.DeadlineExceeded):
		return s.show(s.runner.Unasked(ctx, q, grant, "a person must agree first and nobody answered in time"))
	}
	return s.show(s.runner.Unasked(ctx, q, grant, "a person must agree first and the client did not ask"))
}

// answer takes up a modern client's second call, which brings the reply.
func (s *Server) answer(ctx context.Context, r mcp.CallToolRequest, q Request) *mcp.CallToolResult {
	if !callerFrom(ctx).Interactive || !canElicit(ctx) {
		return s.show(s.runner.Unasked(ctx, q, r.Params.RequestState, "a person must agree first and this client cannot ask one (it declares no elicitation)"))
	}
	reply := server.ElicitationResponse(r.Params.InputResponses, approvalKey)
	return s.show(s.runner.Answer(ctx, q, r.Params.RequestState, agreed(reply), byElicitation))
}

// progressEvery keeps clients from giving up while a person thinks.
const progressEvery = 10 * time.Second

// progress tells a client that wants to know that a person is being waited
// for, until the function that it gives is called.
func (s *Server) progress(ctx context.Context, r mcp.CallToolRequest) (done func()) {
	if r.Params.Meta == nil || r.Params.Meta.ProgressToken == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for n := 1; ; n++ {
			_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": r.Params.Meta.ProgressToken, "progress": n, "message": "waiting for a person's answer"})
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
		c.Principal = "nobody"
	}
	c.Client = clientName(ctx)
	return c
}
