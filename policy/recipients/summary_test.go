package recipients

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestLines(t *testing.T) {
	const id = "c0000000-0000-4000-8000-000000000001"
	s := Set{List: []Recipient{
		{Contact: id, Name: "Ada Lovelace", Number: "+442079460123", Country: "GB", Kind: FixedLine},
		{Number: "+19002345678", Country: "US", Kind: PremiumRate},
		{Contact: id, Name: " ", Number: "+881612345678", Kind: Mobile},
		{Contact: id, Name: `Eve" +1 202-555-0123 (US, "mobile`, Number: "+19002345678", Country: "US", Kind: PremiumRate},
		{Contact: id, Name: "Mal\u202elory\x1b[31m\n<b>**[x](y)", Number: "112", Kind: Emergency},
		{Contact: id, Name: "שרה כהן", Number: "+442079460123", Country: "GB", Kind: FixedLineOrMobile},
		{Contact: id, Name: strings.Repeat("x", 300), Number: "+353851234567", Country: "IE", Kind: Mobile},
		{Contact: id, Name: "Hаnnah” +353 85 123 4568", Number: "+353851234567", Country: "IE", Kind: Mobile},
		{Contact: id, Name: "Hannah", Country: "IE", Kind: Mobile},
		{Address: "kate@ex\u0430mple.com", Kind: Email},
	}}
	want := []string{
		`+44 20 7946 0123 (GB, fixed line) "Ada Lovelace"`,
		`+1 900-234-5678 (US, premium rate)`,
		`+881 6 123 45678 (no country, mobile) contact ` + id,
		`+1 900-234-5678 (US, premium rate) "Eve\" +1 202-555-0123 (US, \"mobile"`,
		`112 (no country, emergency) "Mal\u{202e}lory\u{1b}[31m\n<b>**[x](y)"`,
		`+44 20 7946 0123 (GB, fixed line or mobile) "שרה כהן"`,
		`+353 85 123 4567 (IE, mobile) "` + strings.Repeat("x", 60) + `… (300 characters)"`,
		`+353 85 123 4567 (IE, mobile) "Hаnnah\” +353 85 123 4568" (letters of Cyrillic and Latin)`,
		`(IE, mobile) "Hannah"`,
		"kate@ex\u0430mple.com (letters of Cyrillic and Latin) (no contact)",
	}
	if d := cmp.Diff(want, s.Lines(10)); d != "" {
		t.Error(d)
	}
	if got := s.Lines(2); len(got) != 2 || s.Lines(0) != nil || s.Lines(-1) != nil || (&Set{Group: "g", Count: 3}).Lines(5) != nil {
		t.Error(got)
	}
}

func TestCutsLines(t *testing.T) {
	s := Set{List: []Recipient{{Name: strings.Repeat("x", 60)}, {Name: strings.Repeat("x", 59) + `"`}}}
	if !s.CutsLines(2) || !s.CutsLines(1) {
		t.Error("a name is cut, and CutsLines says it is not")
	}
	s.List = s.List[:1]
	if s.CutsLines(1) || !s.CutsLines(0) || (&Set{Group: "g", Count: 3}).CutsLines(0) {
		t.Error(s)
	}
}

func TestLinesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Recipient{Contact: "c", Name: rapid.String().Draw(t, "name"), Number: "+442079460123"}
		line := d.line()
		if _, hidden := schemas.Clean(line); hidden > 0 || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%q", line)
		}
	})
}

func TestSummary(t *testing.T) {
	set := func(bare bool, count int, all ...string) *Set {
		s := &Set{Count: count}
		for _, one := range all {
			country, kind, _ := strings.Cut(one, " ")
			d := Recipient{Contact: "c", Country: country, Kind: Mobile}
			if kind != "" {
				d.Kind = Kind(kind)
			}
			if bare {
				d.Contact = ""
			}
			s.List = append(s.List, d)
		}
		return s
	}
	for want, s := range map[string]*Set{
		"1 person in GB":                   set(false, 1, "GB"),
		"1 number in GB":                   set(true, 1, "GB"),
		"1 number; 1 number of no country": set(true, 1, ""),
		"1 number; 1 number of no country; 1 emergency number":                              set(true, 1, " emergency"),
		"3 people in GB and IE":                                                             set(false, 3, "IE", "GB", "GB"),
		"4 people in IE, GB and US":                                                         set(false, 4, "US", "GB", "IE", "IE"),
		"3 people in GB, perhaps only 2 of them":                                            set(false, 2, "GB", "GB", "GB"),
		"2 people in GB; 2 premium rate numbers":                                            set(false, 2, "GB premium_rate", "GB premium_rate"),
		"3 people in GB; 2 numbers of no country; 1 premium rate number; 1 personal number": set(false, 3, "GB personal_number", "", " premium_rate"),
		"7 people in GB, AA, BB, CC, DD and 1 more country":                                 set(false, 7, "GB", "GB", "AA", "BB", "CC", "DD", "EE"),
		"7 people in AA, BB, CC, DD, EE and 2 more countries":                               set(false, 7, "AA", "BB", "CC", "DD", "EE", "FF", "GG"),
		"up to 40 members of the group 6f, which Sippet cannot list":                        {Group: "6f", Count: 40},
		"up to 1 member of the group 6f, which Sippet cannot list":                          {Group: "6f", Count: 1},
	} {
		if got := s.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNotableKinds(t *testing.T) {
	for _, r := range notableKinds {
		if !slices.Contains(Kinds, r.kind) {
			t.Error(r.kind)
		}
	}
}
