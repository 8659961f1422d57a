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

// bareServer is the least that the SDK lets a server do: one tool hands its
// arguments on as the body, and what comes back on as text and as structured
// content; another posts them twice, as a validated write does. The
// definitions of the real tools stand beside them, for tools/list.
func bareServer(base string) *server.MCPServer {
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
	return s
}

// serveBare serves it as ours is served: sessions over HTTP, as many workers over stdio.
func serveBare(transport, addr, base string) error {
	s := bareServer(base)
	if transport == "http" {
		return http.ListenAndServe(addr, server.NewStreamableHTTPServer(s, server.WithStateful(true)))
	}
	std := server.NewStdioServer(s)
	server.WithWorkerPoolSize(64)(std)
	server.WithQueueSize(1000)(std)
	return std.Listen(context.Background(), os.Stdin, os.Stdout)
}
