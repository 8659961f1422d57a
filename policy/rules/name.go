package rules

import (
	"strconv"
	"strings"
	"unicode"
)

// nearest gives the valid name closest to a wrong one, or "" where none is
// close: the same letters in another case or spelling, else at most a third of them different.
func nearest(name string, valid []string) string {
	if len(name) > 80 {
		return ""
	}
	best, least := "", max(2, len(name)/3)+1
	for _, v := range valid {
		if d := distance(squash(name), squash(v)); d < least {
			best, least = v, d
		}
	}
	return best
}

// squash drops case and separators: full_name and fullName are one name.
func squash(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours between a and b.
func distance(a, b string) int {
	var twoBefore, before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		twoBefore, before, row = before, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(before[j]+1, row[j-1]+1, before[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], twoBefore[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// quote shows a text from a file: short, and with nothing in it that a terminal would obey.
func quote(s string) string { return strconv.QuoteToASCII(clip(s, 60)) }

// clip cuts a text at n characters.
func clip(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i] + "…"
		}
	}
	return s
}
