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
		"Try a call of another tool without running it: checks the arguments, asks Sippet's validate, and says which decision (allow, validate, confirm, approve, deny) a run would meet and why. Nothing changes and nobody is asked. Sippet can still refuse on running what passed here, such as a duplicate.",
		json.RawMessage(`{"type":"object","properties":{"action":{"type":"string","description":"A tool's name, such as delete_contact"},"payload":{"type":"object","description":"The arguments that the tool would get"}},"additionalProperties":false,"required":["action"]}`))
	t.Title = "Validate an action"
	yes, no := true, false
	t.Annotations = mcp.ToolAnnotation{ReadOnlyHint: &yes, DestructiveHint: &no, IdempotentHint: &yes, OpenWorldHint: &no}
	return t
}()

func (s *Server) validate(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	in, fault := readValidate(r.Params.RawArguments)
	if fault != nil {
		return s.show(s.runner.fail("", fault)), nil
	}
	if _, err := schemas.Find(in.Action); err == nil && !s.selected[in.Action] {
		return s.show(s.runner.fail(in.Action, &schemas.Error{Outcome: schemas.Denied,
			Message: in.Action + " is not among the tools of this server",
			Next:    "tell the person; the server's toolsets, tools and read-only flags decide it"})), nil
	}
	caller := callerFrom(ctx)
	return s.show(s.runnerOf(caller).Explain(ctx, Request{Caller: caller.Caller, Action: in.Action, Args: in.Payload})), nil
}

// Explain says what a request would meet, and runs nothing. That the payload
// is faulty is its answer, not its failure: it fails where it could not find out.
func (r *Runner) Explain(ctx context.Context, q Request) Result {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return r.fail(q.Action, err)
	}
	p, err := action.Check(q.Args, r.limits(q, action))
	if err != nil {
		return r.explained(action, policy.Explanation{Fault: err,
			Verdict: rules.Verdict{Decision: r.Gate.MildestDecision(q.Caller, action), Why: "the mildest that it could meet; which rules apply depends on arguments that fit"}})
	}
	return r.explained(action, r.Gate.Explain(ctx, policy.Call{Caller: q.Caller, Payload: p}))
}

func (r *Runner) explained(action *schemas.Action, e policy.Explanation) Result {
	if f := e.Fault; f != nil && f.Outcome != schemas.InvalidArguments && f.Outcome != schemas.ValidationFailed && f.Outcome != schemas.Denied {
		return r.fail(action.Name, f)
	}
	return r.newRenderer(0).explanation(action, e, r.meaning(e.Verdict.Decision))
}

// explanation renders what a call would meet.
func (w *renderer) explanation(action *schemas.Action, e policy.Explanation, meaning string) Result {
	w.put(`{"outcome":"done"`)
	w.member("action", action.Name)
	// A denied call is not validated by Sippet; its arguments are valid.
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

func (r *Runner) meaning(d rules.Decision) string {
	switch d {
	case rules.Allow:
		return "it would run at once"
	case rules.Validate:
		return "it would run once Sippet's validate has passed"
	case rules.Confirm:
		return "a person would be asked first"
	case rules.Approve:
		if r.Inbox == nil {
			return "it would be refused: another person must approve, and this program has no inbox"
		}
		return "another person would be asked first, in the inbox"
	}
	return "it would be refused"
}

// validateArgs are validate_action's own arguments.
type validateArgs struct {
	Action  string
	Payload json.RawMessage
}

func readValidate(raw []byte) (in validateArgs, fault *schemas.Error) {
	fault = &schemas.Error{Outcome: schemas.InvalidArguments, Message: "the arguments do not fit validate_action",
		Next: `nothing was sent; give {"action":"<a tool's name>","payload":{<its arguments>}}`}
	wrong := func(path, message string) {
		fault.Details = append(fault.Details, schemas.Detail{Path: path, Message: message})
	}
	var args map[string]json.RawMessage
	if len(raw) > schemas.MaxArguments || json.Unmarshal(raw, &args) != nil {
		wrong("", "must be a JSON object of at most 8 MiB")
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
