package recipients

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	plans "github.com/nyaruka/phonenumbers"
)

// The numbering plans come from libphonenumber. Its own road from a text to a
// kind matches every pattern several times and takes some hundred
// microseconds; here each is matched at most once, on the same data. A test
// holds the answers to the library's.

// plan is the numbering plan of a region.
type plan struct {
	country string         // "" for numbers that belong to no country
	leading *regexp.Regexp // how national numbers begin where a calling code is shared; nil where that does not tell
	general *pattern
	special []pattern // gravest first, as the library asks them
	fixed   *pattern
	mobile  *pattern
	same    bool // fixed lines and mobiles are not told apart
}

// pattern is what national numbers of one kind look like.
type pattern struct {
	kind    Kind
	lengths []int32 // in digits; none: any that the general pattern has
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
	p := &plan{country: m.GetId(), general: newPattern("", m.GetGeneralDesc()), same: m.GetSameMobileAndFixedLinePattern(),
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
			p.special = append(p.special, *n)
		}
	}
	return p
}

// kind gives the kind of a national number, Unknown where the plan has no such number.
func (p *plan) kind(national string) Kind {
	if !p.general.match(national) {
		return Unknown
	}
	for i := range p.special {
		if p.special[i].match(national) {
			return p.special[i].kind
		}
	}
	switch {
	case p.fixed.match(national):
		if p.same || p.mobile.match(national) {
			return FixedLineOrMobile
		}
		return FixedLine
	case !p.same && p.mobile.match(national):
		return Mobile
	}
	return Unknown
}

// compiled holds, by calling code, the plans of the regions that share it, the
// main one first. Each is compiled when a number first needs it: all of them
// would take a start a tenth of a second.
var compiled = sync.OnceValue(func() map[string][]func() *plan {
	all, err := plans.MetadataCollection() // the library has read it already
	if err != nil {
		panic("reach: the built-in numbering plans: " + err.Error())
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

// split cuts digits after the plus sign into calling code and national number. No code is the beginning of another.
func split(digits string) (code, national string, ok bool) {
	for n := 1; n <= min(3, len(digits)); n++ {
		if _, ok := compiled()[digits[:n]]; ok {
			return digits[:n], digits[n:], true
		}
	}
	return "", "", false
}

// matchPlan finds the country and kind of a national number. known is false where no plan has it.
func matchPlan(code, national string) (country string, kind Kind, known bool) {
	regions := compiled()[code]
	for i := range regions {
		p := regions[i]()
		if len(regions) > 1 && p.leading != nil && !p.leading.MatchString(national) {
			continue
		}
		if kind = p.kind(national); kind != Unknown {
			return p.country, kind, true
		}
		if len(regions) > 1 && p.leading != nil {
			break // the number lies in this region, which has no such number
		}
	}
	return "", Unknown, false
}

// reserved are ranges that regulators keep free for films, books and examples
// and that the plans therefore do not have. Whoever tries things out uses them.
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
