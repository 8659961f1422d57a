package approval

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMentions(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"Dear {{name}}, thanks.":       "",
		"see https://example.com/pay.": "link example.com/pay",
		"see HTTP://Example.COM/Pay?a=1#b, or www.example.org/":                       "link http://example.com/Pay?a=1#b, link www.example.org",
		"(pay at example.com/pay)":                                                    "link example.com/pay",
		"<https://a.example> <b@c.example> <d.example>":                               "link a.example, address b@c.example, link d.example",
		`<a href="https://a.example">https://b.example</a>`:                           "link a.example, link b.example",
		`<a href="https://a.example">a.example</a>`:                                   "link a.example",
		`<a href='//a.example/x'>x</a><img src=b.png>`:                                "link a.example/x, link b.png",
		`<a href="&#104;ttps:&#x2f;/a.exa` + "\n\t" + `mple">x</a>`:                   "link a.example",
		`<a href="https:\\a.example\@b.example">x</a>`:                                "link a.example/@b.example",
		`<a href="https:a.example">x</a>`:                                             "link a.example",
		`<a href="javascript:alert(1)">x</a>`:                                         "link javascript:alert(1)",
		`<a href="{{url}}">x</a> <a href="#top">y</a> <img src="cid:1">`:              "link {{url}}",
		"https://bank.example@a.example/":                                             "link a.example",
		"https://bank.example:x%20y@a.example/" + strings.Repeat("p", 30):             "link a.example/" + strings.Repeat("p", 23) + "…",
		"https://a.example/?u=https://b.example/":                                     "link a.example/?u=, link b.example",
		"https://exam\u200bple.com":                                                   "link example.com",
		"ｈｔｔｐｓ：／／ａ．example x。example":                                                 "link a.example, link x.example",
		"https://пример.рф/x":                                                         "link пример.рф/x",
		"evil<b>.exam</b>ple <i>020 7946</i> <!-- x -->0019 b<span>@</span>c.example": "number 020 7946 0019, address b@c.example, link evil.example",
		"<p>one</p><p>two.</p>Three":                                                  "",
		`<a href="mailto:a@b.example?cc=c%40d.example">x</a>`:                         "address a@b.example, address c@d.example",
		`<a href="tel:+44-20-7946-0019">x</a> <a href="tel:112">y</a>`:                "link tel:112, number +44-20-7946-0019",
		"ring 020 7946 0019, (0)20 7946 0018 or +44 20 7946\u00a00017":                "number 020 7946 0019, number (0)20 7946 0018, number +44 20 7946 0017",
		"ring ０２０ ７９４６ ００１９":                                                          "number 020 7946 0019",
		"on 2026-11-29 10:00, 29.11.2026, 1/2/2026 or 2025-2026 at 123456":            "",
		`<a title="href='#" href="https://a.example" alt="'">x</a>`:                   "link a.example",
		`<a title="href='#" href="//a.example/x" alt="'">x</a>`:                       "link a.example/x",
		`the word href='# https://a.example '`:                                        "link a.example",
		`<img srcset="//a.example/x 1x"><meta content="0;url=//b.example">`:           "link a.example/x, link b.example",
		`<p style="background:url(//a.example/x)">x</p>`:                              "link a.example/x",
		`<meta content="0;url=https:a.example/x">`:                                    "link a.example/x",
		`{{ "a.example/x" }} {{ name | or: '020 7946 0019' }}`:                        "number 020 7946 0019, link a.example/x",
		`020 {{ "" }}7946 0019`:                                                       "number 020 7946 0019",
		"020·7946•0019 or 020_7946_0018":                                              `number 020·7946•0019, number 020_7946_0018`,
		`"-//W3C//DTD XHTML 1.0 Transitional//EN" this // that`:                       "",
		"20/79/4600":                      "number 20/79/4600",
		"{{contact.name}} {%if a.bc%}":    "",
		"{{x}}@a.example":                 "link a.example",
		"see invoice.pdf, e.g. on page 3": "",
		"A@B.example a@b.example":         "address A@B.example",
	} {
		var got []string
		for _, m := range mentionsOf(text) {
			got = append(got, m.kind+" "+m.text)
		}
		if d := cmp.Diff(want, strings.Join(got, ", ")); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
}

// TestNothingAddedIsMissing checks that a link, a number or an address that is put into any text is
// among those that the new text adds.
func TestNothingAddedIsMissing(t *testing.T) {
	added := map[string]string{
		"https://evil.example/pay": "link https://evil.example/pay", "http://evil.example": "link http://evil.example",
		`<a href="//evil.example/pay">us</a>`: "link https://evil.example/pay", "www.evil.example": "link https://www.evil.example",
		`<a href="tel:+442079460019">us</a>`: "number 442079460019", "mailto:eve@evil.example": "address eve@evil.example",
		"020 7946 0019": "number 02079460019", "eve@evil.example": "address eve@evil.example",
	}
	keys := slices.Sorted(maps.Keys(added))
	around := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "<p>", `<a href="https://a.example">a</a>`, "see https://a.example",
		"ring 020 7946 0018", "{{name}}", `"`, "'", "<", "&lt;", "(", "<!--", "<style>"}))
	rapid.Check(t, func(t *rapid.T) {
		before, after := strings.Join(rapid.SliceOf(around).Draw(t, "before"), " "), strings.Join(rapid.SliceOf(around).Draw(t, "after"), " ")
		part := rapid.SampledFrom(keys).Draw(t, "part")
		for _, m := range distinct(mentionsOf(before+" \n"+part+"\n "+after), mentionsOf(before+" \n\n "+after)) {
			if m.kind+" "+m.key == added[part] {
				return
			}
		}
		t.Fatalf("%s is not found between %q and %q", part, before, after)
	})
}
