package schemas

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/invopop/jsonschema"
)

// node is a compiled schema. It has exactly the keywords that the schemas here use, so the checker
// enforces what a tool shows. A test compares its verdicts with those of a general validator.
type node struct {
	types    []string // the JSON types allowed
	props    map[string]*node
	names    []string // of props, in order
	required []string
	closed   bool // additionalProperties: false
	items    *node
	minItems int
	unique   bool
	enum     []string
	format   string
	pattern  *regexp.Regexp
	min, max *int64
	minLen   int
	maxLen   int // 0: no bound
}

func compile(s *jsonschema.Schema) *node {
	n := &node{format: s.Format, required: s.Required, unique: s.UniqueItems}
	n.types = []string{s.Type}
	if t, ok := s.Extras["type"].([]any); ok {
		n.types = nil
		for _, v := range t {
			n.types = append(n.types, v.(string))
		}
	}
	for _, v := range s.Enum {
		if v, ok := v.(string); ok {
			n.enum = append(n.enum, v)
		}
	}
	if s.Pattern != "" {
		n.pattern = regexp.MustCompile(s.Pattern)
	}
	n.min, n.max = bound(s.Minimum), bound(s.Maximum)
	if s.MinLength != nil {
		n.minLen = int(*s.MinLength)
	}
	if s.MaxLength != nil {
		n.maxLen = int(*s.MaxLength)
	}
	if s.MinItems != nil {
		n.minItems = int(*s.MinItems)
	}
	if s.Items != nil {
		n.items = compile(s.Items)
	}
	if s.Properties != nil && s.Properties.Len() > 0 {
		n.props = map[string]*node{}
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			n.props[p.Key] = compile(p.Value)
			n.names = append(n.names, p.Key)
		}
	}
	// FalseSchema is recognised by its encoding, because its flag is not exported.
	if s.AdditionalProperties != nil {
		b, _ := json.Marshal(s.AdditionalProperties)
		n.closed = string(b) == "false"
	}
	return n
}

func bound(n json.Number) *int64 {
	if n == "" {
		return nil
	}
	v, err := n.Int64()
	if err != nil {
		panic("schemas: bound " + string(n) + " is not an integer")
	}
	return &v
}

// faults collects what is wrong, up to a number that a model can still read.
type faults struct {
	action *Action // finds the right level of a wrong name; nil: no other level is looked at
	list   []Detail
}

const maxFaults = 20

func (f *faults) add(path, format string, args ...any) {
	f.report(Detail{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) report(d Detail) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, d)
	}
}

// unknown reports a wrong name with the nearest valid one, or with all valid ones.
func (f *faults) unknown(path, what, name string, valid []string) {
	d := Detail{Path: path, Nearest: Nearest(name, valid)}
	switch {
	case d.Nearest != "":
		d.Message = fmt.Sprintf("unknown %s %s, did you mean %s?", what, quote(name), d.Nearest)
	case len(valid) == 0:
		d.Message = fmt.Sprintf("unknown %s %s: none is taken here", what, quote(name))
	default:
		d.Message = fmt.Sprintf("unknown %s %s, valid: %s", what, quote(name), strings.Join(valid, ", "))
	}
	f.report(d)
}

// unknownName reports a name that an object does not take, with the path that takes it.
func (f *faults) unknownName(path, name string, value any, valid []string) {
	at := join(path, clip(name, 60))
	if f.action == nil {
		f.unknown(at, "name", name, valid)
		return
	}
	if right, message := f.action.rightPath(path, name); right != "" {
		f.report(Detail{Path: at, Message: message, Nearest: right})
		return
	}
	// An action without input: each key that was given in it has a right path.
	before := len(f.list)
	if in, ok := value.(map[string]any); ok && at == "input" {
		for _, k := range SortedKeys(in) {
			if right, message := f.action.rightPath("input", k); right != "" {
				f.report(Detail{Path: join(at, clip(k, 60)), Message: message, Nearest: right})
			}
		}
	}
	if len(f.list) == before {
		f.unknown(at, "name", name, valid)
	}
}

func (n *node) check(path string, v any, f *faults) {
	t := typeOf(v)
	if !slices.Contains(n.types, t) && !(t == "integer" && slices.Contains(n.types, "number")) {
		f.add(path, "%s", n.wrongType(t))
		return
	}
	switch v := v.(type) {
	case string:
		n.checkText(path, v, f)
	case json.Number:
		n.checkNumber(path, v, f)
	case []any:
		n.checkArray(path, v, f)
	case map[string]any:
		n.checkObject(path, v, f)
	}
}

func (n *node) wrongType(got string) string {
	want := make([]string, 0, len(n.types))
	for _, t := range n.types {
		want = append(want, article(t))
	}
	m := "must be " + strings.Join(want, " or ") + ", not " + article(got)
	switch {
	case slices.Contains(n.types, "array") && got == "string":
		m += `, such as ["a","b"]`
	case slices.Contains(n.types, "object") && got == "string":
		m += ": give it as JSON, not as text"
	case got == "null":
		m += ": leave it out instead"
	}
	return m
}

func (n *node) checkText(path, v string, f *faults) {
	if n.enum != nil && !slices.Contains(n.enum, v) {
		f.unknown(path, "value", v, n.enum)
		return
	}
	if n.minLen > 0 && strings.TrimSpace(v) == "" {
		f.add(path, "must not be empty")
	}
	if n.maxLen > 0 && utf8.RuneCountInString(v) > n.maxLen {
		f.add(path, "must have at most %d characters, has %d", n.maxLen, utf8.RuneCountInString(v))
	}
	if m := badFormat(n.format, v); m != "" {
		f.add(path, "%s", m)
	}
	if n.pattern != nil && !n.pattern.MatchString(v) {
		f.add(path, "must be a number in E.164, such as +442079460123, not %s", quote(v))
	}
}

func badFormat(format, v string) string {
	switch format {
	case "uuid":
		if !isUUID(v) {
			return "must be a uuid, not " + quote(v)
		}
	case "date-time":
		if _, err := time.Parse(time.RFC3339Nano, v); err != nil || len(v) < 20 || v[10] != 'T' {
			return "must be a time with a zone, such as 2026-01-31T09:00:00Z, not " + quote(v)
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, v); err != nil {
			return "must be a date, such as 2026-01-31, not " + quote(v)
		}
	}
	return ""
}

func (n *node) checkNumber(path string, v json.Number, f *faults) {
	if n.min == nil && n.max == nil {
		return
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case err != nil:
		f.add(path, "must be an integer of 64 bits, not %s", clip(string(v), 40))
	case n.min != nil && i < *n.min:
		f.add(path, "must be at least %d, not %d", *n.min, i)
	case n.max != nil && i > *n.max:
		f.add(path, "must be at most %d, not %d", *n.max, i)
	}
}

func (n *node) checkArray(path string, v []any, f *faults) {
	if len(v) < n.minItems {
		f.add(path, "must not be empty: leave it out or name at least %d", n.minItems)
	}
	var seen map[string]bool
	if n.unique {
		seen = make(map[string]bool, len(v))
	}
	for i, e := range v {
		if n.items != nil {
			n.items.check(index(path, i), e, f)
		}
		if s, ok := e.(string); ok && n.unique {
			if seen[s] {
				f.add(index(path, i), "%s is named twice", quote(s))
			}
			seen[s] = true
		}
		if len(f.list) >= maxFaults {
			return
		}
	}
}

func (n *node) checkObject(path string, v map[string]any, f *faults) {
	for _, r := range n.required {
		if _, ok := v[r]; !ok {
			f.add(join(path, r), "is required")
		}
	}
	if n.props == nil && !n.closed {
		return
	}
	for _, k := range SortedKeys(v) {
		p, ok := n.props[k]
		switch {
		case ok:
			p.check(join(path, k), v[k], f)
		case n.closed:
			f.unknownName(path, k, v[k], n.names)
		}
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}

func article(t string) string {
	switch t {
	case "array", "object", "integer":
		return "an " + t
	case "null":
		return t
	}
	return "a " + t
}

func isUUID[T string | []byte](s T) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}
