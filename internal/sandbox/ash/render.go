package ash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rendered is a part of an answer that is JSON already. Lists can be long, so
// rows become text as they are, without a map for each on the way.
type rendered []byte

// renderer writes rows as they are answered: objects with exactly the keys
// asked for, in alphabetical order.
type renderer struct {
	columns []*Attribute // what must be read of a row, in this order
	fields  []renderedField
}

type renderedField struct {
	name   string
	attr   *Attribute
	column int   // of the attribute, or of the relation's key
	needs  []int // columns of what a calculation needs, in its order
	target *Resource
	below  *renderer // of a relation
}

func (s *selection) renderer(e *Engine) *renderer {
	x := &renderer{}
	column := func(a *Attribute) int {
		i := slices.Index(x.columns, a)
		if i < 0 {
			i = len(x.columns)
			x.columns = append(x.columns, a)
		}
		return i
	}
	for _, a := range s.attrs {
		f := renderedField{name: a.Name, attr: a}
		if a.Compute == nil {
			f.column = column(a)
		}
		for _, n := range a.Needs {
			f.needs = append(f.needs, column(s.resource.byName[n]))
		}
		x.fields = append(x.fields, f)
	}
	for _, n := range s.nested {
		x.fields = append(x.fields, renderedField{name: n.rel.Name, column: column(s.resource.byName[n.rel.Key]),
			target: e.resources[n.rel.Resource], below: n.fields.renderer(e)})
	}
	slices.SortFunc(x.fields, func(a, b renderedField) int { return strings.Compare(a.name, b.name) })
	return x
}

// list renders rows as an array.
func (x *renderer) list(t *Tx, rows [][]any) (rendered, error) {
	b := rendered{'['}
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = x.append(b, t, row); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// record renders a whole record.
func (x *renderer) record(b rendered, t *Tx, rec Record) (rendered, error) {
	row := make([]any, len(x.columns))
	for i, a := range x.columns {
		row[i] = rec[a.Name]
	}
	return x.append(b, t, row)
}

func (x *renderer) append(b rendered, t *Tx, row []any) (rendered, error) {
	b = append(b, '{')
	for i, f := range x.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.name), ':')
		switch {
		case f.below != nil:
			id, _ := row[f.column].(string)
			var err error
			if b, err = x.related(b, t, f, id); err != nil {
				return nil, err
			}
		case f.attr.Compute != nil:
			rec := Record{}
			for _, c := range f.needs {
				rec[x.columns[c].Name] = row[c]
			}
			b = appendValue(b, f.attr.Compute(rec))
		default:
			b = appendValue(b, row[f.column])
		}
	}
	return append(b, '}'), nil
}

// related renders the record that a relation leads to; null where there is none.
func (x *renderer) related(b rendered, t *Tx, f renderedField, id string) (rendered, error) {
	if id != "" {
		rec, err := t.Get(f.target, id)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			return f.below.record(b, t, rec)
		}
	}
	return append(b, "null"...), nil
}

// appendValue appends a stored value.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendText(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return append(b, formatFloat(v)...)
	case bool:
		return strconv.AppendBool(b, v)
	case Document:
		return append(b, v...)
	}
	panic(fmt.Sprintf("ash: %T is no stored value", v))
}

// appendText appends a string: most are plain and need no escapes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			quoted, err := marshal(s)
			if err != nil {
				panic("ash: a string does not encode: " + err.Error())
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendAnswer appends a part of an answer, rendered or not.
func appendAnswer(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case rendered:
		return append(b, v...), nil
	case map[string]any:
		b = append(b, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendAnswer(append(appendText(b, key), ':'), v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	out, err := marshal(v)
	return append(b, out...), err
}

// marshal encodes as the backend does: no escaping of < > &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
