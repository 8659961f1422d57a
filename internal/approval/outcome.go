package approval

import (
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Outcome describes the state of a request in words, and after it ended how it ended.
type Outcome struct {
	// At is the time of the state: of the request, of the answer, or of the expiry.
	At   time.Time
	Tone Tone
	// Status is a short text, such as `bob approved, and it ran`. Detail is the note, the error or
	// what to do; empty without one.
	Status, Detail string
	// Running is true while the approved call runs: its result is not known yet.
	Running bool
}

// Tone is how an outcome is to be displayed.
type Tone string

const (
	ToneQuiet    Tone = "quiet" // nothing happened
	ToneDone     Tone = "done"
	ToneDeclined Tone = "declined"
	ToneWarn     Tone = "warn" // approved, but the call did not succeed
)

// viaClient begins the channel of an answer that a client passed on.
const viaClient = "client "

// DescribeOutcome returns the outcome of a request at a time. intent is the run of the approved
// call; nil without one.
func DescribeOutcome(r *ledger.ApprovalRequest, intent *ledger.Intent, now time.Time) Outcome {
	who := PersonName(r.By)
	if strings.HasPrefix(r.By.Via, viaClient) { // it is the client's word
		who += ", via " + schemas.Escape(r.By.Via, 80) + ","
	}
	o := Outcome{At: r.Answered, Tone: ToneQuiet}
	switch {
	case r.Open(now) && r.State == ledger.Approved:
		o.Tone, o.Status = ToneDone, who+" approved, and it is about to run"
	case r.Open(now):
		o.At, o.Status = r.Requested, "pending"
	case r.State == ledger.Declined:
		o.Tone, o.Status, o.Detail = ToneDeclined, who+" declined", schemas.Escape(r.Note, 500)
	case IsProgramEnded(r):
		o.Status, o.Detail = "cannot be approved any more", "the program that asked has ended; nothing ran"
	case r.State == ledger.Revoked && r.Outcome != "" && r.Outcome != schemas.Declined:
		o.Tone, o.Status, o.Detail = ToneWarn, who+" approved, but it did not run: "+strings.ReplaceAll(string(r.Outcome), "_", " "), ledger.ErrorMessage(r.Fault)
	case r.State == ledger.Revoked:
		if o.Status = "revoked"; r.By != (ledger.Actor{}) {
			o.Status = "revoked by " + who
		}
		if o.At.IsZero() {
			o.At = r.Requested
		}
	case r.State == ledger.Used && intent != nil:
		o.Tone, o.Status, o.Detail = describeRun(who, intent)
		o.Running = intent.State == ledger.Prepared || intent.State == ledger.Sent
	case r.State == ledger.Used:
		o.Status = who + " approved; the result is not stored any more"
	case r.State == ledger.Approved:
		o.Tone, o.Status = ToneWarn, who+" approved, but it did not run in time"
	default:
		o.At, o.Status = r.Expires, "expired without an answer"
	}
	return o
}

// describeRun describes the run of a call that a person approved.
func describeRun(who string, in *ledger.Intent) (tone Tone, status, detail string) {
	switch in.State {
	case ledger.Succeeded:
		return ToneDone, who + " approved, and it ran", ""
	case ledger.Failed:
		return ToneWarn, who + " approved, but Sippet rejected it", ledger.ErrorMessage(in.Fault)
	case ledger.NotSent:
		return ToneWarn, who + " approved, but nothing was sent", ""
	case ledger.Unknown:
		return ToneWarn, who + " approved; whether it ran is unknown",
			"Find out whether it took effect, then record it: sippet-mcp audit resolve " + in.ID + " --as succeeded|failed --note TEXT"
	}
	return ToneDone, who + " approved, and it is running", ""
}
