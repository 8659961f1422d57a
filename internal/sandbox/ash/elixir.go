package ash

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// atoms are the names that exist as atoms in the emulated VM. Elixir turns a
// client's string into an atom only where that atom exists already, and a few
// messages differ by it; so the set is the names of the definitions, and the
// single letters, which every VM has.
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

// inspect writes a decoded JSON value as Elixir's inspect/1 does. Keys that
// are in known are written as atoms; with a nil set every key is a string.
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

// sortedKeys gives a map's keys in order, since Go's own order is random and
// answers must not be.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
