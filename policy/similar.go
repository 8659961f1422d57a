package policy

import (
	"context"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
)

// similarLines names the other records with what the call takes out of a text that is sent, such as
// templates with the same number. It reads, so it is only for a card.
func (at *attempt) similarLines(ctx context.Context) []approval.Line {
	read := at.Payload.SimilarRead()
	if read == nil || len(at.Hidden(at.Caller, read.Action)) > 0 {
		return nil
	}
	removed := approval.FindRemoved(at.Payload, at.readRecord(ctx))
	if removed == nil {
		return nil
	}
	line := approval.Line{Name: "also in"}
	data, fault := at.prefetch(ctx, read, "texts like that of "+at.Payload.Action.Name)
	records, whole, ok := at.Payload.Similar(data)
	if fault != nil || !ok {
		line.Value = "other " + strings.TrimPrefix(read.Action.Title, "List ") + " could not be read"
		return []approval.Line{line}
	}
	if line.Value = removed.AlsoIn(records, whole); line.Value == "" {
		return nil
	}
	return []approval.Line{line}
}
