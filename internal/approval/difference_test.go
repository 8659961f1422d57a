package approval

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// format writes a difference as text, one line each.
func format(lines []DiffLine) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%d%s%s\n", l.Number, l.Sign, l.Text)
	}
	return b.String()
}

func TestDifference(t *testing.T) {
	numbered := func(n int) string { return fmt.Sprintf("line %d of a text\n", n) }
	var twenty string
	for n := range 20 {
		twenty += numbered(n + 1)
	}
	html := `<html><body><p>Dear {{name}},</p><p>Your bill is due. Pay at <a href="https://sippet.example/pay">our page</a>. Thank you!</p><br>` +
		`<p>Harbour Lane Dental, 1 Harbour Lane</p></body></html>`
	for name, test := range map[string]struct{ old, new, want string }{
		"equal": {"a\n", "a\n", ""},
		"one line of three": {"Dear Ada,\nsee you on Monday.\nBye\n", "Dear Ada,\nsee you on Tuesday.\nBye\n",
			"1 Dear Ada,\n2-see you on Monday.\n2+see you on Tuesday.\n3 Bye\n"},
		"first and last of twenty": {twenty, strings.Replace(strings.Replace(twenty, "line 1 of", "line one of", 1), "line 20 of", "line twenty of", 1),
			"1-line 1 of a text\n1+line one of a text\n2 line 2 of a text\n0 …\n19 line 19 of a text\n20-line 20 of a text\n20+line twenty of a text\n"},
		"lines added":    {"a\nd\n", "a\nb\nc\nd\n", "1 a\n2+b\n3+c\n4 d\n"},
		"lines removed":  {"a\nb\nc\nd\n", "a\nd\n", "1 a\n2-b\n3-c\n2 d\n"},
		"all new":        {"", "a\n", "1+a\n"},
		"all removed":    {"a", "", "1-a\n"},
		"only the end":   {"a\nb", "a\nb\n", "1 a\n2-b\n2+b\\n\n"},
		"other ends":     {"a\r\nb\r\n", "a\nb\n", "1-a\\u{d}\\n\n2-b\\u{d}\\n\n1+a\\n\n2+b\\n\n"},
		"a moved line":   {"a\nb\nc\n", "b\nc\na\n", "1-a\\n\n1 b\n2 c\n3+a\\n\n"},
		"a hostile line": {"a", "a\\n\n2-\x1b[2J\u202ex\ty\\", "1-a\n1+a\\\\n\n2+2-\\u{1b}[2J\\u{202e}x\\ty\\\\\n"},
		"HTML on one line": {html, strings.Replace(html, "https://sippet.example/pay", "https://evil.example/pay", 1),
			"2 <p>Your bill is due. \n3-Pay at <a href=\"https://sippet.example/pay\">our page</a>\n3+Pay at <a href=\"https://evil.example/pay\">our page</a>\n4 . \n"},
	} {
		got, cut := diffTexts(test.old, test.new)
		if d := cmp.Diff(test.want, format(got)); d != "" || cut {
			t.Errorf("%s: cut %v\n%s", name, cut, d)
		}
	}
}

// TestDifferenceIsBounded checks that a difference of too many lines is the whole texts.
func TestDifferenceIsBounded(t *testing.T) {
	many := strings.Repeat("x\n", maxDiffLines+1)
	got, cut := diffTexts("a\\", many)
	if want := []DiffLine{{"-", `a\\`, 1}, {"+", strings.ReplaceAll(many, "\n", `\n`), 1}}; cut || !slices.Equal(got, want) {
		t.Errorf("%d lines, cut %v", len(got), cut)
	}
	long := strings.Repeat("x", maxDiffBytes+1)
	if got, cut = diffTexts("a", long); !cut || len(got) != 2 || got[0].Text != "a" || !strings.HasSuffix(got[1].Text, "x… (400001 characters)") {
		t.Errorf("%d lines, cut %v", len(got), cut)
	}
}

// drawText draws a text with lines that repeat, some with tags, and some of them long.
func drawText(t *rapid.T, name string) string {
	line := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "<p>", "Hello.", "</p>", "see https://a.example/x", "\t", "\\n", "\r"}),
		rapid.StringMatching(`(<p>[a-c ]{0,9}\. ?</p>){0,20}`), rapid.String())
	end := rapid.SampledFrom([]string{"\n", "\n", "\r\n", ""})
	return strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return line.Draw(t, "line") + end.Draw(t, "end") }), 0, 30).Draw(t, name), "")
}

// TestDifferenceApplies checks that the lines of the new text can be read from those of the old text
// and the difference, that no line of the difference is two, and that none imitates another text.
func TestDifferenceApplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawText(t, "old")
		new := drawText(t, "new")
		if rapid.Bool().Draw(t, "similar") {
			at := rapid.IntRange(0, len(old)).Draw(t, "at")
			new = strings.ToValidUTF8(old[:at], "") + rapid.SampledFrom([]string{"", "x", "\n", "</p>"}).Draw(t, "inserted") + strings.ToValidUTF8(old[at:], "")
		}
		oldLines, newLines := splitTexts(old, new)
		if strings.Join(oldLines, "") != old || strings.Join(newLines, "") != new {
			t.Fatalf("%q and %q were split to %q and %q", old, new, oldLines, newLines)
		}
		lines, cut := diffTexts(old, new)
		if cut {
			t.Fatal("a short difference is cut")
		}
		shows := func(l DiffLine, line string) bool {
			return l.Text == escapeLine(trimEnd(line)) || l.Sign != " " && l.Text == escapeLine(line)
		}
		added, removed := map[int]bool{}, map[int]bool{}
		for _, l := range lines {
			from := newLines
			switch l.Sign {
			case "+":
				added[l.Number] = true
			case "-":
				from, removed[l.Number] = oldLines, true
			}
			if l.Number == 0 && l == (DiffLine{Sign: " ", Text: "…"}) {
				continue
			}
			if !shows(l, from[l.Number-1]) {
				t.Fatalf("line %d is %q, and shown as %q", l.Number, from[l.Number-1], l.Text)
			}
			if strings.ContainsFunc(l.Text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) }) {
				t.Fatalf("%q is not escaped", l.Text)
			}
		}
		var stay, got []string
		for i, line := range oldLines {
			if !removed[i+1] {
				stay = append(stay, line)
			}
		}
		for i, line := range newLines {
			if added[i+1] {
				got = append(got, line)
			} else if len(stay) > 0 {
				got, stay = append(got, stay[0]), stay[1:]
			}
		}
		if len(stay) > 0 || !slices.Equal(got, newLines) {
			t.Fatalf("the difference of %q and %q gives %q, and leaves %q", old, new, got, stay)
		}
		// What differs is seen to differ: no run of changed lines shows the same text twice.
		for i := 0; i < len(lines); {
			var minus, plus []string
			for ; i < len(lines) && lines[i].Sign == "-"; i++ {
				minus = append(minus, lines[i].Text)
			}
			for ; i < len(lines) && lines[i].Sign == "+"; i++ {
				plus = append(plus, lines[i].Text)
			}
			if minus != nil && slices.Equal(minus, plus) {
				t.Fatalf("%q and %q: the old lines are shown as the new ones: %q", old, new, plus)
			}
			if minus == nil && plus == nil {
				i++
			}
		}
	})
}
