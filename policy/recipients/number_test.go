package recipients

import (
	"slices"
	"strings"
	"testing"

	plans "github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

func TestParseNumber(t *testing.T) {
	for _, c := range []struct {
		number, country string
		kind            Kind
	}{
		{"+442079460123", "GB", FixedLine},
		{"+447400123456", "GB", Mobile},
		{"+447911123456", "GG", Mobile}, // Guernsey has a part of 07911
		{"+448081570123", "GB", TollFree},
		{"+448431234567", "GB", PremiumRate},
		{"+449012345678", "GB", PremiumRate},
		{"+449098790123", "GB", PremiumRate},
		{"+447012345678", "GB", PersonalNumber}, // known for fraud: 070 looks like a mobile
		{"+447640123456", "GB", Pager},
		{"+445512345678", "GB", UAN},
		{"+445612345678", "GB", VoIP},
		{"+441481960123", "GG", FixedLine},
		{"+447781123456", "GG", Mobile},
		{"+12025550123", "US", FixedLineOrMobile},
		{"+19002345678", "US", PremiumRate},
		{"+18002345678", "US", TollFree},
		{"+14165550123", "CA", FixedLineOrMobile},
		{"+12684601234", "AG", FixedLine}, // reads like an American number and costs more
		{"+18762345678", "JM", Mobile},
		{"+353851234567", "IE", Mobile},
		{"+3531550123456", "IE", PremiumRate},
		{"+4915112345678", "DE", Mobile},
		{"+4930123456", "DE", FixedLine},
		{"+33899123456", "FR", PremiumRate},
		{"+390612345678", "IT", FixedLine}, // the zero belongs to it
		{"+393123456789", "IT", Mobile},
		{"+611900123456", "AU", PremiumRate},
		{"+5491123456789", "AR", Mobile},
		{"+525512345678", "MX", FixedLineOrMobile},
		{"+79123456789", "RU", Mobile},
		{"+77710009998", "KZ", Mobile},
		{"+819012345678", "JP", Mobile},
		{"+2347012345678", "NG", Mobile},
		{"+881612345678", "", Mobile}, // Globalstar
		{"+882161234567", "", VoIP},   // Thuraya
		{"+8823456789012", "", VoIP},
		{"+883510012345", "", VoIP},
		{"+870773123456", "", Mobile}, // Inmarsat
		{"+80012345678", "", TollFree},
		{"+80812345678", "", SharedCost},
		{"+979123456789", "", PremiumRate},
		{"+44118500", "GB", ShortCode},
		{"+447700900123", "GB", Mobile},
		{"+441632960123", "GB", FixedLine},
		{"+353209101234", "IE", FixedLine},
		{"112", "", Emergency},
		{"911", "", Emergency},
		{"999", "", Emergency},
		{"+112", "", Emergency},
		{"+999", "", Emergency},
		{"+44999", "", Emergency},
		{"+44112", "", Emergency}, // Jersey has the code as well
		{"+1911", "", Emergency},  // 25 countries
		{"+49110", "DE", Emergency},
	} {
		d, fault := parseNumber(c.number)
		if fault != "" || d.Country != c.country || d.Kind != c.kind || d.Number != c.number {
			t.Errorf("%s: %+v %q, want %q %s", c.number, d, fault, c.country, c.kind)
		}
		if !slices.Contains(Kinds, d.Kind) {
			t.Errorf("%s: %s is not one of Kinds", c.number, d.Kind)
		}
	}
}

func TestParseNumberFails(t *testing.T) {
	for number, fault := range map[string]string{
		"":                       "E.164",
		"+":                      "E.164",
		"442079460123":           "E.164",
		"02079460123":            "E.164",
		"00442079460123":         "E.164",
		"+44 20 7946 0123":       "E.164",
		"+44(0)2079460123":       "E.164",
		"+44207946012a":          "E.164",
		"+44٢٠٧٩٤٦٠١٢٣":          "E.164",
		"+442079460123;ext=9":    "E.164",
		"+442079460123,,9":       "E.164",
		"tel:+442079460123":      "E.164",
		"++442079460123":         "E.164",
		"+442079460123\x00":      "E.164",
		"+442079460123\n":        "E.164",
		"+0442079460123":         "E.164",
		"+1234567890123456":      "E.164",
		"+44777":                 "E.164",
		"+1-900-CALL":            "E.164",
		"+4402079460123":         "+442079460123",
		"+99912345678":           "calling code",
		"+21012345678":           "calling code",
		"+4477000":               "exist",
		"+4420794601234":         "exist",
		"+447611234567":          "exist",
		"+15550100000":           "exist",
		"+19112345678":           "exist",
		"+5215512345678":         "exist", // Mexico took the 1 out in 2019
		"+44770090012":           "exist",
		"+44770090012345":        "exist",
		strings.Repeat("+1", 99): "E.164",
	} {
		if d, got := parseNumber(number); !strings.Contains(got, fault) || got == "" {
			t.Errorf("%q: %q, want %q (%+v)", number, got, fault, d)
		}
	}
}

// libraryParse looks a number up with the library alone, which is slow.
func libraryParse(number string) (country string, kind Kind, known bool) {
	n, err := plans.Parse(number, "")
	if err != nil || !plans.IsValidNumber(n) {
		return "", Unknown, false
	}
	country = plans.GetRegionCodeForNumber(n)
	if country == "001" {
		country = ""
	}
	kinds := map[plans.PhoneNumberType]Kind{plans.FIXED_LINE: FixedLine, plans.MOBILE: Mobile, plans.FIXED_LINE_OR_MOBILE: FixedLineOrMobile,
		plans.TOLL_FREE: TollFree, plans.PREMIUM_RATE: PremiumRate, plans.SHARED_COST: SharedCost, plans.VOIP: VoIP,
		plans.PERSONAL_NUMBER: PersonalNumber, plans.PAGER: Pager, plans.UAN: UAN, plans.VOICEMAIL: Voicemail, plans.UNKNOWN: Unknown}
	return country, kinds[plans.GetNumberType(n)], true
}

// checkAgainstLibrary compares parseNumber with the library. parseNumber may reject what the
// library corrects.
func checkAgainstLibrary(t interface{ Errorf(string, ...any) }, number string) {
	d, fault := parseNumber(number)
	country, kind, known := libraryParse(number)
	n, err := plans.Parse(number, "")
	asIs := err == nil && len(number) <= 1+maxDigits && plans.Format(n, plans.E164) == number
	switch {
	case known && asIs && (fault != "" || d.Country != country || d.Kind != kind):
		t.Errorf("%s: %+v %q; the library says %q %s", number, d, fault, country, kind)
	case !known && fault == "" && d.Kind != Emergency && d.Kind != ShortCode:
		if _, _, reserved := matchReserved(number[1:]); !reserved {
			t.Errorf("%s: %+v; the library has no such number", number, d)
		}
	}
}

func TestParseNumberMatchesLibrary(t *testing.T) {
	n := 0
	examples := func(e *plans.PhoneNumber) {
		if e == nil {
			return
		}
		number := plans.Format(e, plans.E164)
		if len(number) < 1+minDigits { // some islands; rejected, as by the tool's schema
			return
		}
		n++
		checkAgainstLibrary(t, number)
		last := number[len(number)-1]
		checkAgainstLibrary(t, number[:len(number)-1])
		checkAgainstLibrary(t, number+string(last))
		checkAgainstLibrary(t, number[:len(number)-1]+string('0'+(last-'0'+5)%10))
	}
	for region := range plans.GetSupportedRegions() {
		for typ := plans.FIXED_LINE; typ < plans.UNKNOWN; typ++ {
			examples(plans.GetExampleNumberForType(region, typ))
		}
	}
	for code := range plans.GetSupportedGlobalNetworkCallingCodes() {
		examples(plans.GetExampleNumberForNonGeoEntity(code))
	}
	if n < 1000 {
		t.Errorf("only %d examples", n)
	}
}

func TestParseNumberMatchesLibraryRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkAgainstLibrary(t, rapid.StringMatching(`\+(1|44|7|39|49|61|262|590|599|358|881|882|883|800|979|[1-9])[0-9]{5,12}`).Draw(t, "number"))
	})
}

func TestEmergencyNumbers(t *testing.T) {
	found := 0
	for _, digits := range []string{"112", "911", "999", "000", "110", "111", "117", "119", "100", "108", "122", "190", "192", "066", "997"} {
		for region := range plans.GetSupportedRegions() {
			if plans.IsEmergencyNumber(digits, region) {
				found++
				if !isEmergency(digits) {
					t.Errorf("%s is an emergency number in %s", digits, region)
				}
			}
		}
	}
	if found < 300 {
		t.Errorf("only %d were found", found)
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"+442079460123", "112", "+44999", "+4402079460123", "+1٢", "\x00", "+883510012345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, fault := parseNumber(s)
		if fault == "" && (d.Number != s || !slices.Contains(Kinds, d.Kind) || strings.Trim(s, "+0123456789") != "") {
			t.Errorf("%q passed as %+v", s, d)
		}
		formatInternational(s)
	})
}
