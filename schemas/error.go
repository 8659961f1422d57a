package schemas

import (
	"strings"
	"time"
)

// Error is the error of a call that did not succeed, whichever package found it.
// Everything but Err is safe to show to a model or a person: it holds no
// secret, no stack trace and no internal address.
//
// A function that fails with this error only returns *Error, so that callers
// read the outcome without a type assertion. Any other function returns error.
// A nil *Error in a variable of type error is not nil. Keep the result in a
// variable of its own, named fault where there is an err beside it, and return
// it as an error only after `if fault != nil`. A test over the source checks that.
type Error struct {
	// Outcome is the kind of failure.
	Outcome Outcome
	// Message says what failed and names the culprit, in lower case and without a full stop.
	Message string
	// Next says what to do; empty where there is nothing to do.
	Next string
	// Details are the single faults, in the order in which they were found.
	Details []Detail
	// RetryAfter is how long to wait before a repeat can succeed; 0 where that is not known.
	RetryAfter time.Duration
	// Intent is the ledger's id of the attempt if the outcome is unknown; empty elsewhere.
	Intent string
	// Err is the cause, for the log only.
	Err error
}

// Detail is one fault of a payload.
type Detail struct {
	// Path is the fault's path in the tool's arguments, such as `input.email` or
	// `filter.and[0].id`; empty for the whole.
	Path string `json:"path,omitempty"`
	// Type is Sippet's code for the fault (`not_found`, `required`); empty where this program found
	// it.
	Type string `json:"type,omitempty"`
	// Message says what is wrong at the path. Where Type is set it is Sippet's text, and untrusted.
	Message string `json:"message"`
	// Nearest is the valid name closest to a wrong one, or the path that takes it.
	Nearest string `json:"nearest,omitempty"`
}

// Error returns the outcome, the message, the first faults and the cause, for logs.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Outcome))
	b.WriteString(": ")
	b.WriteString(e.Message)
	for i, d := range e.Details {
		b.WriteString("; ")
		if i == 8 {
			b.WriteString("…")
			break
		}
		if d.Path != "" {
			b.WriteString(d.Path)
			b.WriteString(": ")
		}
		b.WriteString(d.Message)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
