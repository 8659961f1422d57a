// Package clients holds a test with real clients from npm, against the built program and its
// sandbox: the TypeScript SDKs of MCP, the AI SDK, LangChain, Mastra, OpenAI Agents, supergateway
// and Claude Code. Each asks for a call that a person must approve. The person approves, declines,
// or is not there. The test compares what the model receives, what ran, and whom the audit log
// names.
//
//	make clients                                      everything
//	go test -tags clients ./internal/clients -v -run Clients/mastra   one client
//
// `go test ./...` leaves it out: it has the build tag clients. It needs npm and Linux. The clients
// and the Node that runs them are pinned in testdata/package-lock.json. They are installed once,
// into sippet-mcp-clients in the user's cache directory (a gigabyte; half a minute).
//
// The agents and Claude Code talk to a stand-in for a model, which asks for the call and keeps the
// result that it is sent. The clients get an environment without keys and settings.
package clients
