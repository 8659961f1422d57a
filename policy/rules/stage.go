package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// celEnv is what expressions about one action can read, and of which type.
type celEnv struct {
	action    *schemas.Action // nil for what all actions have
	env       *cel.Env
	input     *shape // nil where the action takes none
	variables []string
}

var (
	commonEnv = sync.OnceValue(newCommonEnv)
	celEnvs   sync.Map // action name → func() *stage
)

// celEnvOf gives the action's stage, made when the first expression needs it.
func celEnvOf(a *schemas.Action) *celEnv {
	f, _ := celEnvs.LoadOrStore(a.Name, sync.OnceValue(func() *celEnv { return newCELEnv(a) }))
	return f.(func() *celEnv)()
}

// variablesEverywhere are the variables that all actions have.
var variablesEverywhere = []string{"action", "caller", "now", "lists"}

func newCommonEnv() *celEnv {
	env, err := cel.NewEnv(append([]cel.EnvOption{
		cel.CustomTypeAdapter(adapter{}),
		cel.CustomTypeProvider(&provider{base: types.NewEmptyRegistry(), shapes: map[string]*shape{}}),
		cel.Variable("action", cel.StringType),
		cel.Variable("caller", callerShape.typ),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("lists", cel.MapType(cel.StringType, cel.ListType(cel.StringType))),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(64),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(3)),
	}, clockFunctions...)...)
	if err != nil {
		panic("rules: " + err.Error()) // the environment is ours: every test would fail
	}
	return &celEnv{env: env, variables: variablesEverywhere}
}

func newCELEnv(a *schemas.Action) *celEnv {
	s := &celEnv{action: a, variables: slices.Clone(variablesEverywhere)}
	p := &provider{base: types.NewEmptyRegistry(), shapes: map[string]*shape{}}
	options := []cel.EnvOption{cel.CustomTypeProvider(p)}
	add := func(name string, t *cel.Type) {
		s.variables = append(s.variables, name)
		options = append(options, cel.Variable(name, t))
	}
	if s.input = inputShape(a); s.input != nil {
		p.shapes[s.input.typ.TypeName()] = s.input
		add("input", s.input.typ)
	}
	for name, t := range map[string]*cel.Type{"identity": cel.StringType, "filter": cel.MapType(cel.StringType, cel.DynType), "fields": cel.ListType(cel.StringType)} {
		if has, _ := a.Key(name); has {
			add(name, t)
		}
	}
	if recipients.HasRecipients(a) {
		p.shapes[recipientShape.typ.TypeName()] = recipientShape
		add("recipients", cel.ListType(recipientShape.typ))
	}
	env, err := commonEnv().env.Extend(options...)
	if err != nil {
		panic("rules: " + a.Name + ": " + err.Error())
	}
	s.env = env
	slices.Sort(s.variables)
	return s
}

// inputShape makes the type of the action's input; nil where it takes none.
func inputShape(a *schemas.Action) *shape {
	if has, _ := a.Key("input"); !has {
		return nil
	}
	// The space keeps the type from being named, and so made, in an expression.
	s := newShape("input of " + a.Name)
	for _, in := range a.Inputs() {
		typ := typeOf(in.Type, in.Items)
		if typ == nil {
			panic(fmt.Sprintf("rules: %s: input.%s is of no type that expressions know", a.Name, in.Name))
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

// readAs reads a decoded value that must be of the schema's type.
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
			ok = false // more than 64 bits
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
)

func newRecipientShape() *shape {
	s := newShape("one destination")
	for _, f := range []struct {
		name string
		get  func(*recipients.Recipient) string
	}{
		{"contact", func(d *recipients.Recipient) string { return d.Contact }},
		{"name", func(d *recipients.Recipient) string { return d.Name }},
		{"number", func(d *recipients.Recipient) string { return d.Number }},
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

// provider tells the checker of the shapes of one stage.
type provider struct {
	base   *types.Registry
	shapes map[string]*shape
}

func (p *provider) shape(name string) *shape {
	if name == callerShape.typ.TypeName() {
		return callerShape
	}
	return p.shapes[name]
}

func (p *provider) EnumValue(name string) ref.Val         { return p.base.EnumValue(name) }
func (p *provider) FindIdent(name string) (ref.Val, bool) { return p.base.FindIdent(name) }
func (p *provider) NewValue(string, map[string]ref.Val) ref.Val {
	return types.NewErr("records cannot be made in an expression")
}

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if s := p.shape(name); s != nil {
		return types.NewTypeTypeWithParam(s.typ), true
	}
	return nil, false
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if s := p.shape(name); s != nil {
		return s.names, true
	}
	return nil, false
}

func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if s := p.shape(name); s != nil {
		f, ok := s.fields[field]
		return f, ok
	}
	return nil, false
}
