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
	shownName      = 60 // characters
	shownCountries = 5
)

// Lines writes the first n recipients for a person, one line each, such as
//
//	"Ada Lovelace" +44 20 7946 0123 (GB, fixed line)
//
// Names are quoted and escaped. Nil where the recipients are not known.
func (s *Set) Lines(n int) []string {
	var out []string
	for _, d := range s.List[:min(max(n, 0), len(s.List))] {
		out = append(out, d.line())
	}
	return out
}

func (d Recipient) line() string {
	number := fmt.Sprintf("(%s, %s)", cmp.Or(d.Country, "no country"), d.Kind.Words())
	if d.Number != "" { // it may be hidden from whoever reads this
		number = international(d.Number) + " " + number
	}
	if d.Contact == "" {
		return number
	}
	name := `"` + strings.ReplaceAll(schemas.Escape(d.Name, shownName), `"`, `\"`) + `"`
	switch {
	case strings.TrimSpace(d.Name) == "":
		name = "contact " + d.Contact
	case strings.ContainsFunc(d.Name, rightToLeft):
		// Behind such a name the groups of the number would be shown in reverse.
		return number + " " + name
	}
	return name + " " + number
}

// rightToLeft tells letters of Hebrew, Arabic and their kin; controls are escaped before they are shown.
func rightToLeft(r rune) bool {
	return r >= 0x590 && r <= 0x8ff || r >= 0xfb1d && r <= 0xfdff || r >= 0xfe70 && r <= 0xfeff ||
		r >= 0x10800 && r <= 0x10fff || r >= 0x1e800 && r <= 0x1efff
}

// remarkable are the kinds that a person should hear of even where the number is not among the first.
var remarkable = []struct {
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

// Summary says in one line how many are rung and where, such as `12 people in
// GB and IE; 1 premium rate number` or `up to 40 members of the group 6f1c…,
// whom nobody can list`. It holds no text from outside.
func (s *Set) Summary() string {
	if s.Group != "" {
		return fmt.Sprintf("up to %s of the group %s, whom nobody can list", number(s.Count, "member", "members"), schemas.Escape(s.Group, 40))
	}
	one, many := "person", "people"
	if len(s.List) == 1 && s.List[0].Contact == "" {
		one, many = "number", "numbers"
	}
	text := number(len(s.List), one, many)
	if s.Count < len(s.List) {
		text = fmt.Sprintf("up to %d of %s", s.Count, text)
	}
	countries, kinds := map[string]int{}, map[Kind]int{}
	for _, d := range s.List {
		countries[d.Country]++
		kinds[d.Kind]++
	}
	nowhere := countries[""]
	delete(countries, "")
	if len(countries) > 0 {
		text += " in " + countryList(countries)
	}
	if nowhere > 0 {
		text += "; " + number(nowhere, "number of no country", "numbers of no country")
	}
	for _, r := range remarkable {
		if n := kinds[r.kind]; n > 0 {
			text += "; " + number(n, r.one, r.many)
		}
	}
	return text
}

// countryList lists countries, those with the most people first.
func countryList(countries map[string]int) string {
	names := slices.SortedFunc(maps.Keys(countries), func(a, b string) int {
		return cmp.Or(cmp.Compare(countries[b], countries[a]), cmp.Compare(a, b))
	})
	last := names[len(names)-1]
	if rest := len(names) - shownCountries; rest > 0 {
		names, last = names[:shownCountries+1], number(rest, "more country", "more countries")
	}
	if len(names) == 1 {
		return last
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + last
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
