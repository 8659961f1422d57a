package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// call is one tools/call of an action.
type call struct {
	*Server
	runner  *Runner
	caller  Caller
	habit   habit
	mcp     mcp.CallToolRequest
	request Request
	began   time.Time
}

func (s *Server) handleAction(name string) server.ToolHandlerFunc {
	return func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		caller := callerFrom(ctx)
		info := clientInfo(ctx)
		c := &call{Server: s, runner: s.runnerOf(caller), caller: caller, habit: habitOf(info.Name, info.Version), mcp: r, began: time.Now(),
			request: Request{Caller: caller.Caller, Action: name, Args: r.Params.RawArguments}}
		if caller.Interactive && c.habit != drawsNothing {
			c.request.CanAsk, c.request.CanOpen = dialoguesOf(ctx)
		}
		if r.Params.RequestState != "" {
			return c.resume(ctx), nil
		}
		return c.run(ctx), nil
	}
}

// run takes the call through the gate, and asks for an approval if it needs one.
func (c *call) run(ctx context.Context) *mcp.CallToolResult {
	res := c.runner.Call(ctx, c.request)
	if res.Pending != nil {
		return c.ask(ctx, res.Pending)
	}
	return c.show(res)
}

// show returns the SDK's form of a result.
func (s *Server) show(r Result) *mcp.CallToolResult {
	out := &mcp.CallToolResult{
		Content:           []mcp.Content{mcp.TextContent{Type: mcp.ContentTypeText, Text: string(r.Text)}},
		StructuredContent: json.RawMessage(r.Structured),
		// Frameworks throw on an error, and would lose the link to the request.
		IsError: !r.Outcome.Ran() && r.Outcome != schemas.ApprovalPending,
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
