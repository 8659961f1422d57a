package rules

import "strconv"

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
