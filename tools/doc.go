// Package tools serves the actions of Sippet as MCP tools: [NewServer] returns a server with one
// tool for each action, and with validate_action and approval_status.
//
//	s, err := tools.NewServer(tools.Options{Version: "v1.2.3", Runner: runner, Log: log})
//	// serve s.MCP over a transport, with the caller of each request in its context: WithCaller
//
// A [Runner] takes the arguments of a call to a [Result]: it checks them, takes the payload through
// policy.Gate, and renders the result. It knows nothing of MCP, so `sippet-mcp call` uses it too.
//
// # Answers
//
// The structured content is an object. Its first member is `outcome`, one of the closed set of
// package schemas. A call that ran has `result`, or `results` for a list, with `hasMore`, `next`
// and `asOf`. A call that did not run has `message`, `ran` (false, or "unknown" if it may have run)
// and `nextStep`.
//
// The text content is the same object as compact JSON, except that each untrusted text (of a
// caller, a contact, an email, a server's message) stands between [marker] and [/marker]. The
// marker is random for each answer and named in _meta.
//
// A list that does not fit is read again, shorter, before it is rendered: list.go reads, render.go
// writes and knows neither the gate nor the inbox.
//
// # Approval
//
// If the gate returns a pending request, it is in the [Inbox] already. If the client can ask its
// person, this package asks there as well (ask.go): in the modern protocol the tool answers
// input_required and the client calls again, in the legacy one the server sends a request on the
// open stream. What the client sends counts only if it can be a person's answer; policy decides.
//
// The call waits a while for an answer, whoever gives it (await.go), and then answers
// approval_pending, with the request's id and link. approval_status, or the same call again, returns
// the outcome.
package tools
