package ash

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Error is one entry of a response's errors. It has a Type, or else a Code and an ErrorID: the
// backend's catch-all error has these.
type Error struct {
	Type, Code, ErrorID   string
	Message, ShortMessage string         // Message is a template that names Vars as %{name}
	Vars                  map[string]any // nil is {}
	Fields                []string       // nil is []
	Path                  []any          // nil is []
}

// MarshalJSON encodes the error as AshTypescript does.
func (e *Error) MarshalJSON() ([]byte, error) {
	m := map[string]any{"message": e.Message, "shortMessage": e.ShortMessage,
		"vars": map[string]any{}, "fields": []string{}, "path": []any{}}
	if e.Code != "" {
		m["code"], m["errorId"] = e.Code, e.ErrorID
	} else {
		m["type"] = e.Type
	}
	if e.Vars != nil {
		m["vars"] = e.Vars
	}
	if e.Fields != nil {
		m["fields"] = e.Fields
	}
	if e.Path != nil {
		m["path"] = e.Path
	}
	return json.Marshal(m)
}

// Errors are the errors of one response, in its order. An action returns them to fail. An empty
// list also fails: a forbidden generic action of the backend reports no errors.
type Errors []*Error

func (errs Errors) Error() string {
	var parts []string
	for _, e := range errs {
		parts = append(parts, e.Type+e.Code+": "+e.Message)
	}
	return strings.Join(parts, "; ")
}

func fail(errs ...*Error) Errors { return errs }

// ErrCrash means that the backend crashes on the request. It then responds with status 500.
var ErrCrash = errors.New("the request crashes the backend")

// internalError returns the catch-all error, for each error of Ash that AshTypescript cannot show.
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

// NotFound returns the error of an action that found no record with this value of key. The key is
// written in snake_case.
func (a *Action) NotFound(key, value string) error {
	return fail(notFound(breadCrumbs(a) + "record with " + key + ": " + inspectString(value) + " not found"))
}

// InvalidAttribute returns the error of an action that cannot do what a field of its input asks
// for.
func InvalidAttribute(field, message string) error {
	return fail(NewViolation(field, message, nil).asInvalid("invalid_attribute", "Invalid attribute"))
}

// NewViolation returns a violation of one field, for Action.Check. The template names vars as
// %{name}.
func NewViolation(field, template string, vars map[string]any) *Violation {
	v := invalid(template, vars)
	v.field = field
	return v
}

// breadCrumbs returns the prefix that Ash adds to errors raised inside an action.
func breadCrumbs(a *Action) string {
	return "Bread Crumbs:\n  > Error returned from: " + a.Resource.module() + "." + a.AshName + "\n\n\n"
}

type violationKind int

const (
	invalidKind violationKind = iota
	requiredKind
	unknownKind // the action has no such input
)

// Violation is a mistake in one field of the input. The methods below turn it into the errors that
// the backend reports for it.
type Violation struct {
	kind     violationKind
	field    string         // in camelCase
	template string         // of an invalidKind
	vars     map[string]any // for the template
	index    int            // of the wrong array item; -1 if it is not one
	path     []any
	// formBlind is true if validation does not report the violation, because the backend's form
	// drops errors of array items.
	formBlind bool
}

func invalid(template string, vars map[string]any) *Violation {
	return &Violation{kind: invalidKind, template: template, vars: vars, index: -1}
}

func plainInvalid() *Violation { return invalid("is invalid", nil) }

// asChange returns what running a create, an update or a destroy reports.
func (v *Violation) asChange(a *Action) *Error {
	switch v.kind {
	case unknownKind:
		return internalError()
	case requiredKind:
		what := "attribute"
		if slices.ContainsFunc(a.Arguments, func(x *Attribute) bool { return x.Name == v.field }) {
			what = "argument"
		}
		prefix := ""
		if a.Type == CreateAction {
			prefix = breadCrumbs(a)
		}
		return requiredError(prefix+what, v.field)
	}
	return v.asInvalid("invalid_attribute", "Invalid attribute")
}

func (v *Violation) asInvalid(typ, short string) *Error {
	vars := map[string]any{"field": v.field}
	maps.Copy(vars, v.vars)
	if v.index >= 0 {
		vars["index"] = v.index
	}
	return &Error{Type: typ, Message: v.template, ShortMessage: short, Vars: vars, Fields: []string{v.field}, Path: v.path}
}

func requiredError(what, field string) *Error {
	return &Error{Type: "required", Message: what + " " + snake(field) + " is required",
		ShortMessage: "Required field", Vars: map[string]any{"field": field}, Fields: []string{field}}
}

// asQuery returns what running or validating a read reports.
func (v *Violation) asQuery() *Error {
	switch v.kind {
	case unknownKind:
		return internalError(v.field)
	case requiredKind:
		return requiredError("argument", v.field)
	}
	return v.asInvalid("invalid_argument", "Invalid argument")
}

// asGeneric returns what running a generic action reports.
func (v *Violation) asGeneric() *Error {
	switch v.kind {
	case unknownKind:
		return internalError(v.field)
	case requiredKind:
		return requiredError("argument", v.field)
	}
	return internalError(v.path...)
}

// asForm returns what validating any action but a read reports, or nil if that reports nothing.
func (v *Violation) asForm() *Error {
	if v.kind == unknownKind || v.formBlind {
		return nil
	}
	message := "is required"
	if v.kind == invalidKind {
		message = v.template
		for k, x := range v.vars {
			message = strings.ReplaceAll(message, "%{"+snake(k)+"}", toString(x))
		}
	}
	return &Error{Type: "invalid_attribute", Message: message, ShortMessage: "Invalid attribute",
		Vars: map[string]any{"field": v.field}, Fields: []string{v.field}, Path: []any{v.field}}
}

// renderErrors returns what as reports of the violations.
func renderErrors(violations []*Violation, as func(*Violation) *Error) Errors {
	var out Errors
	for _, v := range violations {
		if e := as(v); e != nil {
			out = append(out, e)
		}
	}
	return out
}
