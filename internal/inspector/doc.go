// Package inspector holds a test with real clients: the official MCP Inspector
// and the official conformance suite, both from npm, against the built program
// and its sandbox.
//
//	inspector/run.sh                  everything, with what was said on the wire
//	inspector/run.sh -run Inspector   the Inspector alone
//	go test ./internal/inspector               the same, quiet (make inspector: not quiet)
//
// The Inspector lists the tools and calls list_contacts eight times in all: over stdio and
// over streamable HTTP, in the legacy era (initialize, sessions) and in the
// modern one (server/discover, every request by itself). It stands behind a
// tap that notes the messages, so that the test knows which era was really spoken.
//
// The clients and the Node that runs them are pinned in package.json and
// installed once, into sippet-mcp-inspector in the user's cache directory (some
// 300 MB; the first time takes a minute, later ones seconds). Where there is no
// npm, or it cannot download, the tests skip and say so; where the environment has CI set,
// that is a failure. `go test -short` skips too.
package inspector
