package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// renderer writes an answer twice at once: plain, for programs that read the structured content,
// and fenced, for the model that reads the text. They differ in strings only: untrusted text stands
// between the marker's tags in the fenced one. Both lack invisible characters.
//
// Sippet's bytes are copied, not decoded: numbers keep their spelling, and an answer costs one
// pass.
type renderer struct {
	plain, fenced []byte
	// marker is random for each answer, and removed from every text, so that no text can close its
	// own fence.
	marker []byte
	// maxRows and maxBytes bound a list, maxBytes also a single record.
	maxRows, maxBytes int
	// simulated marks the answer as the sandbox's.
	simulated bool
	// hidden are the fields of records that the caller must not see.
	hidden map[string]bool
	// untrusted are the paths of untrusted texts, such as results[].fullName. noted are the fields
	// that are among them.
	untrusted []string
	noted     []*schemas.Field
	// stripped counts the characters and sequences that were removed.
	stripped int
	// limit is how long fenced may become while a record is written; 0: no limit. over is true once
	// it is reached.
	limit int
	over  bool
	// deep is how many objects and arrays are open.
	deep int
	// maxText bounds a single text in characters; 0: no bound. cut counts the texts that were
	// longer.
	maxText, cut int
}

// maxDepth bounds nesting: each level is scanned once more, so a deep answer costs its depth times
// its length.
const maxDepth = 12

// put writes bytes of our own to both outputs.
func (w *renderer) put(s string) {
	w.plain = append(w.plain, s...)
	w.fenced = append(w.fenced, s...)
}

func (w *renderer) putRaw(b []byte) {
	w.plain = append(w.plain, b...)
	w.fenced = append(w.fenced, b...)
}

// member writes a comma and `"name":value` of our own.
func (w *renderer) member(name string, value any) {
	w.put(`,"` + name + `":`)
	w.putRaw(encode(value))
}

// record writes one of Sippet's records. base is its path in the answer.
func (w *renderer) record(v []byte, res *schemas.Resource, base string) {
	if res == nil || v[0] != '{' {
		w.value(v, nil, base)
		return
	}
	w.put("{")
	first := true
	schemas.EachJSON(v, func(key, value []byte) {
		// A hidden field is left out even if Sippet sends it unasked.
		if w.full(0) || w.hides(key) {
			return
		}
		f := res.FieldOf(key)
		if !first {
			w.put(",")
		}
		first = false
		if f == nil {
			w.key(key, nil, base)
			w.value(value, nil, base+".*")
			return
		}
		w.putRaw(key)
		w.put(":")
		w.value(value, f, base)
	})
	w.put("}")
}

// hides reports whether a record's member is hidden, in any spelling of its name.
func (w *renderer) hides(key []byte) bool {
	if len(w.hidden) == 0 {
		return false
	}
	name := strings.ReplaceAll(schemas.DecodeString(key), "_", "")
	for h := range w.hidden {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// value writes a value of the field f; nil if the field is unknown.
func (w *renderer) value(v []byte, f *schemas.Field, base string) {
	switch v[0] {
	case '"':
		w.text(v, f, base)
	case '{', '[':
		open, shut := "{", "}"
		if v[0] == '[' {
			open, shut = "[", "]"
		}
		if w.deep == maxDepth {
			w.put(deepNote)
			return
		}
		w.deep++
		w.put(open)
		first := true
		schemas.EachJSON(v, func(key, value []byte) {
			// Hidden fields are left out at any depth, because an answer can have an unexpected
			// shape.
			if w.full(0) || key != nil && w.hides(key) {
				return
			}
			if !first {
				w.put(",")
			}
			first = false
			if key != nil {
				w.key(key, f, base)
			}
			w.value(value, f, base)
		})
		w.put(shut)
		w.deep--
	default:
		w.putRaw(v)
	}
}

const deepNote = `"(nested too deep to show)"`

// key writes the name of a member that Sippet does not define. In a field that is a map it is
// untrusted text, elsewhere only if it is no identifier.
func (w *renderer) key(key []byte, f *schemas.Field, base string) {
	if f == nil && identifier.matches(key[1:len(key)-1]) {
		w.putRaw(key)
	} else {
		w.note(f, base)
		w.fence(key)
	}
	w.put(":")
}

// full reports whether more bytes would exceed the record's limit. Then nothing more of the record
// is written, and its caller removes it.
func (w *renderer) full(more int) bool {
	if w.limit > 0 && len(w.fenced)+more > w.limit {
		w.over = true
	}
	return w.over
}

func (w *renderer) text(v []byte, f *schemas.Field, base string) {
	inner := v[1 : len(v)-1]
	if len(inner) == 0 || shapeOf(f).matches(inner) {
		w.putRaw(v)
		return
	}
	w.note(f, base)
	w.fence(v)
}

// note adds the path of an untrusted text, once.
func (w *renderer) note(f *schemas.Field, base string) {
	if f != nil {
		if slices.Contains(w.noted, f) {
			return
		}
		w.noted = append(w.noted, f)
		base += "." + f.Name
	}
	if !slices.Contains(w.untrusted, base) {
		w.untrusted = append(w.untrusted, base)
	}
}

// fence writes an untrusted text: cleaned, and between tags in the fenced output.
func (w *renderer) fence(v []byte) {
	inner := v[1 : len(v)-1]
	if !simple(inner) || w.maxText > 0 && len(inner) > w.maxText {
		s, n := schemas.Clean(schemas.DecodeString(v))
		w.stripped += n
		if w.maxText > 0 {
			if cut := schemas.Cut(s, w.maxText); cut != s {
				s = cut
				w.cut++
			}
		}
		q := encode(s)
		inner = q[1 : len(q)-1]
	}
	if w.full(len(inner)) {
		return
	}
	// The text has the marker by chance only. What remains may make it once more.
	for bytes.Contains(inner, w.marker) {
		inner = bytes.ReplaceAll(inner, w.marker, nil)
		w.stripped++
	}
	w.plain = append(w.plain, '"')
	w.plain = append(w.plain, inner...)
	w.plain = append(w.plain, '"')
	w.fenced = append(w.fenced, `"[`...)
	w.fenced = append(w.fenced, w.marker...)
	w.fenced = append(w.fenced, ']')
	w.fenced = append(w.fenced, inner...)
	w.fenced = append(w.fenced, `[/`...)
	w.fenced = append(w.fenced, w.marker...)
	w.fenced = append(w.fenced, `]"`...)
}

// simple reports whether the inside of a JSON string is printable ASCII without escapes.
func simple(inner []byte) bool {
	for _, c := range inner {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// longest returns an upper bound of the length of a rendered value. A byte that is no UTF-8 becomes
// three, a string gets two tags, and a value that is nested too deep becomes a note.
func longest(v []byte) int {
	const tags = len("[xxxxxx][/xxxxxx]")
	return 3*len(v) + tags*bytes.Count(v, []byte{'"'})/2 + len(deepNote)*(bytes.Count(v, []byte{'{'})+bytes.Count(v, []byte{'['}))
}

// encode returns a value of our own as compact JSON.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("tools: encoding %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// mark is a state of the outputs to which reset returns.
type mark struct{ plain, fenced, untrusted, noted, stripped, cut int }

func (w *renderer) mark() mark {
	return mark{len(w.plain), len(w.fenced), len(w.untrusted), len(w.noted), w.stripped, w.cut}
}

func (w *renderer) reset(m mark) {
	w.plain, w.fenced, w.untrusted = w.plain[:m.plain], w.fenced[:m.fenced], w.untrusted[:m.untrusted]
	w.noted = w.noted[:m.noted]
	w.stripped, w.cut, w.over = m.stripped, m.cut, false
}
