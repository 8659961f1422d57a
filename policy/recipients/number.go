package recipients

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	plans "github.com/nyaruka/phonenumbers"
)

// The bounds of E.164, in digits with the calling code. A number of fewer than seven digits works
// only in its country.
const (
	minDigits = 7
	maxDigits = 15
)

// parseNumber returns the recipient that a number is. The fault ends a sentence: it says what is
// wrong and what to write instead. It is empty if the number can be rung.
func parseNumber(number string) (r Recipient, fault string) {
	r.Number = number
	digits, plus := strings.CutPrefix(number, "+")
	if len(digits) == 0 || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return r, notE164
	}
	code, national, ok := "", "", false
	if plus {
		code, national, ok = splitCode(digits)
	}
	if country, ok := parseEmergency(digits, code, national); ok {
		r.Country, r.Kind = country, Emergency
		return r, ""
	}
	switch {
	case !plus || len(digits) < minDigits || digits[0] == '0':
		return r, notE164
	case !ok:
		return r, "begins with a calling code that no country has"
	}
	var known bool
	if r.Country, r.Kind, known = matchPlan(code, national); known {
		return r, ""
	}
	if r.Country, r.Kind, known = matchReserved(digits); known {
		return r, ""
	}
	n, err := plans.Parse(number, "")
	if err != nil {
		return r, notExisting
	}
	if written := plans.Format(n, plans.E164); written != number {
		// Most often it has a national prefix. Sippet would dial it unchanged, and ring nobody or
		// somebody else.
		if code, national, ok := splitCode(written[1:]); ok {
			if _, _, known := matchPlan(code, national); known {
				return r, "is not in E.164: write " + written
			}
		}
		return r, notExisting
	}
	if plans.IsValidShortNumber(n) {
		for _, region := range plans.GetRegionCodesForCountryCode(int(n.GetCountryCode())) {
			if plans.IsValidShortNumberForRegion(n, region) {
				r.Country, r.Kind = region, ShortCode
				return r, ""
			}
		}
	}
	return r, notExisting
}

const (
	notE164     = "is not in E.164, such as +442079460123"
	notExisting = "does not exist in its country's numbering plan"
)

// maxEmergency is the length of the longest emergency number, in digits.
const maxEmergency = 6

// parseEmergency recognises an emergency number: bare (112), with a wrong plus sign (+112), or
// behind a calling code (+44999), which some networks connect. It accepts those of any country,
// since the dialling network is unknown.
func parseEmergency(digits, code, national string) (country string, ok bool) {
	if len(digits) <= maxEmergency && isEmergency(digits) {
		return "", true
	}
	if code == "" || national == "" || len(national) > maxEmergency || !isEmergency(national) {
		return "", false
	}
	// Some islands have ordinary numbers that look like an emergency number of another country.
	if _, _, ordinary := matchPlan(code, national); ordinary {
		return "", false
	}
	if regions := plans.GetRegionCodesForCountryCode(codeNumber(code)); len(regions) == 1 && regions[0] != plans.REGION_CODE_FOR_NON_GEO_ENTITY {
		country = regions[0]
	}
	return country, true
}

// emergencyPattern matches every emergency number of every country.
var emergencyPattern = sync.OnceValue(func() *regexp.Regexp {
	all, err := plans.ShortNumberMetadataCollection() // the library has parsed it already
	if err != nil {
		panic("recipients: the built-in short numbers: " + err.Error())
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

func isEmergency(digits string) bool { return emergencyPattern().MatchString(digits) }

// codeNumber converts a calling code that splitCode found.
func codeNumber(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// formatInternational formats a number for a reader, such as `+44 20 7946 0123`.
func formatInternational(number string) string {
	n, err := plans.Parse(number, "")
	if err != nil || plans.Format(n, plans.E164) != number {
		return number
	}
	return plans.Format(n, plans.INTERNATIONAL)
}
