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

// adapter converts decoded JSON to CEL values, one level at a time. Any other value becomes an
// error value, which denies.
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
		return numberValue(v)
	case []any:
		return types.NewDynamicList(adapter{}, v)
	case map[string]any:
		return types.NewStringInterfaceMap(adapter{}, v)
	}
	return types.NewErr("a value of type %T cannot be converted", v)
}

// numberValue returns an int if the number is an integer of 64 bits, else a double.
func numberValue(n json.Number) ref.Val {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return types.Int(i)
	}
	d, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return types.NewErr("the number %s cannot be converted", clip(string(n), 40))
	}
	return types.Double(d)
}

// record is a value of a shape. It wraps the Go value and copies nothing.
type record struct {
	shape *shape
	from  any
}

func (r *record) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("a record cannot be converted")
}

func (r *record) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return r.shape.typ
	}
	return types.NewErr("a record cannot be converted to %s", t.TypeName())
}

func (r *record) Equal(ref.Val) ref.Val {
	return types.NewErr("records cannot be compared: compare their fields")
}
func (r *record) Type() ref.Type { return r.shape.typ }
func (r *record) Value() any     { return r.from }

// Get reads a field if the checker did not know the shape, as after dyn().
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

// IsSet is has() if the checker did not know the shape.
func (r *record) IsSet(field ref.Val) ref.Val {
	name, _ := field.(types.String)
	f := r.shape.fields[string(name)]
	return types.Bool(f != nil && f.IsSet(r.from))
}

// recipientList is the variable `recipients`. The members of a group are elements without fields,
// since only their count is known.
type recipientList struct {
	set   *recipients.Set
	size  int
	known []record // of set.List, created once for all rules
}

func newRecipientList(s *recipients.Set) *recipientList {
	return &recipientList{set: s, size: max(s.Count, len(s.List))}
}

var unknownRecipient = &record{recipientShape, &recipients.Recipient{}}

func (l *recipientList) at(i int) ref.Val {
	if i >= len(l.set.List) {
		return unknownRecipient
	}
	if l.known == nil {
		l.known = make([]record, len(l.set.List))
		for i := range l.known {
			l.known[i] = record{recipientShape, &l.set.List[i]}
		}
	}
	return &l.known[i]
}

func (l *recipientList) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("recipients cannot be converted")
}

func (l *recipientList) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.TypeType:
		return types.ListType
	case types.ListType:
		return l
	}
	return types.NewErr("recipients cannot be converted to %s", t.TypeName())
}

func (l *recipientList) Equal(ref.Val) ref.Val {
	return types.NewErr("recipients cannot be compared: use all or exists")
}
func (l *recipientList) Add(ref.Val) ref.Val {
	return types.NewErr("recipients cannot be extended")
}
func (l *recipientList) Contains(ref.Val) ref.Val {
	return types.NewErr("recipients cannot be compared: use exists")
}
func (l *recipientList) Type() ref.Type { return types.ListType }
func (l *recipientList) Value() any     { return l.set }
func (l *recipientList) Size() ref.Val  { return types.Int(l.size) }
func (l *recipientList) Get(index ref.Val) ref.Val {
	i, ok := index.(types.Int)
	if !ok || i < 0 || int64(i) >= int64(l.size) {
		return types.NewErr("recipients has no element %v", index)
	}
	return l.at(int(i))
}
func (l *recipientList) Iterator() traits.Iterator { return &recipientIterator{list: l} }

// recipientIterator iterates over recipients.
type recipientIterator struct {
	list *recipientList
	next int
}

func (it *recipientIterator) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("an iterator cannot be converted")
}
func (it *recipientIterator) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("an iterator cannot be converted to %s", t.TypeName())
}
func (it *recipientIterator) Equal(ref.Val) ref.Val {
	return types.NewErr("iterators cannot be compared")
}
func (it *recipientIterator) Type() ref.Type   { return types.IteratorType }
func (it *recipientIterator) Value() any       { return nil }
func (it *recipientIterator) HasNext() ref.Val { return types.Bool(it.next < it.list.size) }
func (it *recipientIterator) Next() ref.Val {
	if it.next >= it.list.size {
		return nil
	}
	it.next++
	return it.list.at(it.next - 1)
}
