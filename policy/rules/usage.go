package rules

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// usage is what an expression reads.
type usage struct {
	variables  []string
	recipients bool // more of them than their count
	related    bool // matches or current
	roles      []roleRef
}

// analyse returns what an expression reads, before it is type-checked. It checks the names of
// lists, variables that shadow ours, and literals. It returns nil after a fault.
func (c *compiler) analyse(e *expr, tree *ast.AST) *usage {
	u, valid := &usage{}, true
	fault := func(x ast.Expr, format string, args ...any) {
		if valid {
			valid = false
			at := tree.SourceInfo().GetStartLocation(x.ID())
			c.addWithSource(e.position(at.Line(), at.Column(), c.lines), e.snippet(at.Line(), at.Column()), e.what+": %s", fmt.Sprintf(format, args...))
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
				fault(x, "an expression can only read one list by name: write lists.%s", append(names(c.file.lists), "dialable")[0])
			case slices.Contains(local, name) || slices.Contains(typeNames, name):
			case name == formerName:
				fault(x, "%s", renamedError)
			case !slices.Contains(allVariables, name):
				fault(x, "%s", unknownName("name", name, allVariables))
			case !slices.Contains(u.variables, name):
				u.variables = append(u.variables, name)
			}
			u.recipients = u.recipients || name == "recipients"
			u.related = u.related || name == "matches" || name == "current"
		case ast.SelectKind:
			s := x.AsSelect()
			if o := s.Operand(); o.Kind() == ast.IdentKind && o.AsIdent() == "lists" && !slices.Contains(local, "lists") {
				u.variables = append(u.variables, "lists")
				c.file.listUsed[s.FieldName()] = true
				if _, ok := c.file.lists[s.FieldName()]; !ok {
					fault(x, "%s", unknownName("list", s.FieldName(), names(c.file.lists)))
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
			if role, ok := roleTested(call); ok {
				at := tree.SourceInfo().GetStartLocation(call.Args()[0].ID())
				u.roles = append(u.roles, roleRef{role, e.position(at.Line(), at.Column(), c.lines)})
			}
			c.checkLiterals(call, fault)
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
			fault(x, "an expression cannot construct records: read the fields of a variable")
		case ast.ComprehensionKind:
			k := x.AsComprehension()
			if slices.Contains(allVariables, k.IterVar()) || slices.Contains(allVariables, k.IterVar2()) {
				fault(x, "%s is the name of a variable: use another name for the element, such as r", k.IterVar())
			}
			walk(k.IterRange(), local)
			walk(k.AccuInit(), local)
			inner := append(slices.Clone(local), k.IterVar(), k.IterVar2(), k.AccuVar())
			all([]ast.Expr{k.LoopCondition(), k.LoopStep(), k.Result()}, inner)
		}
	}
	walk(tree.Expr(), nil)
	if !valid {
		return nil
	}
	return u
}

// countsRecipients reports whether the call is recipients.size() or size(recipients), which read
// only the count.
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

// roleTested returns the role of an expression such as 'intern' in caller.roles.
func roleTested(call ast.CallExpr) (string, bool) {
	args := call.Args()
	if call.FunctionName() != operators.In || args[0].Kind() != ast.LiteralKind || args[1].Kind() != ast.SelectKind {
		return "", false
	}
	s, ok := args[0].AsLiteral().(types.String)
	of := args[1].AsSelect()
	return string(s), ok && of.FieldName() == "roles" && of.Operand().Kind() == ast.IdentKind && of.Operand().AsIdent() == "caller"
}

// typeNames are the type names that an expression may use.
var typeNames = []string{"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"}

// allVariables are the names of all variables.
var allVariables = append([]string{"input", "identity", "filter", "fields", "recipients", "matches", "current"}, variablesEverywhere...)

// checkLiterals reports wrong literals: time zones, times of day and kinds of numbers. A rule about
// a kind that does not exist would never match.
func (c *compiler) checkLiterals(call ast.CallExpr, fault func(ast.Expr, string, ...any)) {
	text := func(x ast.Expr) (string, bool) {
		if x.Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := x.AsLiteral().(types.String)
		return string(s), ok
	}
	zone := func(x ast.Expr) {
		if s, ok := text(x); ok {
			if _, err := loadLocation(s); err != nil {
				fault(x, "%v", err)
			}
		}
	}
	args := call.Args()
	kind := func(field, x ast.Expr) {
		if field.Kind() != ast.SelectKind || field.AsSelect().Operand().Kind() != ast.IdentKind {
			return
		}
		s, ok := text(x)
		switch name := field.AsSelect().FieldName(); {
		case !ok:
		case name == "kind" && !slices.Contains(kindNames, s):
			fault(x, "%s", unknownName("kind of number", s, kindNames))
		case name == "by" && !slices.Contains(sharedNames, s):
			fault(x, "%s", unknownName("value of by", s, sharedNames))
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
				if _, err := parseMinute(s); err != nil {
					fault(x, "%v", err)
				}
			}
		}
		from, ok := text(args[2])
		to, ok2 := text(args[3])
		if ok && ok2 && from == to {
			fault(args[3], "the times %s and %s are equal: write two different times", quote(from), quote(to))
		}
	case strings.HasPrefix(name, "get") && len(args) == 1: // getHours(zone) and similar functions
		zone(args[0])
	}
}
