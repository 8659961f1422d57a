package recipients

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	plans "github.com/nyaruka/phonenumbers"
)

// The bounds of E.164, in digits with the calling code. Fewer than seven are
// taken for a number that only its own country knows.
const (
	minDigits = 7
	maxDigits = 15
)

// parseNumber fills in what a number says. The fault is what is wrong with it and
// what to write instead, for the end of a sentence; empty where it can be rung.
func parseNumber(number string) (d Recipient, fault string) {
	d.Number = number
	digits, plus := strings.CutPrefix(number, "+")
	if len(digits) == 0 || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return d, notE164
	}
	code, national, ok := "", "", false
	if plus {
		code, national, ok = split(digits)
	}
	if country, is := emergency(digits, code, national); is {
		d.Country, d.Kind = country, Emergency
		return d, ""
	}
	switch {
	case !plus || len(digits) < minDigits || digits[0] == '0':
		return d, notE164
	case !ok:
		return d, "begins with a calling code that no country has"
	}
	var known bool
	if d.Country, d.Kind, known = matchPlan(code, national); known {
		return d, ""
	}
	if d.Country, d.Kind, known = matchReserved(digits); known {
		return d, ""
	}
	n, err := plans.Parse(number, "")
	if err != nil {
		return d, notExisting
	}
	if written := plans.Format(n, plans.E164); written != number {
		// A prefix for calls inside the country, mostly: Sippet would dial it as it stands, and reach nobody or somebody else.
		if code, national, ok := split(written[1:]); ok {
			if _, _, known := matchPlan(code, national); known {
				return d, "is not in E.164, where it is " + written
			}
		}
		return d, notExisting
	}
	if plans.IsValidShortNumber(n) {
		for _, region := range plans.GetRegionCodesForCountryCode(int(n.GetCountryCode())) {
			if plans.IsValidShortNumberForRegion(n, region) {
				d.Country, d.Kind = region, ShortCode
				return d, ""
			}
		}
	}
	return d, notExisting
}

const (
	notE164     = "is not in E.164, such as +442079460123"
	notExisting = "does not exist in its country's numbering plan"
)

// maxEmergency is how long an emergency number is at most, in digits.
const maxEmergency = 6

// emergency recognises an emergency number: bare (112), with a plus sign that
// does not belong there (+112), or behind a calling code (+44999), which some
// networks put through. Any country's will do: which network dials is not known.
func emergency(digits, code, national string) (country string, is bool) {
	if len(digits) <= maxEmergency && isEmergency(digits) {
		return "", true
	}
	if code == "" || national == "" || len(national) > maxEmergency || !isEmergency(national) {
		return "", false
	}
	// A few islands have ordinary numbers that are short enough to be a remote country's emergency number.
	if _, _, ordinary := matchPlan(code, national); ordinary {
		return "", false
	}
	if regions := plans.GetRegionCodesForCountryCode(toCode(code)); len(regions) == 1 && regions[0] != plans.REGION_CODE_FOR_NON_GEO_ENTITY {
		country = regions[0]
	}
	return country, true
}

// emergencies matches every emergency number of every country.
var emergencies = sync.OnceValue(func() *regexp.Regexp {
	all, err := plans.ShortNumberMetadataCollection() // the library has read it already
	if err != nil {
		panic("reach: the built-in short numbers: " + err.Error())
	}
	var patterns []string
	for _, m := range all.GetMetadata() {
		if p := m.GetEmergency().GetNationalNumberPattern(); p != "" {
			patterns = append(patterns, p)
		}
	}
	slices.Sort(patterns)
	return regexp.MustCompile("^(?:" + strings.Join(slices.Compact(patterns), "|") + ")$")
})

func isEmergency(digits string) bool { return emergencies().MatchString(digits) }

// toCode reads a calling code, which split has found.
func toCode(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// international writes a number for a reader, such as `+44 20 7946 0123`.
func international(number string) string {
	n, err := plans.Parse(number, "")
	if err != nil || plans.Format(n, plans.E164) != number {
		return number
	}
	return plans.Format(n, plans.INTERNATIONAL)
}
