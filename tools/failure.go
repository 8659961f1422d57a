package tools

import (
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// failure renders an error: what failed, whether anything ran, and what to do next. pending is the
// request that waits for a person; nil without one.
func (w *renderer) failure(action string, e *schemas.Error, pending *pendingMember) Result {
	w.put(`{"outcome":"` + string(e.Outcome) + `"`)
	if _, err := schemas.Find(action); err == nil {
		w.member("action", action)
	}
	w.member("message", e.Message)
	if e.Outcome == schemas.OutcomeUnknown {
		w.put(`,"ran":"unknown"`)
	} else {
		w.put(`,"ran":false`)
	}
	if len(e.Details) > 0 {
		w.details(e.Details)
	}
	if e.RetryAfter > 0 {
		w.member("retryAfterSeconds", int64((e.RetryAfter+time.Second-1)/time.Second))
	}
	if e.Intent != "" {
		w.member("intent", e.Intent)
	}
	if pending != nil {
		w.member("approval", pending)
	}
	if e.Next != "" {
		w.member("nextStep", e.Next)
	}
	res := w.end(e.Outcome)
	res.Err = e
	return res
}

// details writes the details of an error. Sippet's are untrusted text.
func (w *renderer) details(all []schemas.Detail) {
	w.put(`,"details":[`)
	for i, d := range all {
		if i > 0 {
			w.put(",")
		}
		if d.Type == "" {
			w.putRaw(encode(d)) // the checker's
			continue
		}
		path, n := schemas.Clean(d.Path)
		w.stripped += n
		w.put("{")
		if path != "" {
			w.put(`"path":`)
			w.value(encode(path), nil, "details[].path")
			w.put(",")
		}
		w.put(`"type":`)
		w.value(encode(d.Type), typeField, "details[]")
		w.put(`,"message":`)
		w.value(encode(d.Message), nil, "details[].message")
		w.put("}")
	}
	w.put("]")
}

// typeField is the field of Sippet's error types.
var typeField = &schemas.Field{Name: "type", Kind: schemas.Word}

// end closes the object in both outputs and returns the result.
func (w *renderer) end(o schemas.Outcome) Result {
	if w.simulated {
		w.put(`,"simulated":true`)
	}
	w.put("}")
	res := Result{Outcome: o, Structured: w.plain, Text: w.fenced, untrusted: w.untrusted, stripped: w.stripped}
	if len(w.untrusted) > 0 {
		res.marker = string(w.marker)
	}
	return res
}
