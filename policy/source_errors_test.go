package policy_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestNoTypedNilErrors checks that no nil *schemas.Error becomes an error, which would not be nil.
// A *schemas.Error may become an error only if it is a literal, if a comparison with nil is around
// it (`if fault != nil`), or as an argument of type any.
func TestNoTypedNilErrors(t *testing.T) {
	for _, p := range load(t) {
		for _, at := range typedNils(p) {
			t.Errorf("%s: a *schemas.Error that may be nil becomes an error; compare it with nil first", p.Fset.Position(at))
		}
	}
}

// typedNils returns the positions at which a *schemas.Error that may be nil is converted to error.
func typedNils(p *packages.Package) (found []token.Pos) {
	for _, file := range p.Syntax {
		var path []ast.Node
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				path = path[:len(path)-1]
				return true
			}
			path = append(path, n)
			for _, c := range conversions(p.TypesInfo, n, path) {
				if isErrorInterface(c.to) && isFault(c.from) && !knownNotNil(c.value, path) {
					found = append(found, n.Pos())
				}
			}
			return true
		})
	}
	return found
}

type conversion struct {
	value    ast.Expr // nil for one of several results
	from, to types.Type
}

// conversions lists which values a node assigns, returns, sends or passes, and to which types.
func conversions(info *types.Info, n ast.Node, path []ast.Node) (out []conversion) {
	pair := func(values []ast.Expr, targets []types.Type) {
		if len(values) == 1 && len(targets) > 1 { // several results of one call
			if results, ok := info.TypeOf(values[0]).(*types.Tuple); ok {
				for i := range min(results.Len(), len(targets)) {
					out = append(out, conversion{nil, results.At(i).Type(), targets[i]})
				}
			}
			return
		}
		for i := range min(len(values), len(targets)) {
			out = append(out, conversion{values[i], info.TypeOf(values[i]), targets[i]})
		}
	}
	switch n := n.(type) {
	case *ast.AssignStmt:
		var targets []types.Type
		for _, l := range n.Lhs {
			targets = append(targets, info.TypeOf(l))
		}
		pair(n.Rhs, targets)
	case *ast.ValueSpec:
		var targets []types.Type
		for _, name := range n.Names {
			targets = append(targets, info.TypeOf(name))
		}
		pair(n.Values, targets)
	case *ast.ReturnStmt:
		pair(n.Results, resultsOf(info, path))
	case *ast.CallExpr:
		s, ok := info.TypeOf(n.Fun).(*types.Signature)
		if !ok {
			return nil
		}
		var targets []types.Type
		for i := range n.Args {
			switch last := s.Params().Len() - 1; {
			case s.Variadic() && i >= last:
				if list, ok := s.Params().At(last).Type().(*types.Slice); ok {
					targets = append(targets, list.Elem())
				}
			case i <= last:
				targets = append(targets, s.Params().At(i).Type())
			}
		}
		pair(n.Args, targets)
	case *ast.SendStmt:
		if c, ok := info.TypeOf(n.Chan).Underlying().(*types.Chan); ok {
			pair([]ast.Expr{n.Value}, []types.Type{c.Elem()})
		}
	case *ast.KeyValueExpr:
		pair([]ast.Expr{n.Value}, []types.Type{fieldType(info, n)})
	}
	return out
}

// resultsOf returns the result types of the function around a return.
func resultsOf(info *types.Info, path []ast.Node) (out []types.Type) {
	for i := len(path) - 1; i >= 0; i-- {
		var t types.Type
		switch f := path[i].(type) {
		case *ast.FuncLit:
			t = info.TypeOf(f)
		case *ast.FuncDecl:
			t = info.Defs[f.Name].Type()
		default:
			continue
		}
		for v := range t.(*types.Signature).Results().Variables() {
			out = append(out, v.Type())
		}
		return out
	}
	return nil
}

// fieldType returns the type of a struct's field in a literal.
func fieldType(info *types.Info, kv *ast.KeyValueExpr) types.Type {
	name, ok := kv.Key.(*ast.Ident)
	if !ok {
		return nil
	}
	if v, ok := info.Uses[name].(*types.Var); ok && v.IsField() {
		return v.Type()
	}
	return nil
}

func isErrorInterface(t types.Type) bool {
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}

func isFault(t types.Type) bool {
	p, ok := t.(*types.Pointer)
	if !ok {
		return false
	}
	n, ok := types.Unalias(p.Elem()).(*types.Named)
	return ok && n.Obj().Name() == "Error" && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == module+"/schemas"
}

// knownNotNil reports whether a value is a literal, or is compared with nil by an `if` or `case`
// around it.
func knownNotNil(value ast.Expr, path []ast.Node) bool {
	if value == nil {
		return false
	}
	if u, ok := value.(*ast.UnaryExpr); ok && u.Op == token.AND {
		return true
	}
	text := types.ExprString(value)
	compares := func(cond ast.Expr) (found bool) {
		ast.Inspect(cond, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			found = found || ok && b.Op == token.NEQ && types.ExprString(b.Y) == "nil" && types.ExprString(b.X) == text
			return !found
		})
		return found
	}
	for _, n := range path {
		switch n := n.(type) {
		case *ast.IfStmt:
			if compares(n.Cond) {
				return true
			}
		case *ast.CaseClause:
			for _, c := range n.List {
				if compares(c) {
					return true
				}
			}
		}
	}
	return false
}
