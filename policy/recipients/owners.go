package recipients

import (
	"context"
	"fmt"
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

// maxOwners is how many contacts of one number a line names.
const maxOwners = 5

// OwnersLine says for a card who has a number, such as `+44 7700 900107 "Hannah Blythe"` or
// `+44 7700 900107 is not in your contacts`. Names are left out if the reader must not see them.
func OwnersLine(number string, owners []Owner, hideNames bool) string {
	number = formatInternational(number)
	var names []string
	for _, o := range owners[:min(maxOwners, len(owners))] {
		name, _ := schemas.Quote(o.Name, maxShownName)
		if hideNames || strings.TrimSpace(o.Name) == "" {
			name = "contact " + schemas.Escape(o.Contact, 40)
		}
		if o.Archived {
			name += " (archived)"
		}
		names = append(names, name)
	}
	switch rest := len(owners) - len(names); {
	case len(owners) == 0:
		return number + " is not in your contacts"
	case len(owners) == 1:
		return number + " " + names[0]
	case rest > 0:
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return fmt.Sprintf("%s: %d contacts have this number: %s", number, len(owners), strings.Join(names, ", "))
}
