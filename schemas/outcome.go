package schemas

// Outcome says how a call ended. The set is closed, and it is the same in MCP
// results, on the command line and in the audit log.
type Outcome string

const (
	// Done: Sippet ran the action and answered.
	Done Outcome = "done"
	// Recorded: the same call ran a short time ago. Nothing new ran; the first result is returned
	// again.
	Recorded Outcome = "recorded"
	// InvalidArguments: the arguments do not fit the action; nothing was sent.
	InvalidArguments Outcome = "invalid_arguments"
	// ValidationFailed: Sippet's validation rejected the payload; nothing ran.
	ValidationFailed Outcome = "validation_failed"
	// ApprovalPending: a person must approve the call and has not answered yet; nothing ran.
	ApprovalPending Outcome = "approval_pending"
	// Declined: a person declined the call; nothing ran.
	Declined Outcome = "declined"
	// Denied: the policy denies the call, or nobody can approve it; nothing ran.
	Denied Outcome = "denied"
	// LimitExceeded: a budget does not allow the call now, or too many approval requests are pending
	// or were declined; nothing ran.
	LimitExceeded Outcome = "limit_exceeded"
	// Stopped: an emergency stop is in force; nothing ran.
	Stopped Outcome = "stopped"
	// UpstreamError: Sippet rejected the call.
	UpstreamError Outcome = "upstream_error"
	// UpstreamUnavailable: Sippet could not be reached; nothing ran.
	UpstreamUnavailable Outcome = "upstream_unavailable"
	// Unavailable: this server cannot serve the call now; nothing ran.
	Unavailable Outcome = "unavailable"
	// OutcomeUnknown: the request was sent and no usable answer was received, so the call may or
	// may not have run.
	OutcomeUnknown Outcome = "outcome_unknown"
)

// Outcomes lists all outcomes, in the order of the constants.
var Outcomes = []Outcome{Done, Recorded, InvalidArguments, ValidationFailed, ApprovalPending, Declined,
	Denied, LimitExceeded, Stopped, UpstreamError, UpstreamUnavailable, Unavailable, OutcomeUnknown}

// Ran reports whether the action is known to have run.
func (o Outcome) Ran() bool { return o == Done || o == Recorded }
