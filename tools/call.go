package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// call is one tools/call of an action.
type call struct {
	*Server
	runner  *Runner
	caller  Caller
	mcp     mcp.CallToolRequest
	request Request
}

func (s *Server) handleAction(name string) server.ToolHandlerFunc {
	return func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		caller := callerFrom(ctx)
		c := &call{Server: s, runner: s.runnerOf(caller), caller: caller, mcp: r,
			request: Request{Caller: caller.Caller, Action: name, Args: r.Params.RawArguments, CanAsk: caller.Interactive && canElicit(ctx)}}
		// A client that cannot ask has no person's response. With an inbox its call is like any
		// other.
		if r.Params.RequestState != "" && (c.request.CanAsk || c.runner.Inbox == nil) {
			return c.answer(ctx), nil
		}
		res := c.runner.Call(ctx, c.request)
		if res.Pending != nil {
			return c.ask(ctx, res.Pending), nil
		}
		return s.show(res), nil
	}
}

// show returns the SDK's form of a result.
func (s *Server) show(r Result) *mcp.CallToolResult {
	out := &mcp.CallToolResult{
		Content:           []mcp.Content{mcp.TextContent{Type: mcp.ContentTypeText, Text: string(r.Text)}},
		StructuredContent: json.RawMessage(r.Structured),
		IsError:           !r.Outcome.Ran(),
	}
	meta := map[string]any{}
	if r.marker != "" {
		meta["sippet.ai/untrusted"] = map[string]any{"marker": r.marker, "paths": r.untrusted}
	}
	if r.stripped > 0 {
		meta["sippet.ai/stripped"] = r.stripped
	}
	if len(meta) > 0 {
		out.Meta = &mcp.Meta{AdditionalFields: meta}
	}
	return out
}

// recoverPanic turns a panic of a handler into an error.
func (s *Server) recoverPanic(next server.ToolHandlerFunc) server.ToolHandlerFunc {
	return func(ctx context.Context, r mcp.CallToolRequest) (res *mcp.CallToolResult, err error) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("panic in a tool", "tool", r.Params.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				// The panic may have happened before or after the call was sent.
				res, err = s.show(s.runner.fail(r.Params.Name, &schemas.Error{Outcome: schemas.OutcomeUnknown,
					Message: "this server had an internal error while it handled " + r.Params.Name,
					Next:    "do not repeat it; check whether it took effect, and tell the person to read the server's log"})), nil
			}
		}()
		return next(ctx, r)
	}
}
