package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// uses is what an expression reads.
type uses struct {
	variables  []string
	recipients bool
	roles      []named
}

// uses looks through a tree before it is type-checked: at the names of lists,
// at variables that hide ours, at zones and times of day. nil where there is a fault.
func (c *compiler) uses(e *expr, tree *ast.AST) *uses {
	u, good := &uses{}, true
	fault := func(x ast.Expr, format string, args ...any) {
		if good {
			good = false
			at := tree.SourceInfo().GetStartLocation(x.ID())
			c.source(e.position(at.Line(), at.Column(), c.lines), e.snippet(at.Line(), at.Column()), e.what+": %s", fmt.Sprintf(format, args...))
		}
	}
	var walk func(x ast.Expr, local []string)
	all := func(list []ast.Expr, local []string) {
		for _, x := range list {
			walk(x, local)
		}
	}
	walk = func(x ast.Expr, local []string) {
		switch x.Kind() {
		case ast.IdentKind:
			name := x.AsIdent()
			switch {
			case strings.HasPrefix(name, "."):
				fault(x, "write %s without the dot", name[1:])
			case name == "lists":
				fault(x, "lists can only be read by the name of one, such as lists.%s", append(names(c.file.lists), "dialable")[0])
			case slices.Contains(local, name) || slices.Contains(typeNames, name):
			case name == formerRecipients:
				fault(x, "%s", nowRecipients)
			case !slices.Contains(allVariables, name):
				fault(x, "%s", unknown("name", name, allVariables))
			case !slices.Contains(u.variables, name):
				u.variables = append(u.variables, name)
			}
			u.recipients = u.recipients || name == "recipients"
		case ast.SelectKind:
			s := x.AsSelect()
			if o := s.Operand(); o.Kind() == ast.IdentKind && o.AsIdent() == "lists" && !slices.Contains(local, "lists") {
				u.variables = append(u.variables, "lists")
				c.file.listUsed[s.FieldName()] = true
				if _, ok := c.file.lists[s.FieldName()]; !ok {
					fault(x, "%s", unknown("list", s.FieldName(), names(c.file.lists)))
				}
				return
			}
			walk(s.Operand(), local)
		case ast.CallKind:
			call := x.AsCall()
			if countsRecipients(call) {
				if !slices.Contains(u.variables, "recipients") {
					u.variables = append(u.variables, "recipients")
				}
				return
			}
			if role, ok := roleOf(call); ok {
				at := tree.SourceInfo().GetStartLocation(call.Args()[0].ID())
				u.roles = append(u.roles, named{role, e.position(at.Line(), at.Column(), c.lines)})
			}
			c.literals(call, fault)
			if call.IsMemberFunction() {
				walk(call.Target(), local)
			}
			all(call.Args(), local)
		case ast.ListKind:
			all(x.AsList().Elements(), local)
		case ast.MapKind:
			for _, entry := range x.AsMap().Entries() {
				walk(entry.AsMapEntry().Key(), local)
				walk(entry.AsMapEntry().Value(), local)
			}
		case ast.StructKind:
			fault(x, "records cannot be made in an expression")
		case ast.ComprehensionKind:
			k := x.AsComprehension()
			if slices.Contains(allVariables, k.IterVar()) || slices.Contains(allVariables, k.IterVar2()) {
				fault(x, "%s is one of our names: call the element something else, such as d", k.IterVar())
			}
			walk(k.IterRange(), local)
			walk(k.AccuInit(), local)
			inner := append(slices.Clone(local), k.IterVar(), k.IterVar2(), k.AccuVar())
			all([]ast.Expr{k.LoopCondition(), k.LoopStep(), k.Result()}, inner)
		}
	}
	walk(tree.Expr(), nil)
	if !good {
		return nil
	}
	return u
}

// countsRecipients tells recipients.size() and size(recipients), which do not ask who they are.
func countsRecipients(call ast.CallExpr) bool {
	of := func(x ast.Expr) bool { return x.Kind() == ast.IdentKind && x.AsIdent() == "recipients" }
	if call.FunctionName() != "size" {
		return false
	}
	if call.IsMemberFunction() {
		return len(call.Args()) == 0 && of(call.Target())
	}
	return len(call.Args()) == 1 && of(call.Args()[0])
}

// roleOf gives the role in 'intern' in caller.roles.
func roleOf(call ast.CallExpr) (string, bool) {
	args := call.Args()
	if call.FunctionName() != operators.In || args[0].Kind() != ast.LiteralKind || args[1].Kind() != ast.SelectKind {
		return "", false
	}
	s, ok := args[0].AsLiteral().(types.String)
	of := args[1].AsSelect()
	return string(s), ok && of.FieldName() == "roles" && of.Operand().Kind() == ast.IdentKind && of.Operand().AsIdent() == "caller"
}

// typeNames are what an expression can name beside variables.
var typeNames = []string{"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"}

// allVariables are the names that an expression may find.
var allVariables = append([]string{"input", "identity", "filter", "fields", "recipients"}, variablesEverywhere...)

// literals refuses zones, times of day and kinds of numbers that are written out and wrong: a rule about a kind that
// does not exist would never match.
func (c *compiler) literals(call ast.CallExpr, fault func(ast.Expr, string, ...any)) {
	text := func(x ast.Expr) (string, bool) {
		if x.Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := x.AsLiteral().(types.String)
		return string(s), ok
	}
	zone := func(x ast.Expr) {
		if s, ok := text(x); ok {
			if _, err := location(s); err != nil {
				fault(x, "%v", err)
			}
		}
	}
	args := call.Args()
	kind := func(field, x ast.Expr) {
		if field.Kind() != ast.SelectKind || field.AsSelect().FieldName() != "kind" || field.AsSelect().Operand().Kind() != ast.IdentKind {
			return
		}
		if s, ok := text(x); ok && !slices.Contains(kindNames, s) {
			fault(x, "%s", unknown("kind of number", s, kindNames))
		}
	}
	switch name := call.FunctionName(); {
	case name == operators.Equals || name == operators.NotEquals:
		kind(args[0], args[1])
		kind(args[1], args[0])
	case name == operators.In && args[1].Kind() == ast.ListKind:
		for _, x := range args[1].AsList().Elements() {
			kind(args[0], x)
		}
	case name == "workday" && len(args) == 2:
		zone(args[1])
	case name == "between" && len(args) == 4:
		zone(args[1])
		for _, x := range args[2:] {
			if s, ok := text(x); ok {
				if _, err := minute(s); err != nil {
					fault(x, "%v", err)
				}
			}
		}
		from, ok := text(args[2])
		to, ok2 := text(args[3])
		if ok && ok2 && from == to {
			fault(args[3], "the times %s and %s are the same: nothing, or everything, is between them", quote(from), quote(to))
		}
	case strings.HasPrefix(name, "get") && len(args) == 1: // getHours(zone) and its like
		zone(args[0])
	}
}

// guarded refuses an optional field of the input that is read without being
// asked for: the rule would deny every call that leaves it out.
func (c *compiler) guarded(e *expr, tree *ast.AST, s *celEnv) bool {
	good := true
	var walk func(x ast.Expr, known set)
	walk = func(x ast.Expr, known set) {
		switch x.Kind() {
		case ast.SelectKind:
			sel := x.AsSelect()
			if name, ok := inputField(x); ok {
				if !sel.IsTestOnly() && s.input.optional[name] && !known[name] && good {
					good = false
					dot := tree.SourceInfo().GetStartLocation(x.ID())
					c.source(e.position(dot.Line(), dot.Column()+1, c.lines), e.snippet(dot.Line(), dot.Column()+1),
						"%s, for %s: input.%s may be left out: write has(input.%s) && … before it", e.what, s.action.Name, name, name)
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
				walk(args[1], known.and(whenTrue(args[0])))
			case operators.LogicalOr:
				walk(args[0], known)
				walk(args[1], known.and(whenFalse(args[0])))
			case operators.Conditional:
				walk(args[0], known)
				walk(args[1], known.and(whenTrue(args[0])))
				walk(args[2], known.and(whenFalse(args[0])))
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
	return good
}

// inputField gives the field where the expression is input.field, or has() of it.
func inputField(x ast.Expr) (string, bool) {
	if x.Kind() != ast.SelectKind {
		return "", false
	}
	s := x.AsSelect()
	return s.FieldName(), s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "input"
}

// set holds the input's fields that are known to be there.
type set map[string]bool

func (a set) and(b set) set {
	if len(b) == 0 {
		return a
	}
	both := set{}
	maps.Copy(both, a)
	maps.Copy(both, b)
	return both
}

func (a set) or(b set) set {
	either := set{}
	for k := range a {
		if b[k] {
			either[k] = true
		}
	}
	return either
}

// whenTrue gives the fields that are there where the condition holds, whenFalse where it does not.
func whenTrue(x ast.Expr) set {
	if name, ok := inputField(x); ok && x.AsSelect().IsTestOnly() {
		return set{name: true}
	}
	switch fn, args := callOf(x); fn {
	case operators.LogicalAnd:
		return whenTrue(args[0]).and(whenTrue(args[1]))
	case operators.LogicalOr:
		return whenTrue(args[0]).or(whenTrue(args[1]))
	case operators.LogicalNot:
		return whenFalse(args[0])
	}
	return nil
}

func whenFalse(x ast.Expr) set {
	switch fn, args := callOf(x); fn {
	case operators.LogicalAnd:
		return whenFalse(args[0]).or(whenFalse(args[1]))
	case operators.LogicalOr:
		return whenFalse(args[0]).and(whenFalse(args[1]))
	case operators.LogicalNot:
		return whenTrue(args[0])
	}
	return nil
}

func callOf(x ast.Expr) (string, []ast.Expr) {
	if x.Kind() != ast.CallKind {
		return "", nil
	}
	return x.AsCall().FunctionName(), x.AsCall().Args()
}
