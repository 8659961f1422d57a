package policy_test

import (
	"go/ast"
	"go/types"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/sippet-ai/sippet-mcp"

// source is the whole module, type-checked, without tests.
var source = sync.OnceValues(func() ([]*packages.Package, error) {
	return packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: ".."}, "./...")
})

func load(t *testing.T) []*packages.Package {
	t.Helper()
	if testing.Short() {
		t.Skip("type-checks the whole module")
	}
	all, err := source()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, e := range p.Errors {
			t.Errorf("%s does not type-check: %v", p.PkgPath, e)
		}
	}
	if len(all) < 6 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}

// runs reports whether a function runs payloads: it has an rpc.Request among its parameters and an
// rpc.Result among its results, in any type or interface.
func runs(f *types.Func) bool {
	s, ok := f.Type().(*types.Signature)
	return ok && has(s.Params(), "Request") && has(s.Results(), "Result")
}

func has(t *types.Tuple, name string) bool {
	for v := range t.Variables() {
		typ := v.Type()
		if p, ok := typ.(*types.Pointer); ok {
			typ = p.Elem()
		}
		if n, ok := types.Unalias(typ).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == module+"/rpc" && n.Obj().Name() == name {
			return true
		}
	}
	return false
}

// TestOnlyTheGateRuns checks that only methods of policy.Gate, in gate.go, call or refer to a
// function that runs payloads: (*rpc.Client).Run, Upstream.Run or a method of any other interface.
func TestOnlyTheGateRuns(t *testing.T) {
	found := 0
	for _, p := range load(t) {
		if p.PkgPath == module+"/rpc" {
			continue
		}
		for _, file := range p.Syntax {
			name := filepath.Base(p.Fset.Position(file.Pos()).Filename)
			for _, d := range file.Decls {
				inGate := p.PkgPath == module+"/policy" && name == "gate.go" && receiver(d) == "Gate"
				ast.Inspect(d, func(n ast.Node) bool {
					id, ok := n.(*ast.Ident)
					if !ok {
						return true
					}
					f, ok := p.TypesInfo.Uses[id].(*types.Func)
					if !ok || !runs(f) {
						return true
					}
					found++
					if !inGate {
						t.Errorf("%s: %s is used outside of policy.Gate", p.Fset.Position(id.Pos()), f.FullName())
					}
					return true
				})
			}
		}
	}
	if found != 1 {
		t.Errorf("%d uses of Run were found, there should be the gate's one", found)
	}
}

func receiver(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if s, ok := typ.(*ast.StarExpr); ok {
		typ = s.X
	}
	id, ok := typ.(*ast.Ident)
	if !ok {
		return ""
	}
	return id.Name
}
