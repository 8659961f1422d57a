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

// Nearest gives the valid name closest to a wrong one, or "" where none is
// close: the same letters in another case or spelling, else at most a third of them different.
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

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b; it stops counting at limit.
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

// quote shows a name or value that came from outside: short, and with nothing
// in it that a terminal or a reader would take for something else.
func quote(s string) string { return strconv.QuoteToASCII(clip(s, 60)) }

// clip cuts a text at n bytes, at a rune's border.
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

// SortedKeys gives the keys of a decoded object in order.
func SortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
