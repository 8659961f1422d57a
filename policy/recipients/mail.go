package recipients

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// addressFields are the requested fields of a contact that is read by its address.
var addressFields = append(slices.Clone(contactFields), "email")

// resolveMail returns the addresses that an answer to an email would go to.
func resolveMail(ctx context.Context, p *schemas.Payload, read Read) (*Set, *schemas.Error) {
	s, fault := sendersOf(p)
	if fault != nil {
		return nil, fault
	}
	var addresses []string
	for _, r := range s.List {
		addresses = append(addresses, r.Address)
	}
	found, fault := searchContacts(ctx, map[string]any{"or": addressFilters(addresses)}, addressFields, read)
	if fault != nil {
		return nil, fault
	}
	for i := range s.List {
		r := &s.List[i]
		for _, c := range found {
			// Several contacts may share an address. Then the first id stands for them.
			if !c.erased && !c.archived && strings.EqualFold(c.email, r.Address) && isASCII(c.email) && (r.Contact == "" || c.id < r.Contact) {
				r.Contact, r.Name = c.id, c.name
			}
		}
	}
	return s.computeDigest(), nil
}

// sendersOf returns the addresses as far as the arguments tell.
func sendersOf(p *schemas.Payload) (*Set, *schemas.Error) {
	addresses, path, fault := p.Senders()
	if fault != "" {
		e := rejectCall("the email "+fault, "correct it and call again; an answer would go to From and Reply-To, so both must be plain; nothing ran")
		e.Details = []schemas.Detail{{Path: path, Message: "the email " + fault}}
		return nil, e
	}
	s := &Set{Count: len(addresses)}
	for _, a := range addresses {
		s.List = append(s.List, Recipient{Address: a, Kind: Email})
	}
	return s, nil
}

// addressFilters match contacts by address, in any case. In a pattern % and _ match other
// characters too.
func addressFilters(addresses []string) (out []any) {
	for _, a := range addresses {
		out = append(out, map[string]any{"email": map[string]any{"ilike": escapePattern(a)}})
	}
	return out
}

func escapePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}

// searchContacts reads the contacts that a filter finds. More than one page is an error.
func searchContacts(ctx context.Context, filter map[string]any, fields []string, read Read) ([]contact, *schemas.Error) {
	list, fault := schemas.Find(ContactList)
	if fault != nil {
		panic("recipients: " + fault.Error())
	}
	raw, err := json.Marshal(map[string]any{"fields": fields, "filter": filter, "page": map[string]any{"limit": pageSize}})
	if err != nil {
		panic("recipients: " + err.Error()) // texts and numbers only
	}
	p, fault := list.Check(raw, schemas.Limits{})
	if fault != nil {
		return nil, rejectCall("the contacts that share its values cannot be searched", "correct the values and call again; nothing ran")
	}
	data, fault := read(ctx, p)
	if fault != nil {
		return nil, readFailed(fault)
	}
	rows, err := parsePage(data, fields)
	if err != nil {
		return nil, invalidAnswer(err)
	}
	return rows, nil
}

// isASCII keeps folding to letters that look alike in every case.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}
