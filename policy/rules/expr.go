package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxExpression = 4_000 // characters
	// maxCost bounds what one expression may take, estimated at load and counted at run time: in the machine's worst
	// case about half a second, for ten thousand people and a list of some hundred prefixes.
	maxCost = 10_000_000
	// cheap is the estimate below which nothing is ever counted: there is no loop over what a payload makes large.
	cheap = 1_000
)

// program is a compiled expression. The estimate holds for calls of the sizes
// that it assumes; only for a larger one is the cost counted, which takes twice the time.
type program struct{ plain, counted cel.Program }

// expr is one expression of a file.
type expr struct {
	text string
	node *yaml.Node
	what string // such as `when of the rule bulk-over-50`
	// programs are compiled for each action that the expression is about.
	programs map[string]*program
	// constant is true where no variable is read, so that it gives the same for every call.
	constant bool
	// readsRecipients is true where it reads more of the recipients than how many they are.
	readsRecipients bool
	// roles are those that it looks for among the caller's.
	roles []named
}

// compiler makes programs of the expressions of one file.
type compiler struct {
	*reader
	file *file
}

// compile type-checks the expression for each of the actions and makes its programs.
func (c *compiler) compile(e *expr, want *types.Type, actions []*schemas.Action) {
	if e == nil || e.programs != nil {
		return
	}
	e.programs = map[string]*program{}
	if n := utf8.RuneCountInString(e.text); n > maxExpression {
		c.add(at(e.node), "%s has %d characters, at most %d are taken: make several rules of it", e.what, n, maxExpression)
		return
	}
	parsed, iss := commonEnv().env.Parse(e.text)
	if iss.Err() != nil {
		c.issues(e, iss, nil, nil)
		return
	}
	u := c.uses(e, parsed.NativeRep())
	if u == nil {
		return
	}
	e.constant, e.readsRecipients, e.roles = len(u.variables) == 0, u.recipients, u.roles
	local := slices.ContainsFunc(u.variables, func(v string) bool { return !slices.Contains(variablesEverywhere, v) })
	if !local {
		p, ok := c.check(e, want, parsed, commonEnv())
		for _, a := range actions {
			if ok {
				e.programs[a.Name] = p
			}
		}
		return
	}
	for _, a := range actions {
		// Parsed anew, since the checker writes into the tree.
		if parsed == nil {
			parsed, _ = commonEnv().env.Parse(e.text)
		}
		p, ok := c.check(e, want, parsed, celEnvOf(a))
		if !ok {
			return // what is wrong for one action is most often wrong for the next
		}
		e.programs[a.Name] = p
		parsed = nil
	}
}

// check makes one program.
func (c *compiler) check(e *expr, want *types.Type, parsed *cel.Ast, s *celEnv) (*program, bool) {
	checked, iss := s.env.Check(parsed)
	if iss.Err() != nil {
		c.issues(e, iss, parsed, s)
		return nil, false
	}
	about := ""
	if s.action != nil {
		about = ", for " + s.action.Name
	}
	if got := checked.OutputType(); !got.IsExactType(want) {
		m := fmt.Sprintf("%s%s gives %s, it must give %s", e.what, about, typeName(got), typeName(want))
		if want == types.BoolType {
			m += ": compare it with something"
		}
		c.add(at(e.node), "%s", m)
		return nil, false
	}
	if s.input != nil && !c.guarded(e, checked.NativeRep(), s) {
		return nil, false
	}
	estimate, err := c.cost(s.env, checked)
	if err != nil {
		c.add(at(e.node), "%s%s %v", e.what, about, err)
		return nil, false
	}
	p := &program{}
	p.plain, err = s.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	p.counted = p.plain
	if err == nil && estimate > cheap {
		p.counted, err = s.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	}
	if err != nil {
		c.add(at(e.node), "%s%s: %v", e.what, about, err)
		return nil, false
	}
	return p, true
}

// issues reports what the parser or the checker found; the first is enough.
func (c *compiler) issues(e *expr, iss *cel.Issues, parsed *cel.Ast, s *celEnv) {
	i := iss.Errors()[0]
	about := ""
	if s != nil && s.action != nil {
		about = ", for " + s.action.Name
	}
	message, syntax := strings.CutPrefix(i.Message, "Syntax error: ")
	switch {
	case strings.Contains(message, "'<EOF>'"):
		message = "the expression ends too early"
	case strings.HasPrefix(message, "token recognition error at: '="):
		message = "write == to compare"
	case syntax || parsed == nil:
		message, _, _ = strings.Cut(message, " expecting ")
		message, _, _ = strings.Cut(message, "\n")
	default:
		message = c.better(i, parsed.NativeRep(), s)
	}
	line, col := i.Location.Line(), i.Location.Column()
	if strings.HasPrefix(i.Message, "undefined field") {
		col++ // past the dot
	}
	c.source(e.position(line, col, c.lines), e.snippet(line, col), "%s%s: %s", e.what, about, message)
}

// better words what the checker says so that it names what to write instead.
func (c *compiler) better(i *cel.Error, tree *ast.AST, s *celEnv) string {
	if rest, ok := strings.CutPrefix(i.Message, "invalid "); ok && strings.HasSuffix(rest, " argument") {
		return fmt.Sprintf("this is nothing that %s takes", strings.TrimSuffix(rest, " argument"))
	}
	quoted := strings.Split(i.Message, "'")
	if len(quoted) < 3 {
		return i.Message
	}
	switch name := quoted[1]; {
	case strings.HasPrefix(i.Message, "undefined field"):
		owner, fields := c.owner(i.ExprID, tree, s)
		return unknown("field of "+owner, name, fields)
	case strings.HasPrefix(i.Message, "undeclared reference"):
		valid := append(s.variables, "workday", "between")
		m := unknown("name", name, valid)
		if slices.Contains([]string{"input", "identity", "filter", "fields"}, name) && s.action != nil {
			m = fmt.Sprintf("%s takes no %s: match only actions that do", s.action.Name, name)
		}
		if name == "recipients" && s.action != nil {
			m = fmt.Sprintf("%s rings nobody, so that there are no recipients: match only start_outbound_call and start_bulk_outbound_call", s.action.Name)
		}
		return m
	case strings.HasPrefix(i.Message, "found no matching overload") && len(quoted) >= 4:
		return fmt.Sprintf("%s does not take %s", strings.Trim(name, "_@"), strings.ReplaceAll(strings.ReplaceAll(quoted[3], "wrapper(", "nullable("), "input of ", ""))
	}
	return i.Message
}

// owner says whose field an expression reads, and which fields there are.
func (c *compiler) owner(id int64, tree *ast.AST, s *celEnv) (string, []string) {
	name := ""
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id && e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() == ast.IdentKind {
			name = e.AsSelect().Operand().AsIdent()
		}
	}))
	switch {
	case name == "input" && s.input != nil:
		return name, s.input.names
	case name == "caller":
		return name, callerShape.names
	}
	return "a destination", recipientShape.names
}

func typeName(t *types.Type) string {
	switch {
	case t.IsExactType(types.BoolType):
		return "true or false"
	case t.IsExactType(types.IntType):
		return "an integer"
	case t.IsExactType(types.DynType):
		return "a value of any type"
	}
	return strings.ReplaceAll(cel.FormatCELType(t), "wrapper(", "nullable(")
}

// snippet is the expression's line with a caret below the column.
func (e *expr) snippet(line, col int) string {
	lines := strings.Split(e.text, "\n")
	if line < 1 || line > len(lines) || col < 0 {
		return ""
	}
	text := []rune(strings.ReplaceAll(lines[line-1], "\t", " "))
	const before, most = 60, 110
	if col > before && len(text) > most {
		text = append([]rune("…"), text[col-before:]...)
		col = before + 1
	}
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return "    " + string(text) + "\n    " + strings.Repeat(" ", col) + "^"
}

// position is where in the file the expression's line and column stand. It walks
// the file beside the expression, past what YAML folds and escapes; where the two do not go together it is where the expression begins.
func (e *expr) position(line, col int, file []string) position {
	at := position{e.node.Line, e.node.Column}
	row, pos := at.line-1, at.col-1
	deep := maxFile // the indentation that is no part of the text
	indent := func() {
		row++
		for pos = 0; row < len(file) && pos < min(deep, len(file[row])) && file[row][pos] == ' '; pos++ {
		}
	}
	quoted := e.node.Style & (yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle)
	switch {
	case e.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		indent()
		deep = pos
	case quoted != 0:
		pos++
	}
	l, k := 1, 0
	for _, r := range e.text {
		if row >= len(file) {
			return at
		}
		if l == line && k == col {
			return position{row + 1, len([]rune(file[row][:min(pos, len(file[row]))])) + 1}
		}
		switch rest := file[row][min(pos, len(file[row])):]; {
		case strings.HasPrefix(rest, string(r)):
			pos += len(string(r))
			if r == '\'' && quoted&yaml.SingleQuotedStyle != 0 {
				pos++ // it is written twice
			}
		case strings.HasPrefix(rest, `\`) && quoted&yaml.DoubleQuotedStyle != 0:
			pos += 2
		case strings.TrimSpace(rest) == "" && (r == ' ' || r == '\n'):
			indent()
			for row < len(file) && strings.TrimSpace(file[row]) == "" {
				indent()
			}
		default:
			return at
		}
		if k++; r == '\n' {
			l, k = l+1, 0
		}
	}
	if l == line && k == col && row < len(file) {
		return position{row + 1, len([]rune(file[row][:min(pos, len(file[row]))])) + 1}
	}
	return at
}
