package recipients

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// targetKind is what a target names.
type targetKind int

const (
	toContacts targetKind = iota + 1 // one id or a list of them
	toNumber
	toGroup
)

// targetsByAction lists, for each action that rings somebody, what its targets name.
var targetsByAction = func() map[*schemas.Action]map[string]targetKind {
	out := map[*schemas.Action]map[string]targetKind{}
	for _, a := range schemas.Actions() {
		if t := targets(a); t != nil {
			out[a] = t
		}
	}
	return out
}()

// targets reads from the registry whom an action rings; nil where nobody. An
// action that takes an email to import has targets as well, and none of them
// names a contact or a number. Where one does, an id beside it that names
// nobody is a group's.
func targets(a *schemas.Action) map[string]targetKind {
	if a.Class != schemas.Outbound || len(a.Targets) == 0 {
		return nil
	}
	out := map[string]targetKind{}
	persons := false
	for _, in := range a.Inputs() {
		switch t := in.Name; {
		case !slices.Contains(a.Targets, t):
		case in.Names == schemas.ContactSubject:
			out[t], persons = toContacts, true
		case in.Names == schemas.PhoneSubject:
			out[t], persons = toNumber, true
		case in.Type == "string" && in.Format == "uuid":
			out[t] = toGroup
		}
	}
	if !persons {
		return nil
	}
	if len(out) != len(a.Targets) {
		panic("reach: " + a.Name + " has a target of which nobody knows whom it rings")
	}
	return out
}

// HasRecipients reports whether the action rings anybody, so that Of has something to say about it.
func HasRecipients(a *schemas.Action) bool { return targetsByAction[a] != nil }

// Resolve resolves whom a checked call would ring: nil, nil where it rings nobody.
// read is called only where contacts are named, with a payload of list_contacts.
//
// Outcomes: invalid_arguments where a contact or number cannot be rung or there
// are too many, denied where nobody can tell how many of a group it would be,
// upstream_unavailable where the answer cannot be relied on, and what read fails with.
func Resolve(ctx context.Context, p *schemas.Payload, read Read) (*Set, *schemas.Error) {
	kinds := targetsByAction[p.Action]
	if kinds == nil {
		return nil, nil
	}
	in, _ := p.Args["input"].(map[string]any)
	target, value := "", any(nil)
	for _, t := range p.Action.Targets {
		if v, ok := in[t]; ok {
			if target != "" {
				return nil, rejectCall(fmt.Sprintf("%s names both %s and %s", p.Action.Name, target, t), "give one of them")
			}
			target, value = t, v
		}
	}
	b, fault := readBounds(in)
	if fault != nil {
		return nil, fault
	}
	path := "input." + target
	switch kinds[target] {
	case toNumber:
		number, _ := value.(string)
		return resolveNumber(path, number)
	case toContacts:
		return resolveContacts(ctx, path, value, b, read)
	case toGroup:
		group, _ := value.(string)
		return resolveGroup(path, group, b)
	}
	return nil, rejectCall(p.Action.Name+" says nobody to ring", "give one of "+strings.Join(p.Action.Targets, ", "))
}

func resolveNumber(path, number string) (*Set, *schemas.Error) {
	d, fault := parseNumber(number)
	if fault != "" {
		e := rejectCall("the number to ring "+fault, "correct it and call again")
		e.Details = []schemas.Detail{{Path: path, Message: fmt.Sprintf("%q %s", schemas.Escape(number, 20), fault)}}
		return nil, e
	}
	return (&Set{List: []Recipient{d}, Count: 1}).seal(), nil
}

func resolveGroup(path, group string, b bounds) (*Set, *schemas.Error) {
	if group == "" {
		return nil, rejectCall(path+" is empty", "give a group's id")
	}
	most, ok := b.ofGroup()
	if !ok {
		return nil, &schemas.Error{Outcome: schemas.Denied, Message: "nobody can tell how many members of the group this would ring: no action lists them",
			Next: "give contactLimit, the most people to ring; nothing ran"}
	}
	if most > Max {
		return nil, tooMany(most)
	}
	return (&Set{Group: strings.ToLower(group), Count: int(most)}).seal(), nil
}

func resolveContacts(ctx context.Context, path string, value any, b bounds, read Read) (*Set, *schemas.Error) {
	ids, at, fault := idsOf(path, value)
	if fault != nil {
		return nil, fault
	}
	found, fault := contacts(ctx, ids, read)
	if fault != nil {
		return nil, fault
	}
	s := &Set{List: make([]Recipient, 0, len(ids)), Count: len(ids)}
	if b.limit > 0 {
		s.Count = int(min(b.limit, int64(len(ids))))
	}
	var faults []schemas.Detail
	for i, id := range ids {
		d, fault := found[id].recipient()
		if fault != "" {
			faults = append(faults, schemas.Detail{Path: at(i), Message: "contact " + id + " " + fault})
			continue
		}
		s.List = append(s.List, d)
	}
	if len(faults) > 0 {
		return nil, rejectedRecipients(faults, len(ids))
	}
	return s.seal(), nil
}

// recipient is what ringing the contact means; the zero contact was not found.
func (c contact) recipient() (d Recipient, fault string) {
	switch {
	case c.id == "":
		return d, "was not found"
	case c.erased:
		return d, "is erased"
	case c.archived:
		return d, "is archived"
	case c.number == "":
		return d, "has no phone number"
	}
	if d, fault = parseNumber(c.number); fault != "" {
		// The number is text from outside and is not repeated: a model reads this.
		return d, "has a phone number that " + fault
	}
	d.Contact, d.Name = c.id, c.name
	return d, ""
}

// idsOf gives the ids in lower case, and where each stands in the payload.
func idsOf(path string, value any) (ids []string, at func(int) string, fault *schemas.Error) {
	at = func(i int) string { return fmt.Sprintf("%s[%d]", path, i) }
	list, ok := value.([]any)
	if !ok {
		list, at = []any{value}, func(int) string { return path }
	}
	if len(list) > Max {
		return nil, nil, tooMany(int64(len(list)))
	}
	if len(list) == 0 {
		return nil, nil, rejectCall(path+" is empty", "name at least one contact")
	}
	seen := make(map[string]bool, len(list))
	for i, v := range list {
		id, _ := v.(string)
		if id == "" {
			return nil, nil, rejectCall(at(i)+" is no id", "give ids from "+ContactList)
		}
		if id = strings.ToLower(id); seen[id] {
			return nil, nil, rejectCall(fmt.Sprintf("%s names contact %s a second time", at(i), schemas.Escape(id, 40)), "name everybody once")
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, at, nil
}

// maxFaults is how many faulty contacts an error lists: what a model can still read.
const maxFaults = 20

func rejectedRecipients(faults []schemas.Detail, of int) *schemas.Error {
	message := faults[0].Message
	if len(faults) > 1 {
		message = fmt.Sprintf("%d of the %d contacts cannot be rung: %s, and others", len(faults), of, message)
	}
	e := rejectCall(message, "look them up with "+ContactList+", leave them out or have them corrected, and call again; nothing ran")
	e.Details = faults[:min(len(faults), maxFaults)]
	return e
}

func tooMany(n int64) *schemas.Error {
	return rejectCall(fmt.Sprintf("the call would ring up to %d people, and at most %d are taken at once", n, Max), "make several smaller calls; nothing ran")
}

func rejectCall(message, next string) *schemas.Error {
	return &schemas.Error{Outcome: schemas.InvalidArguments, Message: message, Next: next}
}
