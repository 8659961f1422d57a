package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// serveBare is the least that the SDK lets a server do: one tool hands its
// arguments on as the body and what comes back as the answer. The 52
// definitions stand beside it, for tools/list.
func serveBare(transport, addr, base string) error {
	s := server.NewMCPServer("bare", "1", server.WithToolCapabilities(false))
	c := client()
	forward := func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		answer, err := post(c, base, "run", r.Params.RawArguments)
		if err != nil {
			return nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{mcp.TextContent{Type: mcp.ContentTypeText, Text: string(answer)}},
			StructuredContent: json.RawMessage(answer)}, nil
	}
	twice := func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if _, err := post(c, base, "validate", r.Params.RawArguments); err != nil {
			return nil, err
		}
		return forward(ctx, r)
	}
	object := json.RawMessage(`{"type":"object"}`)
	all := []server.ServerTool{
		{Tool: mcp.NewToolWithRawSchema("forward", "Forward", object), Handler: forward},
		{Tool: mcp.NewToolWithRawSchema("forward_twice", "Validate and forward", object), Handler: twice},
	}
	for _, a := range schemas.Actions() {
		all = append(all, server.ServerTool{Tool: tools.Tool(a), Handler: forward})
	}
	s.AddTools(all...)
	if transport == "http" {
		h := server.NewStreamableHTTPServer(s, server.WithStateful(true))
		return http.ListenAndServe(addr, h) //nolint:gosec // ends with its parent
	}
	std := server.NewStdioServer(s)
	server.WithWorkerPoolSize(64)(std)
	server.WithQueueSize(1000)(std)
	return std.Listen(context.Background(), os.Stdin, os.Stdout)
}
