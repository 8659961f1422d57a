package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// renderer writes an answer twice at once: plain, for programs that read the
// structured content, and fenced, for the model that reads the text. They
// differ in strings only: a text that came from outside stands between the
// marker's tags in the fenced one. Both are cleaned of what nobody sees.
//
// Sippet's bytes are walked, not decoded: numbers stay as they came, and an
// answer costs one pass.
type renderer struct {
	plain, fenced []byte
	// marker is random for every answer, and taken out of every text, so that none can close its own fence.
	marker []byte
	// hidden are the fields of the records that the caller must not see.
	hidden map[string]bool
	// outside names where text from outside stands, such as results[].fullName; noted are the fields that are in it.
	outside []string
	noted   []*schemas.Field
	// stripped counts characters and sequences that were taken out.
	stripped int
	// limit is how long fenced may get while a record is written; 0: no limit.
	limit int
	over  bool // the limit was reached
	// deep is how many objects and arrays are open.
	deep int
	// maxText bounds a single text in characters; 0: no bound. cut counts the texts that were longer.
	maxText, cut int
}

// maxDepth bounds nesting: every level is walked once more, so an answer that
// somebody nested on purpose would cost its depth times its length.
const maxDepth = 12

// put writes our own bytes to both.
func (r *renderer) put(s string) {
	r.plain = append(r.plain, s...)
	r.fenced = append(r.fenced, s...)
}

func (r *renderer) putRaw(b []byte) {
	r.plain = append(r.plain, b...)
	r.fenced = append(r.fenced, b...)
}

// own writes `"name":value` of our own making, after a comma.
func (r *renderer) own(name string, value any) {
	r.put(`,"` + name + `":`)
	r.putRaw(encode(value))
}

// record writes one of Sippet's records, or whatever stands in its place.
// base is where it stands, for outside.
func (r *renderer) record(v []byte, res *schemas.Resource, base string) {
	if res == nil || v[0] != '{' {
		r.value(v, nil, base)
		return
	}
	r.put("{")
	first := true
	schemas.EachJSON(v, func(key, value []byte) {
		if r.full(0) {
			return
		}
		if r.hides(key) {
			return // whatever was asked for, and whatever came
		}
		f := res.FieldOf(key)
		if !first {
			r.put(",")
		}
		first = false
		if f == nil {
			r.key(key, nil, base)
			r.value(value, nil, base+".*")
			return
		}
		r.putRaw(key)
		r.put(":")
		r.value(value, f, base)
	})
	r.put("}")
}

// hides reports whether a record's member is hidden, in whichever spelling a server gives its name.
func (r *renderer) hides(key []byte) bool {
	if len(r.hidden) == 0 {
		return false
	}
	name := strings.ReplaceAll(schemas.DecodeString(key), "_", "")
	for h := range r.hidden {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// value writes a value of the field f, or of nothing that is known where f is nil.
func (r *renderer) value(v []byte, f *schemas.Field, base string) {
	switch v[0] {
	case '"':
		r.text(v, f, base)
	case '{', '[':
		open, shut := "{", "}"
		if v[0] == '[' {
			open, shut = "[", "]"
		}
		if r.deep == maxDepth {
			r.put(`"(nested too deep to show)"`)
			return
		}
		r.deep++
		r.put(open)
		first := true
		schemas.EachJSON(v, func(key, value []byte) {
			if r.full(0) || key != nil && r.hides(key) { // at any depth: an answer can have another shape than it should
				return
			}
			if !first {
				r.put(",")
			}
			first = false
			if key != nil {
				r.key(key, f, base)
			}
			r.value(value, f, base)
		})
		r.put(shut)
		r.deep--
	default:
		r.putRaw(v)
	}
}

// key writes the name of a member that Sippet does not define: inside a map
// that somebody filled it is a text from outside, elsewhere if it is no identifier.
func (r *renderer) key(key []byte, f *schemas.Field, base string) {
	if f == nil && identifier.looks(key[1:len(key)-1]) {
		r.putRaw(key)
	} else {
		r.note(f, base)
		r.outsideText(key)
	}
	r.put(":")
}

// full reports whether more bytes would go over the limit of the record that
// is being written. Then nothing more is: it will be taken back.
func (r *renderer) full(more int) bool {
	if r.limit > 0 && len(r.fenced)+more > r.limit {
		r.over = true
	}
	return r.over
}

func (r *renderer) text(v []byte, f *schemas.Field, base string) {
	inner := v[1 : len(v)-1]
	if len(inner) == 0 || shapeOf(f).looks(inner) {
		r.putRaw(v)
		return
	}
	r.note(f, base)
	r.outsideText(v)
}

// note remembers where text from outside stands, once for each place.
func (r *renderer) note(f *schemas.Field, base string) {
	if f != nil {
		if slices.Contains(r.noted, f) {
			return
		}
		r.noted = append(r.noted, f)
		base += "." + f.Name
	}
	if !slices.Contains(r.outside, base) {
		r.outside = append(r.outside, base)
	}
}

func (r *renderer) outsideText(v []byte) {
	inner := v[1 : len(v)-1]
	if !simple(inner) || r.maxText > 0 && len(inner) > r.maxText {
		s, n := schemas.Clean(schemas.DecodeString(v))
		r.stripped += n
		if r.maxText > 0 {
			if cut := schemas.Cut(s, r.maxText); cut != s {
				s = cut
				r.cut++
			}
		}
		q := encode(s)
		inner = q[1 : len(q)-1]
	}
	if r.full(len(inner)) {
		return
	}
	for bytes.Contains(inner, r.marker) {
		// By chance or by guessing: the text would close its own fence. Again, until none is made of what is left.
		inner = bytes.ReplaceAll(inner, r.marker, nil)
		r.stripped++
	}
	r.plain = append(r.plain, '"')
	r.plain = append(r.plain, inner...)
	r.plain = append(r.plain, '"')
	r.fenced = append(r.fenced, `"[`...)
	r.fenced = append(r.fenced, r.marker...)
	r.fenced = append(r.fenced, ']')
	r.fenced = append(r.fenced, inner...)
	r.fenced = append(r.fenced, `[/`...)
	r.fenced = append(r.fenced, r.marker...)
	r.fenced = append(r.fenced, `]"`...)
}

// simple reports whether the inside of a JSON string is what it says: printable ASCII without escapes.
func simple(inner []byte) bool {
	for _, c := range inner {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// encode writes a value of ours as compact JSON.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("tools: encoding %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// mark is where both outputs stand, to go back to.
type mark struct{ plain, fenced, outside, noted, stripped, cut int }

func (r *renderer) mark() mark {
	return mark{len(r.plain), len(r.fenced), len(r.outside), len(r.noted), r.stripped, r.cut}
}

func (r *renderer) back(m mark) {
	r.plain, r.fenced, r.outside = r.plain[:m.plain], r.fenced[:m.fenced], r.outside[:m.outside]
	r.noted = r.noted[:m.noted]
	r.stripped, r.cut, r.over = m.stripped, m.cut, false
}
