package tools

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The fields of the form. approvalKey is also the key of the elicitation in a modern answer.
const (
	approvalKey = "approve"
	peopleKey   = "people"
)

// elicitation returns the form for a card. The field repeats the deed, because a client may cut the
// message. It has no default, because a client may take one for the person's answer. Its title is the
// text of the button in the inbox.
func elicitation(card approval.Card) mcp.ElicitationParams {
	e := mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: card.Short()}
	approve, _ := schemas.Buttons(card.Action)
	required := []string{approvalKey}
	properties := map[string]any{approvalKey: map[string]any{"type": "boolean", "title": approve, "description": strings.Join(card.Deed, " ")}}
	if card.StateNumber > 0 {
		required = append(required, peopleKey)
		properties[peopleKey] = map[string]any{"type": "integer", "title": "How many people does this reach?", "description": "Type the number of people stated above"}
	}
	e.RequestedSchema = map[string]any{"type": "object", "required": required, "properties": properties}
	return e
}

// openCard returns the elicitation that opens the card in the inbox.
func openCard(p *policy.PendingApproval, link string) mcp.ElicitationParams {
	return mcp.ElicitationParams{Mode: mcp.ElicitationModeURL, Message: p.Card.Short(), ElicitationID: p.ApprovalID, URL: link}
}

// replyOf reads the client's response. It has no action if there is none that can be read.
func replyOf(r *mcp.ElicitationResult) (reply policy.ClientReply) {
	if r == nil {
		return reply
	}
	reply.Action = policy.ClientAction(r.Action)
	m, _ := r.Content.(map[string]any)
	reply.Ticked, _ = m[approvalKey].(bool)
	switch n := m[peopleKey].(type) {
	case float64:
		if n == math.Trunc(n) {
			reply.StatedNumber = int(n)
		}
	case json.Number:
		v, _ := n.Int64()
		reply.StatedNumber = int(v)
	}
	return reply
}
