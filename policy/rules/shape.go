package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// shape is a CEL type with named fields: an action's input, a recipient or the caller.
type shape struct {
	typ      *types.Type
	names    []string
	fields   map[string]*types.FieldType
	optional map[string]bool
}

func newShape(name string) *shape {
	return &shape{typ: types.NewObjectType(name), fields: map[string]*types.FieldType{}, optional: map[string]bool{}}
}

// field adds a field. has reports whether a value has it, and get returns it.
func (s *shape) field(name string, typ *types.Type, has func(from any) bool, get func(from any) ref.Val) {
	s.names = append(s.names, name)
	s.fields[name] = &types.FieldType{
		Type:  typ,
		IsSet: has,
		GetFrom: func(from any) (any, error) {
			if !has(from) {
				return nil, fmt.Errorf("%s is missing: test has(….%s) first", name, name)
			}
			v := get(from)
			if types.IsError(v) {
				return nil, v.(*types.Err)
			}
			return v, nil
		},
	}
}

// inputShape returns the shape of the action's input; nil if it has none.
func inputShape(a *schemas.Action) *shape {
	if has, _ := a.Key("input"); !has {
		return nil
	}
	// No expression can construct the type, since its name contains a space.
	s := newShape("input of " + a.Name)
	for _, in := range a.Inputs() {
		typ := typeOf(in.Type, in.Items)
		if typ == nil {
			panic(fmt.Sprintf("rules: %s: input.%s has a type without a CEL type", a.Name, in.Name))
		}
		read := readAs(in.Type, in.Nullable)
		if in.Nullable && in.Type != "object" && in.Type != "array" {
			typ = types.NewNullableType(typ)
		}
		s.optional[in.Name] = !in.Required
		s.field(in.Name, typ, func(from any) bool {
			m, _ := from.(map[string]any)
			_, ok := m[in.Name]
			return ok
		}, func(from any) ref.Val { return read(from.(map[string]any)[in.Name]) })
	}
	slices.Sort(s.names)
	return s
}

func typeOf(word, items string) *types.Type {
	switch word {
	case "string":
		return types.StringType
	case "integer":
		return types.IntType
	case "number":
		return types.DoubleType
	case "boolean":
		return types.BoolType
	case "array":
		if t := typeOf(items, ""); t != nil {
			return types.NewListType(t)
		}
	case "object":
		return types.NewMapType(types.StringType, types.DynType)
	}
	return nil
}

// readAs returns a function that converts a decoded value of the schema's type.
func readAs(word string, null bool) func(any) ref.Val {
	return func(v any) ref.Val {
		ok := false
		switch v := v.(type) {
		case nil:
			ok = null
		case string:
			ok = word == "string"
		case bool:
			ok = word == "boolean"
		case json.Number:
			ok = word == "number" || word == "integer" && !strings.ContainsAny(string(v), ".eE")
		case []any:
			ok = word == "array"
		case map[string]any:
			ok = word == "object"
		}
		val := adapter{}.NativeToValue(v)
		if _, isDouble := val.(types.Double); isDouble && word == "integer" {
			ok = false // it needs more than 64 bits
		}
		if i, isInt := val.(types.Int); isInt && word == "number" {
			val = types.Double(i)
		}
		if !ok {
			return types.NewErr("the value is not of type %s", word)
		}
		return val
	}
}

var (
	recipientShape = newRecipientShape()
	callerShape    = newCallerShape()
	matchShape     = newMatchShape()
	currentShape   = newCurrentShape()
)

func newRecipientShape() *shape {
	s := newShape("one recipient")
	for _, f := range []struct {
		name string
		get  func(*recipients.Recipient) string
	}{
		{"contact", func(d *recipients.Recipient) string {
			if d.Recent {
				return ""
			}
			return d.Contact
		}},
		{"name", func(d *recipients.Recipient) string { return d.Name }},
		{"number", func(d *recipients.Recipient) string { return d.Number }},
		{"address", func(d *recipients.Recipient) string { return d.Address }},
		{"country", func(d *recipients.Recipient) string { return d.Country }},
		{"kind", func(d *recipients.Recipient) string { return string(d.Kind) }},
	} {
		s.field(f.name, types.StringType, func(from any) bool {
			d, ok := from.(*recipients.Recipient)
			return ok && f.get(d) != ""
		}, func(from any) ref.Val { return types.String(f.get(from.(*recipients.Recipient))) })
	}
	return s
}

func newMatchShape() *shape {
	s := newShape("one match")
	for _, f := range []struct {
		name string
		get  func(*recipients.Match) string
	}{
		{"contact", func(m *recipients.Match) string { return m.Contact }},
		{"name", func(m *recipients.Match) string { return m.Name }},
		{"by", func(m *recipients.Match) string { return string(m.By) }},
	} {
		s.field(f.name, types.StringType, func(from any) bool { _, ok := from.(*recipients.Match); return ok },
			func(from any) ref.Val { return types.String(f.get(from.(*recipients.Match))) })
	}
	return s
}

func newCurrentShape() *shape {
	s := newShape("the current contact")
	for _, f := range []struct {
		name string
		typ  *types.Type
		get  func(*recipients.Current) ref.Val
	}{
		{"fullName", types.StringType, func(c *recipients.Current) ref.Val { return types.String(c.Name) }},
		{"earlierNames", types.NewListType(types.StringType), func(c *recipients.Current) ref.Val { return types.NewStringList(adapter{}, c.EarlierNames) }},
		{"erased", types.BoolType, func(c *recipients.Current) ref.Val { return types.Bool(c.Erased) }},
		{"keys", types.NewListType(types.StringType), func(c *recipients.Current) ref.Val {
			return types.NewStringList(adapter{}, slices.Concat(c.Keys, c.Lost))
		}},
		{"dropped", types.NewListType(types.StringType), func(c *recipients.Current) ref.Val {
			return types.NewStringList(adapter{}, slices.Concat(c.Dropped, c.Lost))
		}},
	} {
		s.field(f.name, f.typ, func(from any) bool { _, ok := from.(*recipients.Current); return ok },
			func(from any) ref.Val { return f.get(from.(*recipients.Current)) })
	}
	return s
}

func newCallerShape() *shape {
	s := newShape("the caller")
	for _, f := range []struct {
		name string
		typ  *types.Type
		get  func(*Caller) ref.Val
	}{
		{"id", types.StringType, func(c *Caller) ref.Val { return types.String(c.ID) }},
		{"person", types.StringType, func(c *Caller) ref.Val { return types.String(c.Person) }},
		{"roles", types.NewListType(types.StringType), func(c *Caller) ref.Val { return types.NewStringList(adapter{}, c.Roles) }},
	} {
		s.field(f.name, f.typ, func(from any) bool { _, ok := from.(*Caller); return ok },
			func(from any) ref.Val { return f.get(from.(*Caller)) })
	}
	return s
}
