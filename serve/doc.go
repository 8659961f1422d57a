// Package serve puts the MCP server on a transport: stdin and stdout, or
// streamable HTTP. It knows callers and limits, and nothing of actions.
//
// The SDK's transports are wrapped where they would let a client hurt others
// or itself: messages are bounded before they are read whole, writes to stdout
// cannot mix, an end of input waits for the calls in flight, browsers of other
// origins and rebound names are turned away, and one HTTP client cannot cancel another's call.
package serve
