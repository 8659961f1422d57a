package rules

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
)

// adapter turns decoded JSON into values of expressions, one level at a time.
// Whatever else it is given becomes an error value, and so a denial.
type adapter struct{}

func (adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case ref.Val:
		return v
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case bool:
		return types.Bool(v)
	case json.Number:
		return number(v)
	case []any:
		return types.NewDynamicList(adapter{}, v)
	case map[string]any:
		return types.NewStringInterfaceMap(adapter{}, v)
	}
	return types.NewErr("a value of type %T cannot be read", v)
}

// number is an int where it is written as one that has 64 bits, else a double.
func number(n json.Number) ref.Val {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return types.Int(i)
	}
	d, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return types.NewErr("the number %s cannot be read", clip(string(n), 40))
	}
	return types.Double(d)
}

// shape is a type with named fields: an action's input, a destination, a caller.
type shape struct {
	typ      *types.Type
	names    []string
	fields   map[string]*types.FieldType
	optional map[string]bool
}

func newShape(name string) *shape {
	return &shape{typ: types.NewObjectType(name), fields: map[string]*types.FieldType{}, optional: map[string]bool{}}
}

// field adds a field: whether it is there, and its value where it is.
func (s *shape) field(name string, typ *types.Type, has func(from any) bool, get func(from any) ref.Val) {
	s.names = append(s.names, name)
	s.fields[name] = &types.FieldType{
		Type:  typ,
		IsSet: has,
		GetFrom: func(from any) (any, error) {
			if !has(from) {
				return nil, fmt.Errorf("%s is not there: ask has(….%s) first", name, name)
			}
			v := get(from)
			if types.IsError(v) {
				return nil, v.(*types.Err)
			}
			return v, nil
		},
	}
}

// record is a value of a shape. It wraps what it was made from and copies nothing.
type record struct {
	shape *shape
	from  any
}

func (r *record) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("a record has no other form")
}

func (r *record) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return r.shape.typ
	}
	return types.NewErr("a record cannot become a %s", t.TypeName())
}

func (r *record) Equal(ref.Val) ref.Val {
	return types.NewErr("records cannot be compared, compare their fields")
}
func (r *record) Type() ref.Type { return r.shape.typ }
func (r *record) Value() any     { return r.from }

// Get reads a field where the checker did not know the shape, as after dyn().
func (r *record) Get(index ref.Val) ref.Val {
	name, _ := index.(types.String)
	f := r.shape.fields[string(name)]
	if f == nil {
		return types.NewErr("unknown field %s", quote(string(name)))
	}
	v, err := f.GetFrom(r.from)
	if err != nil {
		return types.WrapErr(err)
	}
	return v.(ref.Val)
}

// IsSet is has() where the checker did not know the shape.
func (r *record) IsSet(field ref.Val) ref.Val {
	name, _ := field.(types.String)
	f := r.shape.fields[string(name)]
	return types.Bool(f != nil && f.IsSet(r.from))
}

// recipientList is the list of whom a call rings. The members of a group, of
// whom nobody knows more than how many they are, are elements without any field.
type recipientList struct {
	set   *recipients.Set
	size  int
	known []record // of set.List, made once for all rules
}

func newRecipientList(s *recipients.Set) *recipientList {
	return &recipientList{set: s, size: max(s.Count, len(s.List))}
}

var nobody = &record{recipientShape, &recipients.Recipient{}}

func (d *recipientList) at(i int) ref.Val {
	if i >= len(d.set.List) {
		return nobody
	}
	if d.known == nil {
		d.known = make([]record, len(d.set.List))
		for i := range d.known {
			d.known[i] = record{recipientShape, &d.set.List[i]}
		}
	}
	return &d.known[i]
}

func (d *recipientList) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("recipients have no other form")
}

func (d *recipientList) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.TypeType:
		return types.ListType
	case types.ListType:
		return d
	}
	return types.NewErr("recipients cannot become a %s", t.TypeName())
}

func (d *recipientList) Equal(ref.Val) ref.Val {
	return types.NewErr("recipients cannot be compared, use all or exists")
}
func (d *recipientList) Add(ref.Val) ref.Val {
	return types.NewErr("nothing can be added to recipients")
}
func (d *recipientList) Contains(ref.Val) ref.Val {
	return types.NewErr("recipients cannot be compared, use exists")
}
func (d *recipientList) Type() ref.Type { return types.ListType }
func (d *recipientList) Value() any     { return d.set }
func (d *recipientList) Size() ref.Val  { return types.Int(d.size) }
func (d *recipientList) Get(index ref.Val) ref.Val {
	i, ok := index.(types.Int)
	if !ok || i < 0 || int64(i) >= int64(d.size) {
		return types.NewErr("recipients has no element %v", index)
	}
	return d.at(int(i))
}
func (d *recipientList) Iterator() traits.Iterator { return &stepper{of: d} }

// stepper goes through recipients.
type stepper struct {
	of   *recipientList
	next int
}

func (s *stepper) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("an iterator has no other form")
}
func (s *stepper) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("an iterator cannot become a %s", t.TypeName())
}
func (s *stepper) Equal(ref.Val) ref.Val { return types.NewErr("iterators cannot be compared") }
func (s *stepper) Type() ref.Type        { return types.IteratorType }
func (s *stepper) Value() any            { return nil }
func (s *stepper) HasNext() ref.Val      { return types.Bool(s.next < s.of.size) }
func (s *stepper) Next() ref.Val {
	if s.next >= s.of.size {
		return nil
	}
	s.next++
	return s.of.at(s.next - 1)
}
