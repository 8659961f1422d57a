package tools

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sippet-ai/sippet-mcp/policy"
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
	var in struct {
		Action  string          `json:"action"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := strict(r.Params.RawArguments, &in); err != nil || in.Action == "" {
		return s.show(s.runner.fail("", &schemas.Error{Outcome: schemas.InvalidArguments,
			Message: "the arguments do not fit validate_action",
			Next:    `give {"action":"<a tool's name>","payload":{<its arguments>}}`})), nil
	}
	if _, err := schemas.Find(in.Action); err == nil && !s.selected[in.Action] {
		return s.show(s.runner.fail(in.Action, &schemas.Error{Outcome: schemas.Denied,
			Message: in.Action + " is not among the tools of this server",
			Next:    "tell the person; the server's toolsets, tools and read-only flags decide it"})), nil
	}
	return s.show(s.runner.Explain(ctx, Request{Principal: callerFrom(ctx).Principal, Action: in.Action, Args: in.Payload})), nil
}

// Explain says what a request would meet, and runs nothing. That the payload
// is faulty is its answer, not its failure: it fails where it could not find out.
func (r *Runner) Explain(ctx context.Context, q Request) Result {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return r.fail(q.Action, err.(*schemas.Error))
	}
	verdict := r.Gate.Policy.Decide(action)
	p, err := action.Check(q.Args, r.limits(action))
	var fault *schemas.Error
	if err != nil {
		fault = err.(*schemas.Error)
	} else {
		verdict, fault = r.Gate.Explain(ctx, policy.Call{Principal: q.Principal, Payload: p})
	}
	switch {
	case fault == nil:
	case fault.Outcome == schemas.InvalidArguments, fault.Outcome == schemas.ValidationFailed, fault.Outcome == schemas.Denied:
	default:
		return r.fail(q.Action, fault)
	}
	w := r.render(0)
	w.put(`{"outcome":"done"`)
	w.own("action", action.Name)
	// What is denied was not put to Sippet; its arguments fit.
	w.own("valid", fault == nil || fault.Outcome == schemas.Denied)
	w.own("decision", verdict.Decision)
	w.own("why", verdict.Why)
	w.own("meaning", meaning(verdict.Decision))
	if fault != nil {
		w.own("wouldBe", fault.Outcome)
		w.own("message", fault.Message)
		w.put(`,"details":[`)
		for i, d := range fault.Details {
			if i > 0 {
				w.put(",")
			}
			w.detail(d)
		}
		w.put("]")
	}
	w.put(`,"ran":false`)
	return r.finish(w, schemas.Done)
}

func meaning(d policy.Decision) string {
	switch d {
	case policy.Allow:
		return "it would run at once"
	case policy.Validate:
		return "it would run once Sippet's validate has passed"
	case policy.Confirm:
		return "a person would be asked first"
	case policy.Approve:
		return "it would be refused: another person must approve, and this version has no place for that"
	}
	return "it would be refused"
}

// strict decodes an object that may have no other members than v has.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
