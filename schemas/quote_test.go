package schemas

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestQuote(t *testing.T) {
	const mixed, wide = " (letters of Cyrillic and Latin)", " (full-width letters)"
	for in, want := range map[string]string{
		`Ada`:         `"Ada"`,
		`a "b" \c`:    `"a \"b\" \\c"`,
		"a\xffb\x1b":  `"a\xffb\u{1b}"`,
		"\ufffd":      "\"\ufffd\"",
		"O’Sullivan":  `"O’Sullivan"`,
		"Zoe\u0301’s": "\"Zoe\u0301’s\"",
		"Ada’":        `"Ada\’"`,
		"Ada’ x":      `"Ada\’ x"`,
		"’tis":        `"\’tis"`,
		"x7’8":        `"x7\’8"`,
		"it’’s":       `"it\’\’s"`,
		"Ada” +44":    `"Ada\” +44"`,
		`“a” „b‟ «c» ‹d› ‚e‛ ‘f‘`: `"\“a\” \„b\‟ \«c\» \‹d\› \‚e\‛ \‘f\‘"`,
		`〝a〞〟 aʺ a˝ a″ a〃`:        `"\〝a\〞\〟 a\ʺ a\˝ a\″ a\〃"`,
		`ˮ˶״᳓‴‶‷⁗❛❜❝❞❟❠❮❯⹂🙶🙷🙸`:    `"\ˮ\˶\״\᳓\‴\‶\‷\⁗\❛\❜\❝\❞\❟\❠\❮\❯\⹂\🙶\🙷\🙸"`,
		"a＂b":                       `"a\＂b"` + wide,
		"pаypal":                    `"pаypal"` + mixed,
		"see pаypal now":            `"see pаypal now"` + mixed,
		"Ada Петрова":               `"Ada Петрова"`,
		"Ada-Петрова":               `"Ada-Петрова"`,
		"ada@аррӏе.com":             `"ada@аррӏе.com"` + mixed,
		"О'Neil":                    `"О'Neil"` + mixed,
		"О’Neil":                    `"О’Neil"` + mixed,
		"p\u200bа":                  `"p\u{200b}а"` + mixed,
		"аx\u0301 кафе\u0301":       "\"аx\u0301 кафе\u0301\"" + mixed,
		"pаy, αbc":                  `"pаy, αbc" (letters of Cyrillic, Greek and Latin)`,
		"aаαא":                      `"aаαא" (letters of 4 scripts)`,
		"x\U00010300":               "\"x\U00010300\" (letters of Latin and Old Italic)",
		"Tシャツ漢字ひらー":                 `"Tシャツ漢字ひらー"`,
		"x漢ㄅ":                       `"x漢ㄅ"`,
		"x漢한":                       `"x漢한"`,
		"ㄅ한":                        `"ㄅ한" (letters of Bopomofo and Hangul)`,
		"漢а":                        `"漢а" (letters of Cyrillic and Han)`,
		"Петров7 7а 5€":             `"Петров7 7а 5€"`,
		"שרה כהן":                   `"שרה כהן"`,
		"Ａda":                       `"Ａda"` + wide,
		"７！":                        `"７！"` + wide,
		"～":                         `"～"` + wide,
		"｡ｶﾅ　":                      `"｡ｶﾅ　"`,
		"pа Ａ":                      `"pа Ａ" (letters of Cyrillic and Latin, full-width letters)`,
		`x" (full-width letters) "`: `"x\" (full-width letters) \""`,
	} {
		if got, cut := Quote(in, 100); got != want || cut {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestQuoteCut checks that the marks of a text that is cut are those of the part that is shown.
func TestQuoteCut(t *testing.T) {
	for in, want := range map[string]struct {
		quoted string
		cut    bool
	}{
		"pа Ａ":  {`"pа Ａ" (letters of Cyrillic and Latin, full-width letters)`, false},
		"pа ＡＢ": {`"pа Ａ… (5 characters)" (letters of Cyrillic and Latin, full-width letters)`, true},
		"pа xＡ": {`"pа x… (5 characters)" (letters of Cyrillic and Latin)`, true},
		"xyzpа": {`"xyzp… (5 characters)"`, true},
		"abcde": {`"abcd… (5 characters)"`, true},
		"abcd":  {`"abcd"`, false},
		"ab”":   {`"ab\”"`, false},
		"abc”":  {`"abc\… (5 characters)"`, true},
	} {
		if quoted, cut := Quote(in, 4); quoted != want.quoted || cut != want.cut {
			t.Errorf("%q: %s, cut %v, want %s", in, quoted, cut, want.quoted)
		}
	}
}

// TestQuoteIsClosed checks for any text that no quotation mark but the last ends the quotes, that
// the text between them can be read back, and that no character of the text follows them.
func TestQuoteIsClosed(t *testing.T) {
	texts := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a\\\"”’“а＂Ａ 漢\n"))))
	rapid.Check(t, func(t *rapid.T) {
		in := texts.Draw(t, "text")
		quoted, cut := Quote(in, 1000)
		if cut {
			t.Skip()
		}
		var back strings.Builder
		runes, end := []rune(quoted), 0
		for i := 1; i < len(runes) && end == 0; i++ {
			switch r := runes[i]; {
			case r == '"':
				end = i
			case r == '\\' && (runes[i+1] == '\\' || isQuote(runes[i+1])):
				i++
				back.WriteRune(runes[i])
			case r == '’' && unicode.IsLetter(runes[i+1]):
				back.WriteRune(r)
			case isQuote(r):
				t.Fatalf("%q is not escaped in %s", r, quoted)
			default:
				back.WriteRune(r)
			}
		}
		if want := Escape(in, 1000); back.String() != want {
			t.Fatalf("%s is read as %q, want %q", quoted, back.String(), want)
		}
		if rest := string(runes[end+1:]); rest != "" && !(strings.HasPrefix(rest, " (letters of ") || rest == " (full-width letters)") {
			t.Fatalf("%q follows the quotes", rest)
		}
	})
}

// TestScriptOf checks that every letter has one script, and the shortcut for ASCII.
func TestScriptOf(t *testing.T) {
	for r := range rune(0x3000) {
		if name := scriptOf(r); unicode.IsLetter(r) && (name == "" || !unicode.Is(unicode.Scripts[name], r)) {
			t.Error(fmt.Sprintf("%U", r), name)
		}
	}
}

func BenchmarkQuote(b *testing.B) {
	text := strings.Repeat("Ἑλλάς Петрова ", 1000)
	for b.Loop() {
		Quote(text, 100000)
	}
}
