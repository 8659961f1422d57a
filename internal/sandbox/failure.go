package sandbox

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// failure is one entry of an answer's `errors`. The catch-all has a code and
// an error id where all others have a type.
type failure struct {
	Type, Code, ErrorID   string
	Message, ShortMessage string
	Vars                  map[string]any
	Fields                []string
	Path                  []any
}

func (f *failure) MarshalJSON() ([]byte, error) {
	m := map[string]any{"message": f.Message, "shortMessage": f.ShortMessage,
		"vars": map[string]any{}, "fields": []string{}, "path": []any{}}
	if f.Code != "" {
		m["code"], m["errorId"] = f.Code, f.ErrorID
	} else {
		m["type"] = f.Type
	}
	if f.Vars != nil {
		m["vars"] = f.Vars
	}
	if f.Fields != nil {
		m["fields"] = f.Fields
	}
	if f.Path != nil {
		m["path"] = f.Path
	}
	return json.Marshal(m)
}

// failures are the errors of one answer, in the order in which it lists them.
// An empty, non-nil list is an answer too: that is how a forbidden generic
// action looks.
type failures []*failure

func (fs failures) Error() string {
	var parts []string
	for _, f := range fs {
		parts = append(parts, f.Type+f.Code+": "+f.Message)
	}
	return strings.Join(parts, "; ")
}

func fail(fs ...*failure) failures { return fs }

// errCrash stands for requests that make the real backend raise: it answers
// them with status 500.
var errCrash = errors.New("the request crashes the backend")

// internalError is the catch-all, for every fault that Ash has but
// AshTypescript does not know how to show.
func internalError(path ...any) *failure {
	id := uuid.NewString()
	return &failure{Code: "internal_error", ErrorID: id, ShortMessage: "Internal error",
		Message: "Something went wrong. Unique error id: " + id, Path: path}
}

func unknownError(path ...any) *failure {
	return &failure{Type: "unknown_error", Message: "Something went wrong", ShortMessage: "Unknown error", Path: path}
}

func missingParameter(name string) *failure {
	return &failure{Type: "missing_required_parameter", Message: "Required parameter %{parameter} is missing or empty",
		ShortMessage: "Missing required parameter", Vars: map[string]any{"parameter": name}}
}

func notFound(message string) *failure {
	return &failure{Type: "not_found", Message: message, ShortMessage: "Not found"}
}

func forbidden() *failure {
	return &failure{Type: "forbidden", Message: "forbidden", ShortMessage: "Forbidden"}
}

// NotFound is the error of an action that found no record with the value of a key,
// which is written as in the backend: call_uuid.
func (a *action) NotFound(key, value string) error {
	return fail(notFound(crumbs(a) + "record with " + key + ": " + inspectString(value) + " not found"))
}

// InvalidAttribute is the error of an action that cannot do what the field of its
// input asks for.
func InvalidAttribute(field, message string) error {
	return fail(Invalid(field, message, nil).asInvalid("invalid_attribute", "Invalid attribute"))
}

// Invalid is a violation of one field: the template names vars as %{name}.
func Invalid(field, template string, vars map[string]any) *fault {
	f := invalidFault(template, vars)
	f.field = field
	return f
}

// crumbs is the prefix that Ash leaves on errors raised inside an action.
func crumbs(a *action) string {
	return "Bread Crumbs:\n  > Error returned from: " + a.Resource.module() + "." + a.Ash + "\n\n\n"
}

// faultSort says what is wrong with an input.
type faultSort int

const (
	invalid faultSort = iota
	required
	unknownInput
)

// fault is something wrong with one input key. Run and validate show the same
// fault in different words, so it is kept apart from both.
type fault struct {
	sort     faultSort
	field    string         // wire name
	template string         // for invalid
	vars     map[string]any // what the template is filled from
	index    int            // of the array item at fault, else -1
	path     []any
	// formBlind is set where the validate endpoint does not notice: it loses
	// faults that belong to an array's item.
	formBlind bool
}

func invalidFault(template string, vars map[string]any) *fault {
	return &fault{sort: invalid, template: template, vars: vars, index: -1}
}

func isInvalid() *fault { return invalidFault("is invalid", nil) }

// asChange shows a fault of a create, update or destroy as run does.
func (f *fault) asChange(a *action) *failure {
	switch f.sort {
	case unknownInput:
		return internalError()
	case required:
		what := "attribute"
		if slices.ContainsFunc(a.Arguments, func(x *attribute) bool { return x.Name == f.field }) {
			what = "argument"
		}
		prefix := ""
		if a.Type == createAction {
			prefix = crumbs(a)
		}
		return requiredFailure(prefix+what, f.field)
	}
	return f.asInvalid("invalid_attribute", "Invalid attribute")
}

func (f *fault) asInvalid(typ, short string) *failure {
	vars := map[string]any{"field": f.field}
	maps.Copy(vars, f.vars)
	if f.index >= 0 {
		vars["index"] = f.index
	}
	return &failure{Type: typ, Message: f.template, ShortMessage: short, Vars: vars, Fields: []string{f.field}, Path: f.path}
}

func requiredFailure(what, field string) *failure {
	return &failure{Type: "required", Message: what + " " + snake(field) + " is required",
		ShortMessage: "Required field", Vars: map[string]any{"field": field}, Fields: []string{field}}
}

// asQuery shows a fault of a read's argument, which run and validate show alike.
func (f *fault) asQuery() *failure {
	switch f.sort {
	case unknownInput:
		return internalError(f.field)
	case required:
		return requiredFailure("argument", f.field)
	}
	return f.asInvalid("invalid_argument", "Invalid argument")
}

// asGeneric shows a fault of a generic action's argument as run does.
func (f *fault) asGeneric() *failure {
	switch f.sort {
	case unknownInput:
		return internalError(f.field)
	case required:
		return requiredFailure("argument", f.field)
	}
	return internalError(f.path...)
}

// asForm shows a fault as the validate endpoint does for everything but reads:
// nil where it does not see it.
func (f *fault) asForm() *failure {
	if f.sort == unknownInput || f.formBlind {
		return nil
	}
	message := "is required"
	if f.sort == invalid {
		message = f.template
		for k, v := range f.vars {
			message = strings.ReplaceAll(message, "%{"+snake(k)+"}", text(v))
		}
	}
	return &failure{Type: "invalid_attribute", Message: message, ShortMessage: "Invalid attribute",
		Vars: map[string]any{"field": f.field}, Fields: []string{f.field}, Path: []any{f.field}}
}
