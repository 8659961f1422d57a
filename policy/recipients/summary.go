package recipients

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxShownName      = 60 // characters
	maxShownCountries = 5
)

// Lines returns the first n recipients for a person, one line each, such as
//
//	+44 20 7946 0123 (GB, fixed line) "Ada Lovelace"
//	kate@example.com (contact "Kate Marsh")
//
// Names are quoted and escaped. The number comes first: nothing in a name can precede it, and after
// a name of a right-to-left script a terminal would show its groups in reverse. It returns nil for a group.
func (s *Set) Lines(n int) []string {
	var out []string
	for _, r := range s.List[:min(max(n, 0), len(s.List))] {
		out = append(out, r.line())
	}
	return out
}

// CutsLines reports whether Lines leaves out a recipient or cuts a name.
func (s *Set) CutsLines(n int) bool {
	return len(s.List) > n || slices.ContainsFunc(s.List, func(r Recipient) bool {
		_, cut := schemas.Quote(r.Name, maxShownName)
		return cut
	})
}

// ShortName names the recipient in a sentence, such as `+44 20 7946 0123 "Ada Lovelace"`. What the
// reader must not see is empty.
func (r Recipient) ShortName() string {
	var parts []string
	switch {
	case r.Number != "":
		parts = append(parts, formatInternational(r.Number))
	case r.Address != "":
		parts = append(parts, schemas.Escape(r.Address, len(r.Address)))
	}
	if strings.TrimSpace(r.Name) != "" {
		name, _ := schemas.Quote(r.Name, maxShownName)
		parts = append(parts, name)
	}
	if parts == nil {
		parts = append(parts, "contact "+r.Contact)
	}
	return strings.Join(parts, " ")
}

func (r Recipient) line() string {
	if r.Address != "" {
		return r.addressLine()
	}
	number := fmt.Sprintf("(%s, %s)", cmp.Or(r.Country, "no country"), r.Kind.words())
	if r.Number != "" { // it may be hidden from the reader
		number = formatInternational(r.Number) + " " + number
	}
	if r.Contact == "" {
		return number
	}
	if strings.TrimSpace(r.Name) == "" {
		return number + " contact " + r.Contact
	}
	name, _ := schemas.Quote(r.Name, maxShownName)
	return number + " " + name
}

// addressLine has the address first, because it decides who gets the answer. It is never cut.
func (r Recipient) addressLine() string {
	address := schemas.Escape(r.Address, len(r.Address)) + schemas.Marks(r.Address)
	switch {
	case r.Contact == "":
		return address + " (no contact)"
	case strings.TrimSpace(r.Name) == "":
		return address + " (contact " + r.Contact + ")"
	}
	name, _ := schemas.Quote(r.Name, maxShownName)
	return address + " (contact " + name + ")"
}

// notableKinds are the kinds that a summary always counts, since the number may not be among the
// first lines.
var notableKinds = []struct {
	kind      Kind
	one, many string
}{
	{Emergency, "emergency number", "emergency numbers"},
	{PremiumRate, "premium rate number", "premium rate numbers"},
	{SharedCost, "shared cost number", "shared cost numbers"},
	{PersonalNumber, "personal number", "personal numbers"},
	{ShortCode, "short code", "short codes"},
	{Unknown, "number of unknown kind", "numbers of unknown kind"},
}

// Summary returns in one line how many are rung and where, such as `12 people in GB and IE; 1
// premium rate number` or `up to 40 members of the group 6f1c…, which Sippet cannot list`. It
// contains no untrusted text.
func (s *Set) Summary() string {
	if s.Group != "" {
		return fmt.Sprintf("up to %s of the group %s, which Sippet cannot list", plural(s.Count, "member", "members"), schemas.Escape(s.Group, 40))
	}
	if s.IsMail() {
		return s.mailSummary()
	}
	one, many := "person", "people"
	if len(s.List) == 1 && s.List[0].Contact == "" {
		one, many = "number", "numbers"
	}
	text := plural(len(s.List), one, many)
	countries, kinds := map[string]int{}, map[Kind]int{}
	for _, r := range s.List {
		countries[r.Country]++
		kinds[r.Kind]++
	}
	nowhere := countries[""]
	delete(countries, "")
	if len(countries) > 0 {
		text += " in " + countryList(countries)
	}
	if s.Count < len(s.List) { // the API does not say how it applies a limit to named contacts
		text += fmt.Sprintf(", perhaps only %d of them", s.Count)
	}
	if nowhere > 0 {
		text += "; " + plural(nowhere, "number of no country", "numbers of no country")
	}
	for _, r := range notableKinds {
		if n := kinds[r.kind]; n > 0 {
			text += "; " + plural(n, r.one, r.many)
		}
	}
	return text
}

// mailSummary is the Summary of addresses, such as `2 email addresses; 1 of no contact`.
func (s *Set) mailSummary() string {
	text, strangers := plural(len(s.List), "email address", "email addresses"), 0
	for _, r := range s.List {
		if r.Contact == "" {
			strangers++
		}
	}
	if strangers > 0 {
		text += fmt.Sprintf("; %d of no contact", strangers)
	}
	return text
}

// countryList lists countries, the most frequent first.
func countryList(countries map[string]int) string {
	names := slices.SortedFunc(maps.Keys(countries), func(a, b string) int {
		return cmp.Or(cmp.Compare(countries[b], countries[a]), cmp.Compare(a, b))
	})
	last := names[len(names)-1]
	if rest := len(names) - maxShownCountries; rest > 0 {
		names, last = names[:maxShownCountries+1], plural(rest, "more country", "more countries")
	}
	if len(names) == 1 {
		return last
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + last
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
