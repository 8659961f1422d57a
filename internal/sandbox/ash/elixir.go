package ash

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// atoms are the atoms that exist in the backend's virtual machine. Elixir turns a client's string
// into an atom only if that atom exists, and some messages depend on it. This set has the names in
// the domain, and the single letters, which exist in every virtual machine.
type atoms map[string]bool

func (a atoms) add(names ...string) {
	for _, n := range names {
		a[snake(n)] = true
	}
}

func newAtoms() atoms {
	a := atoms{}
	a.add("id", "limit", "offset", "count", "after", "before", "type", "nil", "true", "false")
	for r := 'a'; r <= 'z'; r++ {
		a[string(r)] = true
	}
	return a
}

// inspect returns a decoded JSON value as Elixir's inspect/1 writes it. Keys in known are written
// as atoms, other keys as strings.
func inspect(v any, known atoms) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return formatFloat(f)
		}
		return v.String()
	case string:
		return inspectString(v)
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = inspect(x, known)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		return inspectMap(v, known)
	}
	return fmt.Sprint(v)
}

func inspectMap(m map[string]any, known atoms) string {
	var names, texts []string // atoms sort before strings
	for k := range m {
		if known[snake(k)] {
			names = append(names, k)
		} else {
			texts = append(texts, k)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(snake(a), snake(b)) })
	slices.Sort(texts)
	var parts []string
	for _, k := range names {
		if len(texts) == 0 {
			parts = append(parts, snake(k)+": "+inspect(m[k], known))
		} else {
			parts = append(parts, ":"+snake(k)+" => "+inspect(m[k], known))
		}
	}
	for _, k := range texts {
		parts = append(parts, inspectString(k)+" => "+inspect(m[k], known))
	}
	return "%{" + strings.Join(parts, ", ") + "}"
}

var escapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '\n': `\n`, '\t': `\t`, '\r': `\r`, '\a': `\a`, '\b': `\b`,
	'\v': `\v`, '\f': `\f`, 0x1b: `\e`, 0: `\0`, 0x7f: `\d`,
}

func inspectString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch e, ok := escapes[r]; {
		case ok:
			b.WriteString(e)
		case r == '#' && strings.HasPrefix(s[i:], "#{"):
			b.WriteString(`\#`)
		case r < 0x20 || r >= 0x80 && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\x{%X}`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// sortedKeys returns a map's keys in order, so that responses do not depend on Go's random order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// snake returns a name in snake_case, as the backend spells it: fullName and FullName become
// full_name, AND becomes and.
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

// camel returns a name in camelCase, as JSON spells it: full_name becomes fullName. Like
// AshTypescript's formatter it removes leading underscores.
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

// wireName returns the name as the domain spells it, from either spelling.
func wireName(s string) string { return camel(snake(s)) }
