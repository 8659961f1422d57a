package rules

import (
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// celEnv is the CEL environment of one action: its variables and their types.
type celEnv struct {
	action    *schemas.Action // nil for the common environment
	env       *cel.Env
	input     *shape // nil if the action has none
	variables []string
}

var (
	commonEnv = sync.OnceValue(newCommonEnv)
	celEnvs   sync.Map // action name → func() *celEnv
)

// celEnvOf returns the action's environment. It is created when the first expression needs it.
func celEnvOf(a *schemas.Action) *celEnv {
	f, _ := celEnvs.LoadOrStore(a.Name, sync.OnceValue(func() *celEnv { return newCELEnv(a) }))
	return f.(func() *celEnv)()
}

// variablesEverywhere are the variables of all actions.
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
	}, append(clockFunctions, nameFunctions...)...)...)
	if err != nil {
		panic("rules: " + err.Error()) // a mistake in this file: every test would fail
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
	if recipients.HasRelated(a) {
		p.shapes[matchShape.typ.TypeName()] = matchShape
		add("matches", cel.ListType(matchShape.typ))
	}
	if recipients.HasCurrent(a) {
		p.shapes[currentShape.typ.TypeName()] = currentShape
		add("current", currentShape.typ)
	}
	env, err := commonEnv().env.Extend(options...)
	if err != nil {
		panic("rules: " + a.Name + ": " + err.Error())
	}
	s.env = env
	slices.Sort(s.variables)
	return s
}

// provider provides the shapes of one environment to CEL.
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
	return types.NewErr("an expression cannot construct records")
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
