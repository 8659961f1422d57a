package tools

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

var validateTool = func() mcp.Tool {
	t := mcp.NewToolWithRawSchema("validate_action",
		"Test a call of another tool without running it: checks the arguments, asks Sippet's validate endpoint, and returns the decision (allow, validate, confirm, approve, deny) that the call would get, and why. Use it if you are unsure whether a call is valid or allowed; a run checks the same, so it is not needed before every call. Nothing changes and nobody is asked. Sippet can still reject a call that passed here, such as a duplicate.",
		json.RawMessage(`{"type":"object","properties":{"action":{"type":"string","description":"A tool's name, such as delete_contact"},"payload":{"type":"object","description":"The arguments for that tool"}},"additionalProperties":false,"required":["action"]}`))
	t.Title = "Validate an action"
	t.Annotations = readOnlyHints
	return t
}()

func (s *Server) handleValidate(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	in, fault := parseValidate(r.Params.RawArguments)
	if fault != nil {
		return s.show(s.runner.fail("", fault)), nil
	}
	if _, err := schemas.Find(in.Action); err == nil && !s.selected[in.Action] {
		return s.show(s.runner.fail(in.Action, &schemas.Error{Outcome: schemas.Denied,
			Message: in.Action + " is not among the tools of this server",
			Next:    "tell the person, who chooses them with the server's --toolsets, --tools and --read-only"})), nil
	}
	caller := callerFrom(ctx)
	return s.show(s.runnerOf(caller).explain(ctx, Request{Caller: caller.Caller, Action: in.Action, Args: in.Payload})), nil
}

// explain returns what the gate would do with a request, and runs nothing. A faulty payload is part
// of that answer; an error means that the answer could not be found.
func (r *Runner) explain(ctx context.Context, q Request) Result {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return r.fail(q.Action, err)
	}
	var e policy.Explanation
	if p, err := action.Check(q.Args, r.limits(q, action)); err != nil {
		e = policy.Explanation{Fault: err, Verdict: rules.Verdict{Decision: r.Gate.MildestDecision(q.Caller, action),
			Why: "the mildest decision that is possible; which rules match depends on valid arguments"}}
	} else {
		e = r.Gate.Explain(ctx, policy.Call{Caller: q.Caller, Payload: p})
	}
	if f := e.Fault; f != nil && f.Outcome != schemas.InvalidArguments && f.Outcome != schemas.ValidationFailed && f.Outcome != schemas.Denied {
		return r.fail(action.Name, f)
	}
	return r.newRenderer(0).explanation(action, e, meaning(e.Verdict.Decision))
}

// meaning says what a decision means for a call.
func meaning(d rules.Decision) string {
	switch d {
	case rules.Allow:
		return "it would run at once"
	case rules.Validate:
		return "it would run once Sippet's validate has passed"
	case rules.Confirm:
		return "a person would be asked first"
	case rules.Approve:
		return "another person would be asked first, in the inbox"
	}
	return "it would be denied"
}

// explanation renders what the gate would do with a call.
func (w *renderer) explanation(action *schemas.Action, e policy.Explanation, meaning string) Result {
	w.put(`{"outcome":"done"`)
	w.member("action", action.Name)
	// The arguments of a denied call are valid, though Sippet has not validated them.
	w.member("valid", e.Fault == nil || e.Fault.Outcome == schemas.Denied)
	w.member("decision", e.Verdict.Decision)
	w.member("why", e.Verdict.Why)
	w.member("meaning", meaning)
	if e.Recipients != nil {
		w.member("rings", e.Recipients.Count)
	}
	if e.Fault != nil {
		w.member("wouldBe", e.Fault.Outcome)
		w.member("message", e.Fault.Message)
		w.details(e.Fault.Details)
	}
	w.put(`,"ran":false`)
	return w.end(schemas.Done)
}

// validateArgs are the arguments of validate_action.
type validateArgs struct {
	Action  string
	Payload json.RawMessage
}

func parseValidate(raw []byte) (in validateArgs, fault *schemas.Error) {
	fault = &schemas.Error{Outcome: schemas.InvalidArguments, Message: "the arguments do not fit validate_action",
		Next: `nothing was sent; give {"action":"<a tool's name>","payload":{<its arguments>}}`}
	wrong := func(path, message string) {
		fault.Details = append(fault.Details, schemas.Detail{Path: path, Message: message})
	}
	var args map[string]json.RawMessage
	if len(raw) > schemas.MaxArguments || json.Unmarshal(raw, &args) != nil {
		wrong("", "must be a JSON object of at most 15 MiB")
		return in, fault
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if name != "action" && name != "payload" {
			wrong(schemas.Escape(name, 60), "unknown name, valid: action, payload")
		}
	}
	if json.Unmarshal(args["action"], &in.Action) != nil || in.Action == "" {
		wrong("action", "is required: the name of a tool")
	}
	in.Payload = args["payload"]
	if len(fault.Details) > 0 {
		return in, fault
	}
	return in, nil
}
