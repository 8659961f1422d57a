package recipients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// FromArguments returns the recipients of a checked call as far as its arguments tell, without any
// read; nil if its action reaches nobody. If known is false the call names contacts, or addresses
// that may be those of contacts: List then holds their ids or the addresses only. The fault is
// Resolve's.
func FromArguments(ctx context.Context, p *schemas.Payload) (s *Set, known bool, fault *schemas.Error) {
	known = true
	s, fault = Resolve(ctx, p, func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error) {
		known = false
		return nil, &schemas.Error{Outcome: schemas.Unavailable, Message: "contacts are not read"}
	})
	if known {
		return s, true, fault
	}
	if s, fault = sendersOf(p); fault != nil || len(s.List) > 0 {
		return s, false, fault
	}
	in, _ := p.Args["input"].(map[string]any)
	s = &Set{}
	for _, target := range p.Action.Targets {
		ids, many := in[target].([]any)
		if !many && in[target] != nil {
			ids = []any{in[target]}
		}
		for _, v := range ids {
			id, _ := v.(string)
			s.List = append(s.List, Recipient{Contact: strings.ToLower(id)})
		}
	}
	s.Count = len(s.List)
	if b, _ := parseBounds(in); b.limit > 0 {
		s.Count = int(min(b.limit, int64(s.Count)))
	}
	return s, false, nil
}

// FromText parses recipients that a person wrote: how many there are, numbers separated by commas,
// or a JSON list of numbers or of recipients. A text with an @ is an email address. A number without
// a kind is looked up in the numbering plans. known is false if the text is only a count.
func FromText(text string) (s *Set, known bool, err error) {
	text = strings.TrimSpace(text)
	if n, err := strconv.Atoi(text); err == nil && !strings.HasPrefix(text, "+") {
		if n < 0 || n > maxRecipients {
			return nil, false, fmt.Errorf("%d is not a count from 0 to %d: write a count, or numbers such as +442079460123", n, maxRecipients)
		}
		return &Set{Count: n}, false, nil
	}
	var list []Recipient
	if strings.HasPrefix(text, "[") {
		if list, err = parseList(text); err != nil {
			return nil, false, err
		}
	} else {
		for number := range strings.SplitSeq(text, ",") {
			if number = strings.TrimSpace(number); number == "" {
				return nil, false, errors.New("a number is empty: write a count, or numbers such as +442079460123")
			}
			list = append(list, Recipient{Number: number})
		}
	}
	for i := range list {
		r := &list[i]
		if r.Kind != "" && !slices.Contains(Kinds, r.Kind) {
			return nil, false, fmt.Errorf("unknown kind of number %q: use one of %s", schemas.Escape(string(r.Kind), 40), joinKinds())
		}
		if strings.Contains(r.Number, "@") {
			r.Number, r.Address, r.Kind = "", strings.ToLower(r.Number), Email
		}
		if r.Number == "" || r.Kind != "" {
			continue
		}
		found, fault := parseNumber(r.Number)
		if fault != "" {
			return nil, false, fmt.Errorf("the number %q %s", schemas.Escape(r.Number, 30), fault)
		}
		if r.Kind = found.Kind; r.Country == "" {
			r.Country = found.Country
		}
	}
	return &Set{List: list, Count: len(list)}, true, nil
}

// parseList parses a JSON list of numbers, or of recipients.
func parseList(text string) (list []Recipient, err error) {
	var numbers []string
	if json.Unmarshal([]byte(text), &numbers) == nil {
		for _, n := range numbers {
			list = append(list, Recipient{Number: n})
		}
		return list, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || d.More() {
		return nil, errors.New(`the list is not valid: write one such as [{"number":"+442079460123","country":"GB","kind":"fixed_line"}]; the other keys are contact, name and address`)
	}
	return list, nil
}

func joinKinds() string {
	var names []string
	for _, k := range Kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Overview describes recipients of which the numbers may be unknown.
type Overview struct {
	// Known says that List has all numbers, resolved or stated. Otherwise only Count is known.
	Known   bool        `json:"known"`
	Count   int         `json:"count"`
	Summary string      `json:"summary"`
	Group   string      `json:"group,omitempty"`
	List    []Recipient `json:"list,omitempty"`
}

// Overview describes the set. known is what FromArguments or FromText returned, and true for a
// resolved set.
func (s *Set) Overview(known bool) *Overview {
	o := &Overview{Known: known, Count: s.Count, Group: s.Group, List: s.List}
	switch {
	case known:
		o.Summary = s.Summary()
	case s.IsMail():
		o.Summary = plural(s.Count, "email address", "email addresses") + ", contacts not read"
	case len(s.List) > 0:
		o.Summary = plural(s.Count, "contact", "contacts") + ", not read"
	default:
		o.Summary = plural(s.Count, "recipient", "recipients") + ", as stated"
	}
	return o
}

// Lines returns the first n recipients for a person, as [Set.Lines] does; nil if the numbers are
// unknown.
func (o *Overview) Lines(n int) []string {
	if !o.Known {
		return nil
	}
	return (&Set{List: o.List}).Lines(n)
}
