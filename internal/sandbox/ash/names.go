package ash

import (
	"strings"
	"unicode"
)

// snake gives the backend's spelling of a wire name: fullName and FullName
// become full_name, AND becomes and. Names that are snake_case already stay.
func snake(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, r := range rs {
		if !unicode.IsUpper(r) {
			b.WriteRune(r)
			continue
		}
		startsWord := i > 0 && rs[i-1] != '_' &&
			(!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1]))
		if startsWord {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// camel gives the wire spelling of a backend name: full_name becomes fullName,
// and leading underscores go, as AshTypescript's formatter has it.
func camel(s string) string {
	var b strings.Builder
	up := false
	for _, r := range s {
		switch {
		case r == '_':
			up = b.Len() > 0
		case up:
			b.WriteRune(unicode.ToUpper(r))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// wireName is the one spelling under which definitions are found, whichever
// of the two the client used.
func wireName(s string) string { return camel(snake(s)) }
