package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// source looks at a Go file.
func (s *scan) source(raw []byte) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, s.file, raw, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	line := func(p token.Pos) int { return set.Position(p).Line }
	for _, group := range file.Comments {
		for _, c := range group.List {
			s.prose(line(c.Pos()), c.Text)
			if p := set.Position(c.Pos()); !strings.HasPrefix(c.Text, "//go:") {
				s.width(p.Line, strings.Repeat("\t", indent(raw, p))+c.Text)
			}
		}
	}
	tags := map[*ast.BasicLit]bool{}
	declared(file, func(id *ast.Ident) { s.name(line(id.Pos()), "identifier", id.Name) })
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			if n.Tag != nil {
				tags[n.Tag] = true
				s.tag(line(n.Tag.Pos()), n.Tag.Value)
			}
		case *ast.BasicLit:
			if text, ok := constant(n); ok && !tags[n] {
				s.literal(line(n.Pos()), text)
			}
		case *ast.CallExpr:
			s.flag(line(n.Pos()), n)
		case *ast.CompositeLit:
			s.command(n, line)
		}
		return true
	})
	return nil
}

// indent returns how many tabs stand before a comment that has its line to itself.
func indent(raw []byte, p token.Position) int {
	before := string(raw[p.Offset-p.Column+1 : p.Offset])
	if strings.Trim(before, "\t") != "" {
		return 0 // beside code, which gofmt lays out
	}
	return len(before)
}

// declared visits the identifiers that a file declares, wherever they are.
func declared(file *ast.File, visit func(*ast.Ident)) {
	all := func(list ...*ast.Ident) {
		for _, id := range list {
			if id != nil {
				visit(id)
			}
		}
	}
	some := func(list ...ast.Expr) {
		for _, e := range list {
			if id, ok := e.(*ast.Ident); ok {
				visit(id)
			}
		}
	}
	visit(file.Name)
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			all(n.Name)
		case *ast.TypeSpec:
			all(n.Name)
		case *ast.ValueSpec:
			all(n.Names...)
		case *ast.FuncDecl:
			all(n.Name)
		case *ast.Field:
			all(n.Names...)
		case *ast.LabeledStmt:
			all(n.Label)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				some(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				some(n.Key, n.Value)
			}
		}
		return true
	})
}

var (
	oneWord = regexp.MustCompile(`^\w+$`)
	jsonKey = regexp.MustCompile(`"(\w+)"\s*:`)
)

// literal looks at a string: as a name if it is one word, such as a state or a key, else as prose,
// JSON or SQL.
func (s *scan) literal(line int, text string) {
	if oneWord.MatchString(text) {
		s.name(line, "word", text)
	}
	s.prose(line, text)
	for _, m := range jsonKey.FindAllStringSubmatchIndex(text, -1) {
		s.name(line+strings.Count(text[:m[0]], "\n"), "key", text[m[2]:m[3]])
	}
	s.created(line, text)
}

// tag looks at the keys of a struct tag, such as json:"recipients,omitempty".
func (s *scan) tag(line int, literal string) {
	text, err := strconv.Unquote(literal)
	if err != nil {
		return
	}
	for _, kind := range []string{"json", "yaml", "cel", "db", "form"} {
		key, _, _ := strings.Cut(reflect.StructTag(text).Get(kind), ",")
		s.name(line, kind+" key", key)
	}
}

// flag looks at the name in a call that defines a flag: the one after the pointer, or the first.
func (s *scan) flag(line int, call *ast.CallExpr) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) < 3 {
		return
	}
	kind := strings.TrimSuffix(f.Sel.Name, "P")
	kind, pointer := strings.CutSuffix(kind, "Var")
	if pointer {
		call = &ast.CallExpr{Args: call.Args[1:]}
	}
	switch kind {
	case "", "Bool", "String", "Int", "Int64", "Uint", "Uint64", "Float64", "Duration", "StringSlice", "StringArray", "Func":
		if name, ok := constant(call.Args[0]); ok {
			s.name(line, "flag", name)
		}
	}
}

// command looks at the words of a cobra.Command: its use and its aliases.
func (s *scan) command(c *ast.CompositeLit, line func(token.Pos) int) {
	t, ok := c.Type.(*ast.SelectorExpr)
	if !ok || t.Sel.Name != "Command" {
		return
	}
	for _, e := range c.Elts {
		field, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		values := []ast.Expr{field.Value}
		if list, ok := field.Value.(*ast.CompositeLit); ok {
			values = list.Elts
		}
		switch fmt.Sprint(field.Key) {
		case "Use", "Aliases", "SuggestFor", "ValidArgs":
			for _, v := range values {
				if text, ok := constant(v); ok {
					s.name(line(v.Pos()), "command", text)
				}
			}
		}
	}
}

func constant(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
