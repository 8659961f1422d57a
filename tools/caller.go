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
	var info mcp.Implementation
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		if in.ClientInfo != nil {
			info = *in.ClientInfo
		}
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		info = s.GetClientInfo()
	}
	return strings.TrimSpace(info.Name + " " + info.Version)
}

// canElicit reports whether the client declared, with this request, that it can show a form to its
// person. The SDK does not check that, and a client that cannot never answers.
func canElicit(ctx context.Context) bool {
	if in := server.RequestProtocolInfoFromContext(ctx); in != nil && in.Modern {
		return acceptsForms(in.ClientCapabilities)
	}
	s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo)
	if !ok {
		return false
	}
	c := s.GetClientCapabilities()
	return acceptsForms(&c)
}

// acceptsForms reports whether forms are among the capabilities. An empty elicitation capability
// means forms: it is older than the other kinds.
func acceptsForms(c *mcp.ClientCapabilities) bool {
	return c != nil && c.Elicitation != nil && (c.Elicitation.Form != nil || c.Elicitation.URL == nil)
}
