package recipients

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// targetKind is what a target names.
type targetKind int

const (
	toContacts targetKind = iota + 1 // one id or a list of ids
	toNumber
	toGroup
	toMail // an email, of which the senders would be answered
)

// targetsByAction lists what the targets of each ringing action name.
var targetsByAction = func() map[*schemas.Action]map[string]targetKind {
	out := map[*schemas.Action]map[string]targetKind{}
	for _, a := range schemas.Actions() {
		if t := targets(a); t != nil {
			out[a] = t
		}
	}
	return out
}()

// targets reads an action's targets from the registry; nil if the action reaches nobody. An action
// does if one of its targets names a contact, a number or the senders of an email. An id that names
// none of them, in such an action, is a group's.
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
		case in.Names == schemas.SenderSubject:
			out[t], persons = toMail, true
		case in.Type == "string" && in.Format == "uuid":
			out[t] = toGroup
		}
	}
	if !persons {
		return nil
	}
	if len(out) != len(a.Targets) {
		panic("recipients: " + a.Name + " has a target that names no contact, number, email or group")
	}
	return out
}

// HasRecipients reports whether calls of the action ring or write to anybody.
func HasRecipients(a *schemas.Action) bool { return targetsByAction[a] != nil }

// Resolve returns the recipients of a checked call; nil, nil if its action reaches nobody. It calls
// read only if the call names contacts or hands in an email, with a payload of list_contacts.
//
// Outcomes: invalid_arguments if a recipient cannot be reached, two of them have one number, or there
// are too many; denied if the size of a group is unknown; upstream_unavailable if Sippet's answer is
// invalid; else the error of read.
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
				return nil, rejectCall(fmt.Sprintf("%s names both %s and %s", p.Action.Name, target, t), "name one of them")
			}
			target, value = t, v
		}
	}
	b, fault := parseBounds(in)
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
	case toMail:
		return resolveMail(ctx, p, read)
	}
	return nil, rejectCall(p.Action.Name+" names no recipient", "name one of "+strings.Join(p.Action.Targets, ", "))
}

func resolveNumber(path, number string) (*Set, *schemas.Error) {
	r, fault := parseNumber(number)
	if fault != "" {
		e := rejectCall("the number to ring "+fault, "correct it and call again")
		e.Details = []schemas.Detail{{Path: path, Message: fmt.Sprintf("%q %s", schemas.Escape(number, 20), fault)}}
		return nil, e
	}
	return (&Set{List: []Recipient{r}, Count: 1}).computeDigest(), nil
}

func resolveGroup(path, group string, b bounds) (*Set, *schemas.Error) {
	if group == "" {
		return nil, rejectCall(path+" is empty", "set it to the id of a group")
	}
	most, ok := b.maxMembers()
	if !ok {
		return nil, &schemas.Error{Outcome: schemas.Denied, Message: "the number of members of the group is unknown: no action lists them",
			Next: "set contactLimit, the most people to ring; nothing ran"}
	}
	if most > maxRecipients {
		return nil, tooManyRecipients(most)
	}
	return (&Set{Group: strings.ToLower(group), Count: int(most)}).computeDigest(), nil
}

func resolveContacts(ctx context.Context, path string, value any, b bounds, read Read) (*Set, *schemas.Error) {
	ids, at, fault := parseIDs(path, value)
	if fault != nil {
		return nil, fault
	}
	found, fault := readContacts(ctx, ids, read)
	if fault != nil {
		return nil, fault
	}
	s := &Set{List: make([]Recipient, 0, len(ids)), Count: len(ids)}
	if b.limit > 0 {
		s.Count = int(min(b.limit, int64(len(ids))))
	}
	var faults []schemas.Detail
	owners := make(map[string]string, len(ids)) // the contact of each number
	for i, id := range ids {
		r, fault := found[id].recipient()
		if other := owners[r.Number]; fault == "" && other != "" {
			fault = "has the same number as contact " + other + ", which would be rung twice"
		}
		if fault != "" {
			faults = append(faults, schemas.Detail{Path: at(i), Message: "contact " + id + " " + fault})
			continue
		}
		owners[r.Number] = id
		s.List = append(s.List, r)
	}
	if len(faults) > 0 {
		return nil, rejectedRecipients(faults, len(ids))
	}
	return s.computeDigest(), nil
}

// parseIDs returns the ids in lower case, and a function that returns the path of each in the
// payload.
func parseIDs(path string, value any) (ids []string, at func(int) string, fault *schemas.Error) {
	at = func(i int) string { return fmt.Sprintf("%s[%d]", path, i) }
	list, ok := value.([]any)
	if !ok {
		list, at = []any{value}, func(int) string { return path }
	}
	if len(list) == 0 {
		return nil, nil, rejectCall(path+" is empty", "name at least one contact")
	}
	seen := make(map[string]bool, len(list))
	for i, v := range list {
		id, _ := v.(string)
		if id == "" {
			return nil, nil, rejectCall(at(i)+" is not an id", "use ids that "+ContactList+" returned")
		}
		if id = strings.ToLower(id); seen[id] {
			return nil, nil, rejectCall(fmt.Sprintf("%s names contact %s a second time", at(i), schemas.Escape(id, 40)), "name each contact once")
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, at, nil
}

// bounds are what a call states about how many it rings.
type bounds struct {
	limit      int64 // contactLimit; 0 if absent
	start, end int64 // positions in a group, both included; -1 if absent
}

// parseBounds parses them strictly: a number that does not fit would become another one.
func parseBounds(in map[string]any) (bounds, *schemas.Error) {
	b := bounds{start: -1, end: -1}
	for _, k := range []struct {
		key   string
		least int64
		into  *int64
	}{{"contactLimit", 1, &b.limit}, {"contactRangeStart", 0, &b.start}, {"contactRangeEnd", 0, &b.end}} {
		v, found := in[k.key]
		if !found {
			continue
		}
		number, _ := v.(json.Number)
		n, err := number.Int64()
		if err != nil || n < k.least || n == math.MaxInt64 { // one more must fit
			return b, rejectCall("input."+k.key+" is not a number of people or a position", "set it to a whole number")
		}
		*k.into = n
	}
	if b.end >= 0 && b.start > b.end {
		return b, rejectCall("input.contactRangeEnd is before contactRangeStart", "set contactRangeStart to the first position and contactRangeEnd to the last")
	}
	return b, nil
}

// maxMembers returns the most members of a group that are rung; not ok if the call does not bound
// it. Sippet does not document whether positions count from 0 or from 1, so a range without a start
// begins at 0. A range without an end bounds nothing.
//
// Only contactLimit bounds contacts that are named one by one. Sippet does not document that a
// range applies to them, and a bound that Sippet ignores would put fewer people on the card than
// are rung.
func (b bounds) maxMembers() (most int64, ok bool) {
	if b.limit > 0 {
		most, ok = b.limit, true
	}
	if b.end >= 0 {
		if n := b.end - max(b.start, 0) + 1; !ok || n < most {
			most, ok = n, true
		}
	}
	return most, ok
}

// maxFaults is how many faulty contacts an error lists, so that a model can still read it.
const maxFaults = 20

func rejectedRecipients(faults []schemas.Detail, of int) *schemas.Error {
	message := faults[0].Message
	if len(faults) > 1 {
		message = fmt.Sprintf("%d of the %d contacts cannot be rung: %s, and others", len(faults), of, message)
	}
	e := rejectCall(message, "read them with "+ContactList+", leave them out or have them corrected, and call again; nothing ran")
	e.Details = faults[:min(len(faults), maxFaults)]
	return e
}

func tooManyRecipients(n int64) *schemas.Error {
	return rejectCall(fmt.Sprintf("the call would ring up to %d people, and a call may ring at most %d", n, maxRecipients), "make several smaller calls; nothing ran")
}

func rejectCall(message, next string) *schemas.Error {
	return &schemas.Error{Outcome: schemas.InvalidArguments, Message: message, Next: next}
}
