package ledger

import (
	"encoding/json"
	"fmt"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Undo is a call that restores what an earlier call replaced.
type Undo struct {
	// Intent is the id of the earlier call.
	Intent    string          `json:"intent"`
	Action    string          `json:"action"`
	Arguments json.RawMessage `json:"arguments"`
}

// Undo returns the call that restores what c replaced. It runs nothing. If there is no such call,
// the error says why.
func (c *AuditedCall) Undo() (*Undo, error) {
	intent, state := "", ""
	var payload, replaced json.RawMessage
	for _, r := range c.Records {
		if r.Phase == PhasePrepared {
			intent, payload, replaced = r.Intent, nil, nil
			if r.Private != nil {
				payload, replaced = r.Private.Payload, r.Private.Replaced
			}
		}
		if r.Intent != "" && r.Intent == intent && r.State != "" {
			state = r.State
		}
	}
	switch {
	case intent == "":
		return nil, newRejection(c.title() + " is about no call that changed something, so there is nothing to undo")
	case state == string(Failed), state == string(NotSent):
		return nil, newRejection(fmt.Sprintf("intent %s is %s: it changed nothing", intent, state))
	case state == string(Unknown):
		return nil, newRejection(fmt.Sprintf("the outcome of intent %s is unknown: find out whether it ran, and record that with `sippet-mcp audit resolve` first", intent))
	case state != string(Succeeded):
		return nil, newRejection(fmt.Sprintf("intent %s has no outcome yet: it is %s", intent, state))
	case payload == nil && c.Erased != nil:
		return nil, newRejection(fmt.Sprintf("what intent %s changed can no longer be read: a person whom it concerns was erased", intent))
	case payload == nil:
		return nil, newRejection(fmt.Sprintf("the payload of intent %s was not kept", intent))
	}
	action, arguments, err := schemas.Reverse(c.Action, payload, replaced)
	if err != nil {
		return nil, newRejection(fmt.Sprintf("intent %s: %s; %s", intent, err.Message, err.Next))
	}
	return &Undo{Intent: intent, Action: action, Arguments: arguments}, nil
}

func (c *AuditedCall) title() string {
	if c.Kind == KindRecord && len(c.Records) > 0 {
		return fmt.Sprintf("record %d", c.Records[0].Seq)
	}
	return string(c.Kind) + " " + c.ID
}
