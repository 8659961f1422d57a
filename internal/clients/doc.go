// Package clients tests real clients from npm with the built program and its sandbox: the
// TypeScript SDKs of MCP, the AI SDK, LangChain, Mastra, OpenAI Agents, supergateway and Claude
// Code. Each asks for a call that a person must approve. The person approves, declines, or is not
// there; or the client answers in their place. The test compares what the model receives, what ran,
// and who answered according to the audit log.
//
//	make clients                                                      all clients
//	go test -tags clients ./internal/clients -v -run Clients/mastra   one, with what its model receives
//
// `go test ./...` leaves it out: it has the build tag clients. It needs npm and Linux.
//
// The clients and the Node that runs them are pinned in testdata/package-lock.json. They are
// installed once, into sippet-mcp-clients in the user's cache directory. That takes a gigabyte, and
// up to two minutes. To update one, change its version in testdata/package.json and run
// `npm install --package-lock-only --ignore-scripts` there.
//
// The agents and Claude Code talk to a stand-in for a model, which asks for the call and keeps the
// result that it is sent. No client gets a key or a setting, or reaches more than this machine.
package clients
