package schemas

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestDecodeString: DecodeString returns what encoding/json returns, for any value.
func TestDecodeString(t *testing.T) {
	for _, v := range []string{`""`, `"a"`, `"\u00e9\n"`, `"é"`, "\"\xff\"", `"\ud800"`, `null`, `7`, `true`, `{}`, `[]`} {
		var want string
		_ = json.Unmarshal([]byte(v), &want)
		if got := DecodeString([]byte(v)); got != want {
			t.Errorf("%s: %q, want %q", v, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		q, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := DecodeString(q); got != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]struct {
		clean string
		n     int
	}{
		"Ada Lovelace":                    {"Ada Lovelace", 0},
		"line\none\ttab":                  {"line\none\ttab", 0},
		"a\x1b[31mred\x1b[0mb":            {"aredb", 2},
		"\x1b]0;title\x07x":               {"x", 1},
		"\u009b31mx":                      {"x", 1},
		"evil\u202etxt.exe":               {"eviltxt.exe", 1},
		"ze\u200bro\u200d\ufeff":          {"zero", 3},
		"tag\U000e0041\U000e007f":         {"tag", 2},
		"a\x00b\x07c\r":                   {"abc", 3},
		"bad\xffutf8":                     {"badutf8", 1},
		"❤\ufe0f":                         {"❤\ufe0f", 0},
		"a\ufe0fb\ufe00\U000e0100":        {"ab", 3},
		"\u115f\u3164\u2028\u2029x\u00ad": {"x", 5},
		"Zoë 日本語 עברית":                   {"Zoë 日本語 עברית", 0},
		"\ufffd":                          {"\ufffd", 0},
	} {
		clean, n := Clean(in)
		if clean != want.clean || n != want.n {
			t.Errorf("%q: %q and %d, want %q and %d", in, clean, n, want.clean, want.n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		clean, _ := Clean(rapid.String().Draw(t, "s"))
		if again, n := Clean(clean); n != 0 || again != clean {
			t.Fatalf("cleaning %q again took %d out", clean, n)
		}
	})
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"Ada":               "Ada",
		"a\nb\tc":           `a\nb c`,
		"x\u202ey\x1b[0m":   `x\u{202e}y\u{1b}[0m`,
		"bad\xff":           `bad\xff`,
		"0123456789abcdefg": "0123456789ab… (17 characters)",
	} {
		if got := Escape(in, 12); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
