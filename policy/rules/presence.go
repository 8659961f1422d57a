package rules

import (
	"maps"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// checkPresence reports an optional field of the input that is read without a has(): the rule would
// deny every call without the field.
func (c *compiler) checkPresence(e *expr, tree *ast.AST, s *celEnv) bool {
	valid := true
	var walk func(x ast.Expr, known fieldSet)
	walk = func(x ast.Expr, known fieldSet) {
		switch x.Kind() {
		case ast.SelectKind:
			sel := x.AsSelect()
			if name, ok := inputField(x); ok {
				if !sel.IsTestOnly() && s.input.optional[name] && !known[name] && valid {
					valid = false
					dot := tree.SourceInfo().GetStartLocation(x.ID())
					c.addWithSource(e.position(dot.Line(), dot.Column()+1, c.lines), e.snippet(dot.Line(), dot.Column()+1),
						"%s, for %s: input.%s is optional: write has(input.%s) && … before it", e.what, s.action.Name, name, name)
				}
				return
			}
			walk(sel.Operand(), known)
		case ast.CallKind:
			call := x.AsCall()
			args := call.Args()
			switch call.FunctionName() {
			case operators.LogicalAnd:
				walk(args[0], known)
				walk(args[1], known.union(presentIfTrue(args[0])))
			case operators.LogicalOr:
				walk(args[0], known)
				walk(args[1], known.union(presentIfFalse(args[0])))
			case operators.Conditional:
				walk(args[0], known)
				walk(args[1], known.union(presentIfTrue(args[0])))
				walk(args[2], known.union(presentIfFalse(args[0])))
			default:
				if call.IsMemberFunction() {
					walk(call.Target(), known)
				}
				for _, a := range args {
					walk(a, known)
				}
			}
		case ast.ListKind:
			for _, v := range x.AsList().Elements() {
				walk(v, known)
			}
		case ast.MapKind:
			for _, v := range x.AsMap().Entries() {
				walk(v.AsMapEntry().Key(), known)
				walk(v.AsMapEntry().Value(), known)
			}
		case ast.ComprehensionKind:
			k := x.AsComprehension()
			for _, v := range []ast.Expr{k.IterRange(), k.AccuInit(), k.LoopCondition(), k.LoopStep(), k.Result()} {
				walk(v, known)
			}
		}
	}
	walk(tree.Expr(), nil)
	return valid
}

// inputField returns the field of input.field or has(input.field).
func inputField(x ast.Expr) (string, bool) {
	if x.Kind() != ast.SelectKind {
		return "", false
	}
	s := x.AsSelect()
	return s.FieldName(), s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "input"
}

// fieldSet holds the input's fields that are present.
type fieldSet map[string]bool

func (a fieldSet) union(b fieldSet) fieldSet {
	if len(b) == 0 {
		return a
	}
	both := fieldSet{}
	maps.Copy(both, a)
	maps.Copy(both, b)
	return both
}

func (a fieldSet) intersection(b fieldSet) fieldSet {
	either := fieldSet{}
	for k := range a {
		if b[k] {
			either[k] = true
		}
	}
	return either
}

// presentIfTrue returns the fields that are present if the condition is true, presentIfFalse those
// if it is false.
func presentIfTrue(x ast.Expr) fieldSet {
	if name, ok := inputField(x); ok && x.AsSelect().IsTestOnly() {
		return fieldSet{name: true}
	}
	switch fn, args := callParts(x); fn {
	case operators.LogicalAnd:
		return presentIfTrue(args[0]).union(presentIfTrue(args[1]))
	case operators.LogicalOr:
		return presentIfTrue(args[0]).intersection(presentIfTrue(args[1]))
	case operators.LogicalNot:
		return presentIfFalse(args[0])
	}
	return nil
}

func presentIfFalse(x ast.Expr) fieldSet {
	switch fn, args := callParts(x); fn {
	case operators.LogicalAnd:
		return presentIfFalse(args[0]).intersection(presentIfFalse(args[1]))
	case operators.LogicalOr:
		return presentIfFalse(args[0]).union(presentIfFalse(args[1]))
	case operators.LogicalNot:
		return presentIfTrue(args[0])
	}
	return nil
}

func callParts(x ast.Expr) (string, []ast.Expr) {
	if x.Kind() != ast.CallKind {
		return "", nil
	}
	return x.AsCall().FunctionName(), x.AsCall().Args()
}
