package schemas

// Outcome says how a call ended. The set is closed and the same in MCP
// results, on the command line and in the audit: a reader that knows these
// thirteen words knows every way in which a call can end.
type Outcome string

const (
	// Done: Sippet ran the action and answered.
	Done Outcome = "done"
	// Recorded: the same call ran a moment ago; its outcome is repeated and nothing new ran.
	Recorded Outcome = "recorded"
	// InvalidArguments: the arguments do not fit the action; nothing was sent.
	InvalidArguments Outcome = "invalid_arguments"
	// ValidationFailed: Sippet's validate refused the payload; it did not run.
	ValidationFailed Outcome = "validation_failed"
	// ApprovalPending: a person has not answered yet; nothing ran.
	ApprovalPending Outcome = "approval_pending"
	// Declined: a person said no; nothing ran.
	Declined Outcome = "declined"
	// Denied: the policy forbids the call, or nobody can be asked; nothing ran.
	Denied Outcome = "denied"
	// LimitExceeded: a budget is spent; nothing ran.
	LimitExceeded Outcome = "limit_exceeded"
	// Frozen: a person stopped the server; nothing ran.
	Stopped Outcome = "frozen"
	// UpstreamError: Sippet refused the call.
	UpstreamError Outcome = "upstream_error"
	// UpstreamUnavailable: Sippet could not be reached; nothing ran.
	UpstreamUnavailable Outcome = "upstream_unavailable"
	// Unavailable: this server cannot serve the call now; nothing ran.
	Unavailable Outcome = "unavailable"
	// OutcomeUnknown: the request was sent and no usable answer came back, so nobody knows whether it ran.
	OutcomeUnknown Outcome = "outcome_unknown"
)

// Outcomes lists the closed set, in the order of the constants.
var Outcomes = []Outcome{Done, Recorded, InvalidArguments, ValidationFailed, ApprovalPending, Declined,
	Denied, LimitExceeded, Stopped, UpstreamError, UpstreamUnavailable, Unavailable, OutcomeUnknown}

// Ran reports whether the action is known to have run.
func (o Outcome) Ran() bool { return o == Done || o == Recorded }
