package schemas

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name, in bytes, that is compared with valid ones.
const maxName = 80

// Nearest returns the valid name closest to a wrong one: one that differs in case and separators
// only, else one with at most a third of the letters changed. It returns "" if none is that close.
func Nearest(name string, valid []string) string {
	if len(name) > maxName {
		return ""
	}
	best, least := "", max(2, len(name)/3)+1
	plain := fold(name)
	for _, v := range valid {
		if fold(v) == plain {
			return v
		}
		if d := distance(plain, fold(v), least); d < least {
			best, least = v, d
		}
	}
	return best
}

// fold drops case and separators: full_name and fullName are one name.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between a and b,
// up to limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	var twoBefore []int
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

// quote shows an untrusted name or value: short, and without characters that a terminal obeys or
// a reader cannot see.
func quote(s string) string { return strconv.QuoteToASCII(clip(s, 60)) }

// clip cuts a text to n bytes, between two runes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// SortedKeys returns the keys of a decoded object in order.
func SortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
