package policy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// SeesContact reports whether Sippet shows one of the contacts to the gate's key. A key sees the
// contacts of its own organisation only.
func (g *Gate) SeesContact(ctx context.Context, ids []string) (bool, *schemas.Error) {
	args, err := json.Marshal(map[string]any{"fields": []string{"id"}, "filter": map[string]any{"id": map[string]any{"in": ids}}, "page": map[string]any{"limit": len(ids)}})
	if err != nil {
		return false, unexpected(err)
	}
	p, fault := checkedPayload("list_contacts", args)
	if fault != nil {
		return false, fault
	}
	res, fault := g.runUpstream(ctx, turn{}, p, p.Action.Deadline())
	if fault != nil {
		return false, fault
	}
	var rows []struct{ ID string }
	if json.Unmarshal(res.Data, &rows) != nil {
		var page struct{ Results []struct{ ID string } }
		if json.Unmarshal(res.Data, &page) != nil || page.Results == nil {
			return false, &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet's answer to list_contacts cannot be read"}
		}
		rows = page.Results
	}
	for _, row := range rows {
		if slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, row.ID) }) {
			return true, nil
		}
	}
	return false, nil
}
