package schemas

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ansi matches the escape sequences of terminals, in their 7-bit and 8-bit forms.
var ansi = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\x1b\\]|\u009d)[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?|\x1b[ -/]*[0-~]")

// Clean removes from a text what a reader cannot see or a terminal obeys: control characters except
// line feed and tab, ANSI sequences, bidi controls, zero-width and other invisible characters, and
// invalid UTF-8. n is the number of removed parts.
func Clean(s string) (clean string, n int) {
	if isPlain(s) {
		return s, 0
	}
	if strings.ContainsAny(s, "\x1b\u009b\u009d") {
		s = ansi.ReplaceAllStringFunc(s, func(string) string { n++; return "" })
	}
	var b strings.Builder
	b.Grow(len(s))
	last := rune(0)
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				n++
				continue
			}
		}
		if isHidden(r, last) {
			n++
			continue
		}
		b.WriteRune(r)
		last = r
	}
	return b.String(), n
}

// Escape returns a text for a card or a terminal: on one line, with what Clean would remove written
// as \u{…}, and of at most max characters.
func Escape(s string, max int) string {
	var b strings.Builder
	last, n := rune(0), 0
	for i, r := range s {
		if n++; n > max {
			fmt.Fprintf(&b, "… (%d characters)", utf8.RuneCountInString(s))
			break
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case isHidden(r, last):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

// isPlain reports whether a text has only printable ASCII, line feeds and tabs. Nearly all texts
// do.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// isHidden reports whether a rune is invisible, or changes how others are displayed. One variation
// selector 16 after a visible rune makes that an emoji, and is not hidden.
func isHidden(r, last rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r == 0xFE0F:
		return last < 0x80 || last == 0xFE0F
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector):
		return true
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
		return true
	}
	return false
}

// Cut shortens a text to max characters, and then appends how many it had.
func Cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > max {
			return fmt.Sprintf("%s… (cut, %d characters in all)", s[:i], utf8.RuneCountInString(s))
		}
	}
	return s
}
