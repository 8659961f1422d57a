package recipients

import (
	"context"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Owner is a contact that has a number.
type Owner struct {
	Contact string
	// Name is its full name, cut at 200 characters. It is untrusted text.
	Name     string
	Archived bool
}

// FindOwners returns the contacts that have each of the numbers, in the order of their ids.
//
// Outcomes: upstream_unavailable if Sippet's answer is invalid, else the error of read.
func FindOwners(ctx context.Context, numbers []string, read Read) (map[string][]Owner, *schemas.Error) {
	var filters []any
	for _, n := range numbers {
		filters = append(filters, map[string]any{"phoneE164": map[string]any{"eq": n}})
	}
	rows, fault := searchContacts(ctx, map[string]any{"or": filters}, contactFields, read)
	if fault != nil {
		return nil, fault
	}
	slices.SortFunc(rows, func(a, b contact) int { return strings.Compare(a.id, b.id) })
	out := map[string][]Owner{}
	for _, c := range rows {
		if !c.erased {
			out[c.number] = append(out[c.number], Owner{Contact: c.id, Name: c.name, Archived: c.archived})
		}
	}
	return out, nil
}
