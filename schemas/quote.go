package schemas

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote returns a text as Escape does, in quotes that it cannot leave: a backslash precedes each
// quotation mark in it, of any script. cut reports whether the text has more than max characters,
// those backslashes included.
//
// After the quotes, where the text cannot imitate it, it says what a reader may overlook in the part
// that is shown: ` (letters of Cyrillic and Latin)` if a word mixes scripts, and
// ` (full-width letters)` if there are wide forms of ASCII characters.
func Quote(s string, max int) (quoted string, cut bool) {
	s = escapeQuotes(s)
	quoted = `"` + Escape(s, max) + `"`
	if isPlain(s) {
		return quoted, len(s) > max
	}
	n := 0
	for i := range s {
		if n++; n > max {
			return quoted + Marks(s[:i]), true
		}
	}
	return quoted + Marks(s), false
}

func escapeQuotes(s string) string {
	var b strings.Builder
	last := rune(0)
	for i, r := range s {
		switch {
		case r == '’' && unicode.In(last, unicode.L, unicode.M) && startsWithLetter(s[i+len("’"):]): // an apostrophe
		case r == '\\', isQuote(r):
			b.WriteByte('\\')
		}
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(s[i:])
			b.WriteString(s[i : i+size]) // Escape reports an invalid byte
		} else {
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

func startsWithLetter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r)
}

// isQuote reports whether a rune is a quotation mark, or looks like ". The latter are those of
// Unicode Technical Standard 39 that are not letters of words, the low and the ornamental ones.
func isQuote(r rune) bool {
	switch r {
	case '"', '\u02BA', '\u02DD', '\u02EE', '\u02F6', '\u05F4', '\u1CD3', '\u201A', '\u201E', '\u2033', '\u2034', '\u2036', '\u2037', '\u2057',
		'\u275B', '\u275C', '\u275D', '\u275E', '\u275F', '\u2760', '\u276E', '\u276F', '\u2E42', '\u3003', '\u301D', '\u301E', '\u301F', '\uFF02',
		'\U0001F676', '\U0001F677', '\U0001F678':
		return true
	}
	return unicode.In(r, unicode.Pi, unicode.Pf)
}

// together are the scripts that a word may mix: the level "highly restrictive" of Unicode Technical
// Standard 39.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

const maxMarkedScripts = 3

// Marks returns what Quote says after a text, for one that is shown without quotes; empty if nothing is
// to be said.
func Marks(s string) string {
	var mixed, word, out []string // scripts
	wide, last := false, ""
	endWord := func() {
		if mixes(word) {
			mixed = append(mixed, word...)
		}
		word = word[:0]
	}
	for _, r := range s {
		wide = wide || r >= '\uFF01' && r <= '\uFF5E'
		if !inWord(r) {
			endWord()
			continue
		}
		if last == "" || !unicode.Is(unicode.Scripts[last], r) { // else it has the script of the rune before it
			last = scriptOf(r)
		}
		if last != "" && last != "Common" && last != "Inherited" && !slices.Contains(word, last) {
			word = append(word, last)
		}
	}
	endWord()
	slices.Sort(mixed)
	mixed = slices.Compact(mixed)
	switch n := len(mixed); {
	case n > maxMarkedScripts:
		out = append(out, fmt.Sprintf("letters of %d scripts", n))
	case n > 0:
		names := strings.Join(mixed[:n-1], ", ") + " and " + mixed[n-1]
		out = append(out, "letters of "+strings.ReplaceAll(names, "_", " "))
	}
	if wide {
		out = append(out, "full-width letters")
	}
	if out == nil {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}

// inWord reports whether a rune does not end a word. An address is one word, so that both sides of a
// dot are compared, and so is a name with an apostrophe. Invisible characters end none.
func inWord(r rune) bool {
	return strings.ContainsRune("'’._@", r) || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Cf)
}

func scriptOf(r rune) string {
	if r < utf8.RuneSelf {
		if unicode.IsLetter(r) {
			return "Latin"
		}
		return "Common"
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}

// mixes reports whether the scripts of a word do not belong together.
func mixes(word []string) bool {
	return len(word) > 1 && !slices.ContainsFunc(together, func(set []string) bool {
		return !slices.ContainsFunc(word, func(script string) bool { return !slices.Contains(set, script) })
	})
}
