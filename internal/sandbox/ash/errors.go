package ash

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Error is one entry of an answer's `errors`. The catch-all has a code and
// an error id where all others have a type.
type Error struct {
	Type, Code, ErrorID   string
	Message, ShortMessage string
	Vars                  map[string]any
	Fields                []string
	Path                  []any
}

func (f *Error) MarshalJSON() ([]byte, error) {
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

// Errors are the errors of one answer, in the order in which it lists them.
// An empty, non-nil list is an answer too: that is how a forbidden generic
// action looks.
type Errors []*Error

func (fs Errors) Error() string {
	var parts []string
	for _, f := range fs {
		parts = append(parts, f.Type+f.Code+": "+f.Message)
	}
	return strings.Join(parts, "; ")
}

func fail(fs ...*Error) Errors { return fs }

// ErrCrash stands for requests that make the real backend raise: it answers
// them with status 500.
var ErrCrash = errors.New("the request crashes the backend")

// internalError is the catch-all, for every fault that Ash has but
// AshTypescript does not know how to show.
func internalError(path ...any) *Error {
	id := uuid.NewString()
	return &Error{Code: "internal_error", ErrorID: id, ShortMessage: "Internal error",
		Message: "Something went wrong. Unique error id: " + id, Path: path}
}

func unknownError(path ...any) *Error {
	return &Error{Type: "unknown_error", Message: "Something went wrong", ShortMessage: "Unknown error", Path: path}
}

func missingParameter(name string) *Error {
	return &Error{Type: "missing_required_parameter", Message: "Required parameter %{parameter} is missing or empty",
		ShortMessage: "Missing required parameter", Vars: map[string]any{"parameter": name}}
}

func notFound(message string) *Error {
	return &Error{Type: "not_found", Message: message, ShortMessage: "Not found"}
}

func forbidden() *Error {
	return &Error{Type: "forbidden", Message: "forbidden", ShortMessage: "Forbidden"}
}

// NotFound is the error of an action that found no record with the value of a key,
// which is written as in the backend: call_uuid.
func (a *Action) NotFound(key, value string) error {
	return fail(notFound(breadCrumbs(a) + "record with " + key + ": " + inspectString(value) + " not found"))
}

// InvalidAttribute is the error of an action that cannot do what the field of its
// input asks for.
func InvalidAttribute(field, message string) error {
	return fail(Invalid(field, message, nil).asInvalid("invalid_attribute", "Invalid attribute"))
}

// Invalid is a violation of one field: the template names vars as %{name}.
func Invalid(field, template string, vars map[string]any) *Violation {
	f := invalid(template, vars)
	f.field = field
	return f
}

// breadCrumbs is the prefix that Ash leaves on errors raised inside an action.
func breadCrumbs(a *Action) string {
	return "Bread Crumbs:\n  > Error returned from: " + a.Resource.module() + "." + a.AshName + "\n\n\n"
}

// violationKind says what is wrong with an input.
type violationKind int

const (
	invalidKind violationKind = iota
	requiredKind
	unknownKind
)

// Violation is something wrong with one input key. Run and validate show the same
// fault in different words, so it is kept apart from both.
type Violation struct {
	kind     violationKind
	field    string         // wire name
	template string         // for invalid
	vars     map[string]any // what the template is filled from
	index    int            // of the array item at fault, else -1
	path     []any
	// formBlind is set where the validate endpoint does not notice: it loses
	// faults that belong to an array's item.
	formBlind bool
}

func invalid(template string, vars map[string]any) *Violation {
	return &Violation{kind: invalidKind, template: template, vars: vars, index: -1}
}

func plainInvalid() *Violation { return invalid("is invalid", nil) }

// asChange shows a fault of a create, update or destroy as run does.
func (f *Violation) asChange(a *Action) *Error {
	switch f.kind {
	case unknownKind:
		return internalError()
	case requiredKind:
		what := "attribute"
		if slices.ContainsFunc(a.Arguments, func(x *Attribute) bool { return x.Name == f.field }) {
			what = "argument"
		}
		prefix := ""
		if a.Type == CreateAction {
			prefix = breadCrumbs(a)
		}
		return requiredFailure(prefix+what, f.field)
	}
	return f.asInvalid("invalid_attribute", "Invalid attribute")
}

func (f *Violation) asInvalid(typ, short string) *Error {
	vars := map[string]any{"field": f.field}
	maps.Copy(vars, f.vars)
	if f.index >= 0 {
		vars["index"] = f.index
	}
	return &Error{Type: typ, Message: f.template, ShortMessage: short, Vars: vars, Fields: []string{f.field}, Path: f.path}
}

func requiredFailure(what, field string) *Error {
	return &Error{Type: "required", Message: what + " " + snake(field) + " is required",
		ShortMessage: "Required field", Vars: map[string]any{"field": field}, Fields: []string{field}}
}

// asQuery shows a fault of a read's argument, which run and validate show alike.
func (f *Violation) asQuery() *Error {
	switch f.kind {
	case unknownKind:
		return internalError(f.field)
	case requiredKind:
		return requiredFailure("argument", f.field)
	}
	return f.asInvalid("invalid_argument", "Invalid argument")
}

// asGeneric shows a fault of a generic action's argument as run does.
func (f *Violation) asGeneric() *Error {
	switch f.kind {
	case unknownKind:
		return internalError(f.field)
	case requiredKind:
		return requiredFailure("argument", f.field)
	}
	return internalError(f.path...)
}

// asForm shows a fault as the validate endpoint does for everything but reads:
// nil where it does not see it.
func (f *Violation) asForm() *Error {
	if f.kind == unknownKind || f.formBlind {
		return nil
	}
	message := "is required"
	if f.kind == invalidKind {
		message = f.template
		for k, v := range f.vars {
			message = strings.ReplaceAll(message, "%{"+snake(k)+"}", toString(v))
		}
	}
	return &Error{Type: "invalid_attribute", Message: message, ShortMessage: "Invalid attribute",
		Vars: map[string]any{"field": f.field}, Fields: []string{f.field}, Path: []any{f.field}}
}
