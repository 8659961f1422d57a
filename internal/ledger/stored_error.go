package ledger

import (
	"encoding/json"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// maxMessageDetails is how many details of a stored error its message includes.
const maxMessageDetails = 3

// storedError is the JSON form of an error in [Settlement], [Reply] and [Private].
type storedError struct {
	Outcome       schemas.Outcome
	Message, Next string
	Details       []schemas.Detail `json:",omitempty"`
	RetryAfter    time.Duration    `json:",omitempty"`
	Intent        string           `json:",omitempty"`
}

// EncodeError returns the stored form of an error; nil if it cannot be encoded.
func EncodeError(e *schemas.Error) []byte {
	raw, err := json.Marshal(storedError{e.Outcome, e.Message, e.Next, e.Details, e.RetryAfter, e.Intent})
	if err != nil {
		return nil
	}
	return raw
}

// DecodeError reads what EncodeError wrote. Anything else becomes an error that says so.
func DecodeError(raw []byte) *schemas.Error {
	var s storedError
	if json.Unmarshal(raw, &s) != nil || s.Outcome == "" {
		return &schemas.Error{Outcome: schemas.Unavailable, Message: "the stored outcome cannot be read", Next: "tell the person to look in the audit log"}
	}
	return &schemas.Error{Outcome: s.Outcome, Message: s.Message, Next: s.Next, Details: s.Details, RetryAfter: s.RetryAfter, Intent: s.Intent}
}

// ErrorMessage returns the message of a stored error, with its first details, for a person; empty
// for nil. Whoever shows it on a terminal escapes it.
func ErrorMessage(raw []byte) string {
	if raw == nil {
		return ""
	}
	e := DecodeError(raw)
	s := e.Message
	for _, d := range e.Details[:min(maxMessageDetails, len(e.Details))] {
		s += "; " + schemas.Escape(d.Path+" "+d.Message, 200)
	}
	return s
}
