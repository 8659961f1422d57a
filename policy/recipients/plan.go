package recipients

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	plans "github.com/nyaruka/phonenumbers"
)

// The numbering plans are libphonenumber's. The library matches every pattern several times, which
// takes some hundred microseconds a number. This file matches each pattern at most once, on the
// same data. A test compares the two.

// plan is the numbering plan of a region.
type plan struct {
	country       string         // empty for numbers of no country
	leading       *regexp.Regexp // start of national numbers if regions share the calling code; nil if it does not distinguish them
	general       *pattern
	specials      []pattern // the most expensive first, in the library's order
	fixed         *pattern
	mobile        *pattern
	fixedIsMobile bool // the plan does not distinguish them
}

// pattern matches national numbers of one kind.
type pattern struct {
	kind    Kind
	lengths []int32 // in digits; empty: those of the general pattern
	digits  *regexp.Regexp
}

func (p *pattern) match(national string) bool {
	return p != nil && (len(p.lengths) == 0 || slices.Contains(p.lengths, int32(len(national)))) && p.digits.MatchString(national)
}

func newPattern(kind Kind, d *plans.PhoneNumberDesc) *pattern {
	if d.GetNationalNumberPattern() == "" {
		return nil
	}
	return &pattern{kind, d.GetPossibleLength(), regexp.MustCompile("^(?:" + d.GetNationalNumberPattern() + ")$")}
}

func newPlan(m *plans.PhoneMetadata) *plan {
	p := &plan{country: m.GetId(), general: newPattern("", m.GetGeneralDesc()), fixedIsMobile: m.GetSameMobileAndFixedLinePattern(),
		fixed: newPattern(FixedLine, m.GetFixedLine()), mobile: newPattern(Mobile, m.GetMobile())}
	if p.country == plans.REGION_CODE_FOR_NON_GEO_ENTITY {
		p.country = ""
	}
	if l := m.GetLeadingDigits(); l != "" {
		p.leading = regexp.MustCompile("^(?:" + l + ")")
	}
	for _, s := range []struct {
		kind Kind
		desc *plans.PhoneNumberDesc
	}{
		{PremiumRate, m.GetPremiumRate()}, {TollFree, m.GetTollFree()}, {SharedCost, m.GetSharedCost()}, {VoIP, m.GetVoip()},
		{PersonalNumber, m.GetPersonalNumber()}, {Pager, m.GetPager()}, {UAN, m.GetUan()}, {Voicemail, m.GetVoicemail()},
	} {
		if n := newPattern(s.kind, s.desc); n != nil {
			p.specials = append(p.specials, *n)
		}
	}
	return p
}

// kind returns the kind of a national number; Unknown if the plan does not contain it.
func (p *plan) kind(national string) Kind {
	if !p.general.match(national) {
		return Unknown
	}
	for i := range p.specials {
		if p.specials[i].match(national) {
			return p.specials[i].kind
		}
	}
	switch {
	case p.fixed.match(national):
		if p.fixedIsMobile || p.mobile.match(national) {
			return FixedLineOrMobile
		}
		return FixedLine
	case !p.fixedIsMobile && p.mobile.match(national):
		return Mobile
	}
	return Unknown
}

// plansByCode holds the plans of the regions that share a calling code, the main one first. A plan
// is compiled when a number first needs it: compiling all of them takes a tenth of a second.
var plansByCode = sync.OnceValue(func() map[string][]func() *plan {
	all, err := plans.MetadataCollection() // the library has parsed it already
	if err != nil {
		panic("recipients: the built-in numbering plans: " + err.Error())
	}
	type key struct {
		code   int
		region string
	}
	made := map[key]func() *plan{}
	for _, m := range all.GetMetadata() {
		made[key{int(m.GetCountryCode()), m.GetId()}] = sync.OnceValue(func() *plan { return newPlan(m) })
	}
	out := map[string][]func() *plan{}
	for code := range plans.GetSupportedCallingCodes() {
		for _, region := range plans.GetRegionCodesForCountryCode(code) {
			if p := made[key{code, region}]; p != nil {
				out[strconv.Itoa(code)] = append(out[strconv.Itoa(code)], p)
			}
		}
	}
	return out
})

// splitCode splits the digits after the plus sign into calling code and national number. No code is
// a prefix of another.
func splitCode(digits string) (code, national string, ok bool) {
	for n := 1; n <= min(3, len(digits)); n++ {
		if _, ok := plansByCode()[digits[:n]]; ok {
			return digits[:n], digits[n:], true
		}
	}
	return "", "", false
}

// matchPlan returns the country and kind of a national number. known is false if no plan contains
// it.
func matchPlan(code, national string) (country string, kind Kind, known bool) {
	regions := plansByCode()[code]
	for i := range regions {
		p := regions[i]()
		if len(regions) > 1 && p.leading != nil && !p.leading.MatchString(national) {
			continue
		}
		if kind = p.kind(national); kind != Unknown {
			return p.country, kind, true
		}
		if len(regions) > 1 && p.leading != nil {
			break // the number belongs to this region, and its plan does not contain it
		}
	}
	return "", Unknown, false
}

// reserved are ranges that regulators keep free for films, books and examples. The plans do not
// contain them, and people use them in tests.
var reserved = []struct {
	prefix  string
	digits  int // of the whole
	country string
	kind    Kind
}{
	{"447700900", 12, "GB", Mobile},
	{"441632960", 12, "GB", FixedLine},
	{"3532091", 12, "IE", FixedLine},
}

func matchReserved(digits string) (country string, kind Kind, known bool) {
	for _, r := range reserved {
		if len(digits) == r.digits && strings.HasPrefix(digits, r.prefix) {
			return r.country, r.kind, true
		}
	}
	return "", Unknown, false
}
