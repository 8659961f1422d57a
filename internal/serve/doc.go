// Package serve serves MCP and the inbox: on stdin and stdout, or over streamable HTTP.
//
//	err := serve.Stdio(ctx, server, caller, os.Stdin, os.Stdout, log)
//
//	h := &serve.HTTP{Server: server, Inbox: box.Handler(), Log: log, …}
//	ln, err := h.Listen("127.0.0.1:8765")
//	err = h.Serve(ctx, ln)
//
// It knows callers and limits, and no actions. The inbox is served beside MCP or alone, and
// authenticates people by itself.
//
// # What the SDK's transports lack
//
// The transports of the SDK are wrapped. Messages are bounded before they are read whole. Writes to
// stdout cannot mix. An end of input waits for the calls in flight. Browsers of other origins and
// rebound host names are rejected. One HTTP client cannot cancel another's call.
//
// # Over HTTP
//
// A request to MCP passes these handlers, in this order:
//
//	guard          the proxy, the Host and Origin headers    (listen.go)
//	authenticate   the bearer token                          (bearer.go)
//	own            a legacy session belongs to its token     (session.go)
//	front          the length of the body, cancellations     (http.go)
//
// Then the SDK handles it. No part of a body is read before the caller is known.
package serve
