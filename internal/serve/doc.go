// Package serve puts the MCP server on a transport: stdin and stdout, or
// streamable HTTP. It knows callers and limits, and nothing of actions.
//
// The SDK's transports are wrapped where they would let a client hurt others
// or itself: messages are bounded before they are read whole, writes to stdout
// cannot mix, an end of input waits for the calls in flight, browsers of other
// origins and rebound names are turned away, and one HTTP client cannot cancel another's call.
//
// The inbox stands beside MCP on the same server, or alone on one of its own; it
// knows by itself who is there.
//
// Over HTTP a request passes, in this order: guard (the proxy, the Host and
// Origin headers), authenticate (the bearer token; bearer.go), own (a legacy
// session is its beginner's; session.go), front (the body's length, stray
// cancellations, streams that end), and then the SDK. Nothing of a body is
// read before the caller is known. Where it may be reached from is in reach.go.
package serve
