package schemas

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSubject(t *testing.T) {
	const london = "phone:+442079460123"
	for text, want := range map[string]string{
		"+442079460123":                      london,
		"+44 20 7946 0123":                   london,
		"0044/20/79460123":                   london,
		"00 44 20 7946 0123":                 london,
		"+44 (0)20 7946 0123":                london,
		"+44 ( 0 ) 20 7946 0123":             london,
		"0044 (0) 20-7946-0123":              london,
		"+44.20.7946.0123":                   london,
		"(+44) 20 7946–0123":                 london,
		"+44 (20) 7946 0123":                 london,
		"\u202a+44 20\u00a07946\u20110123":   london,
		"phone:+442079460123":                london,
		"Phone: +44 20 7946 0123":            london,
		"tel:+44-20-7946-0123":               london,
		"+39 (0)6 1234 5678":                 "phone:+390612345678",
		"+39 06 1234 5678":                   "phone:+390612345678",
		someID:                               "contact:" + someID,
		" " + strings.ToUpper(someID):        "contact:" + someID,
		"contact:" + strings.ToUpper(someID): "contact:" + someID,
		"Ada@Example.COM":                    "email:ada@example.com",
		"email:ada@example.com":              "email:ada@example.com",
		"mailto:Ada@example.com":             "email:ada@example.com",
		"Ada Lovelace <Ada@Example.com>":     "email:ada@example.com",
	} {
		got, err := ParseSubject(text)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
		if again, err := ParseSubject(got); err != nil || again != got {
			t.Errorf("%q: the subject is read as %q, %v", got, again, err)
		}
	}
	for text, says := range map[string]string{
		"020 7946 0123":         "has no country code: give it with one, such as +442079460123",
		"(0)20 7946 0123":       "has no country code",
		"447700900900":          "has no country code",
		"phone:02079460123":     "has no country code",
		"phone:ada@example.com": "is not a phone number",
		"+12":                   "is not a phone number",
		"+44 20 7946 0123 x5":   "is not a phone number",
		"email:+447700900900":   "is not an email address",
		"contact:ada":           "is not a contact's id",
		"contact:":              "is not a contact's id",
		"ada":                   "is no contact: give a contact's id, a phone number with its country code",
		"":                      "is no contact",
		"a@b, c@d":              "is no contact",
		"sender:x":              "is no contact",
	} {
		got, err := ParseSubject(text)
		if err == nil || got != "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, says)
		}
	}
}

// TestEverySpellingIsFound: a number that a call names is filed under one subject, and a person
// who types it in any usual way finds that subject.
func TestEverySpellingIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom([]string{"1", "44", "49", "353", "420"}).Draw(t, "code")
		national := rapid.StringMatching(`[1-9][0-9]{6,10}`).Draw(t, "national")
		number := "+" + code + national
		p, err := byName["create_call"].Check([]byte(`{"input":{"direction":"inbound","toNumber":"1001","callUuid":"x","fromNumber":"`+number+`"}}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		filed := p.Subjects()
		if len(filed) != 1 || filed[0] != "phone:"+number {
			t.Fatalf("%s is filed under %q", number, filed)
		}
		spelled := spell(t, code, national)
		if got, err := ParseSubject(spelled); err != nil || got != filed[0] {
			t.Fatalf("%q: %q, %v, want %s", spelled, got, err, filed[0])
		}
		// A call that uses this spelling is filed under the same subject.
		again := appendSubject(nil, PhoneSubject, spelled)
		if strings.Contains(spelled, ":") {
			return
		}
		if len(again) != 1 || again[0] != filed[0] {
			t.Fatalf("%q is filed under %q", spelled, again)
		}
	})
}

// spell writes a number as people do.
func spell(t *rapid.T, code, national string) string {
	separator := rapid.SampledFrom([]string{"", " ", "-", ".", "/", "\u00a0", " - ", "\u2011"})
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"", "phone:", "Phone: ", "tel:"}).Draw(t, "kind"))
	b.WriteString(rapid.SampledFrom([]string{"+", "00", "+ ", "00 "}).Draw(t, "prefix"))
	b.WriteString(code + separator.Draw(t, "separator"))
	b.WriteString(rapid.SampledFrom([]string{"", "(0)", "(0) ", " (0)"}).Draw(t, "trunk"))
	brackets := rapid.IntRange(0, 4).Draw(t, "brackets")
	if brackets > 0 {
		b.WriteString("(" + national[:brackets] + ")")
	}
	for _, d := range national[brackets:] {
		b.WriteString(separator.Draw(t, "separator"))
		b.WriteRune(d)
	}
	return b.String()
}

// TestSubjectsAreReadBack: a subject as it is shown is read as itself.
func TestSubjectsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]SubjectKind{ContactSubject, PhoneSubject, EmailSubject}).Draw(t, "kind")
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[+0]{0,2}[0-9 ()./-]{5,20}`), rapid.StringMatching(`[ A-Za-z.]{1,8}@[A-Za-z.]{1,8}`)).Draw(t, "value")
		for _, s := range appendSubject(nil, kind, value) {
			if got, err := ParseSubject(s); err != nil || got != s {
				t.Fatalf("%q is filed under %q, which is read as %q, %v", value, s, got, err)
			}
		}
	})
}
