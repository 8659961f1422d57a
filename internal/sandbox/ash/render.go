package ash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rendered is JSON that appendResponse copies. Long lists are rendered row by row, without a map
// for each row.
type rendered []byte

// renderer writes rows as JSON objects with exactly the selected keys, in alphabetical order.
type renderer struct {
	columns []*Attribute // the columns of a row, in this order
	fields  []renderedField
}

type renderedField struct {
	name   string
	attr   *Attribute
	column int   // index of the attribute, or of the relation's key
	needs  []int // indexes of the attributes that a calculation needs
	target *Resource
	nested *renderer // of a relation; else nil
}

func (s *selection) renderer(e *Engine) *renderer {
	r := &renderer{}
	column := func(a *Attribute) int {
		i := slices.Index(r.columns, a)
		if i < 0 {
			i = len(r.columns)
			r.columns = append(r.columns, a)
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
		r.fields = append(r.fields, f)
	}
	for _, n := range s.nested {
		r.fields = append(r.fields, renderedField{name: n.rel.Name, column: column(s.resource.byName[n.rel.Key]),
			target: e.resources[n.rel.Resource], nested: n.fields.renderer(e)})
	}
	slices.SortFunc(r.fields, func(a, b renderedField) int { return strings.Compare(a.name, b.name) })
	return r
}

// list renders rows as a JSON array.
func (r *renderer) list(t *Tx, rows [][]any) (rendered, error) {
	b := rendered{'['}
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = r.append(b, t, row); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// record renders a record.
func (r *renderer) record(b rendered, t *Tx, rec Record) (rendered, error) {
	row := make([]any, len(r.columns))
	for i, a := range r.columns {
		row[i] = rec[a.Name]
	}
	return r.append(b, t, row)
}

func (r *renderer) append(b rendered, t *Tx, row []any) (rendered, error) {
	b = append(b, '{')
	for i, f := range r.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.name), ':')
		switch {
		case f.nested != nil:
			id, _ := row[f.column].(string)
			var err error
			if b, err = r.related(b, t, f, id); err != nil {
				return nil, err
			}
		case f.attr.Compute != nil:
			rec := Record{}
			for _, c := range f.needs {
				rec[r.columns[c].Name] = row[c]
			}
			b = appendValue(b, f.attr.Compute(rec))
		default:
			b = appendValue(b, row[f.column])
		}
	}
	return append(b, '}'), nil
}

// related renders the record with this id in the resource of a relation, or null.
func (r *renderer) related(b rendered, t *Tx, f renderedField, id string) (rendered, error) {
	if id != "" {
		rec, err := t.Get(f.target, id)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			return f.nested.record(b, t, rec)
		}
	}
	return append(b, "null"...), nil
}

// appendValue appends a stored value as JSON.
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

// appendText appends a string as JSON. Most need no escapes.
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

// appendResponse appends a value of a response as JSON.
func appendResponse(b []byte, v any) ([]byte, error) {
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
			if b, err = appendResponse(append(appendText(b, key), ':'), v[key]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	out, err := marshal(v)
	return append(b, out...), err
}

// marshal encodes JSON as the backend does: it does not escape <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
