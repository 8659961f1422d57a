package approval

import (
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// programEnded is the outcome that marks a request whose program has ended. No approval has it: an
// approval that could not be used names who approved.
const programEnded = schemas.Unavailable

// ProgramEnded is the error for a request that nobody can run any more, because the program that
// asked has ended.
func ProgramEnded() *schemas.Error {
	return &schemas.Error{Outcome: programEnded, Message: "this cannot be approved any more, because the program that asked has ended; nothing ran",
		Next: "ask the assistant again if it is still wanted"}
}

// orphaned is the error for an approval of such a request while another program may still take it
// over.
func orphaned() *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: "this cannot be approved now, because the program that asked has ended; nothing ran",
		Next: "another program of the same organisation takes it over within seconds; if none does, ask the assistant again"}
}

// IsProgramEnded reports whether the request was revoked because the program that asked has ended.
func IsProgramEnded(r *ledger.ApprovalRequest) bool {
	return r.State == ledger.Revoked && r.Outcome == programEnded && r.By == (ledger.Actor{})
}

// EndsWithProgram reports whether the request ends with the program that made it. A client starts
// such a program for itself, and so does a person on a terminal; a server is started again, and
// then runs what was approved.
func EndsWithProgram(r *ledger.ApprovalRequest) bool {
	return r.Credential == "" && (r.Requester.Via == ViaStdio || r.Requester.Via == ViaTerminal)
}

// The channels of callers whose requests end with their program.
const (
	ViaStdio    = "stdio"
	ViaTerminal = "terminal"
)
