// Package tools is the MCP surface: one tool for each action of the registry,
// validate_action and approval_status beside them, and the ways of asking a person over MCP.
//
// A [Runner] takes the arguments of a call to a [Result]: it checks them,
// takes the payload through policy.Gate and renders what came back. It knows
// nothing of MCP; `sippet-mcp call` uses the same one. [NewServer] puts tools in front of it.
//
// # What an answer looks like
//
// The structured content is an object with `outcome`, one of the closed set of
// the schemas package, first. What ran has `results` (a list: with hasMore,
// next, asOf) or `result`. What did not run is an error that says so in
// `message`, whether anything may have happened in `ran`, and what to do in
// `nextStep`. The text content is the same as compact JSON, except that every
// text that came from outside (a caller, a contact, an email, a server's
// message) stands between [marker] and [/marker], where the marker is random
// for each answer and named in _meta.
//
// # Asking
//
// Where the gate answers that a person is due, this package asks: with an
// elicitation in the modern era (the tool answers input_required, the client
// calls again) or the legacy one (a request on the open stream). Whether the
// client can be asked is looked up anew for every request.
//
// Where it cannot, and where another person must approve, the question waits in
// the [Inbox]. The call waits a while with it, and then answers approval_pending
// with the question's id and address; approval_status, or the same call again,
// gives what came of it. Without an inbox the question is withdrawn, and the
// answer tells the model what to tell the person.
package tools
