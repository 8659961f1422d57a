package tools

import (
	"context"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// Caller is who sends a request.
type Caller struct {
	// Caller is as the gate knows them. Client is filled in from what their program calls itself.
	policy.Caller
	// Runner is the runner of the caller's own organisation; nil means the server's.
	Runner *Runner
	// Interactive is true if a person uses the client, so that its reply to an elicitation counts.
	Interactive bool
}

type callerKey struct{}

// WithCaller returns a context that carries the caller of a request. A request without one has the
// caller nobody, who is never asked.
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

// clientName returns the name and version that the client's program declares.
func clientName(ctx context.Context) string {
	info := clientInfo(ctx)
	return strings.TrimSpace(info.Name + " " + info.Version)
}

// clientInfo returns what the client's program declares about itself.
func clientInfo(ctx context.Context) (info mcp.Implementation) {
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		if in.ClientInfo != nil {
			info = *in.ClientInfo
		}
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		info = s.GetClientInfo()
	}
	return info
}

// dialoguesOf returns whether the client declared, with this request, that it can show its person a
// form, or open an address for them. The SDK does not check that, and a client that cannot never
// answers.
func dialoguesOf(ctx context.Context) (form, url bool) {
	var c *mcp.ClientCapabilities
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		c = in.ClientCapabilities
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		declared := s.GetClientCapabilities()
		c = &declared
	}
	if c == nil || c.Elicitation == nil {
		return false, false
	}
	// An empty elicitation capability means forms: it is older than the other kinds.
	return c.Elicitation.Form != nil || c.Elicitation.URL == nil, c.Elicitation.URL != nil
}
