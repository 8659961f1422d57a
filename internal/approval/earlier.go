package approval

import (
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Earlier is what was done before a call was made, as far as approving the call repeats it.
type Earlier struct {
	// Run is an earlier run of the same call, which succeeded or has an unknown outcome; nil without
	// one.
	Run *ledger.Intent
	// Answered is the latest request for the same call, and ApprovedRun the run that it led to; nil
	// without one. Both count only where there is no Run.
	Answered    *ledger.ApprovalRequest
	ApprovedRun *ledger.Intent
	// Unknown is another call that does the same to one of these people and has an unknown outcome;
	// nil without one. The card may go to another caller's client, so it does not say who made it.
	Unknown *ledger.Intent
	Now     time.Time
}

// After this time nobody takes a call for a repetition of an earlier one.
const (
	declinedMatters = time.Hour
	runMatters      = 24 * time.Hour
)

// mayDo says what a kind of effect does twice if a call with an unknown outcome ran after all.
var mayDo = map[schemas.EffectKind]string{
	schemas.Ringing:       "ring them twice",
	schemas.Mail:          "write to them twice",
	schemas.ContactChange: "undo or repeat it",
}

// text returns what the card says; empty if nothing is to be said.
func (e Earlier) text(action *schemas.Action) string {
	text := e.sameCall(action)
	if u := e.Unknown; u != nil {
		text += fmt.Sprintf(" %s was sent %s for one of the people that this call is about; its outcome is unknown. Approving may %s.",
			u.Action, Ago(u.Prepared, e.Now), mayDo[u.EffectKind])
	}
	return strings.TrimSpace(text)
}

func (e Earlier) sameCall(action *schemas.Action) string {
	switch run, latest := e.Run, e.Answered; {
	case run != nil && run.State == ledger.Succeeded:
		return fmt.Sprintf("The same call ran %s. Approving runs it once more.", Ago(run.Settled, e.Now))
	case run != nil:
		text := fmt.Sprintf("The same call was sent %s; its outcome is unknown. Approving may do it twice.", Ago(run.Prepared, e.Now))
		if list := action.ShownBy(); list != "" {
			text += " First check with " + list + " whether it took effect."
		}
		return text
	case latest == nil:
	case latest.State == ledger.Declined && e.Now.Sub(latest.Answered) < declinedMatters:
		return fmt.Sprintf("%s declined the same call %s.", PersonName(latest.By), Ago(latest.Answered, e.Now))
	case latest.Erased > 0 && latest.State != ledger.Used && e.Now.Sub(latest.Requested) < runMatters:
		return "An earlier request for the same call led to no run, and a person on its card was erased here since."
	case e.ApprovedRun != nil && e.ApprovedRun.State == ledger.Succeeded && e.Now.Sub(e.ApprovedRun.Settled) <= runMatters:
		return fmt.Sprintf("%s approved the same call, and it ran %s. Approving runs it once more.", PersonName(latest.By), Ago(e.ApprovedRun.Settled, e.Now))
	}
	return ""
}
