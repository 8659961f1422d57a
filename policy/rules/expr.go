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

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	maxExpression = 4_000 // characters
	// maxCost bounds the cost of one expression, estimated at load and counted when it runs. It
	// allows ten thousand recipients and a list of some hundred prefixes, which takes about half a
	// second.
	maxCost = 10_000_000
	// cheapCost is the estimate below which the cost is never counted: no loop depends on the size
	// of the payload.
	cheapCost = 1_000
)

// program is a compiled expression. Counting the cost takes twice the time, so counted is used only
// for calls that are larger than the estimate assumes.
type program struct{ plain, counted cel.Program }

// expr is one expression of a file.
type expr struct {
	text string
	node *yaml.Node
	what string // such as `when of the rule bulk-over-50`
	// programs are compiled for each action that the expression applies to, by name.
	programs map[string]*program
	// constant is true if it reads no variable, so its value is the same for every call.
	constant bool
	// readsRecipients is true if it reads more of the recipients than their count.
	readsRecipients bool
	// readsRelated is true if it reads matches or current.
	readsRelated bool
	// roles are the roles that it tests.
	roles []roleRef
}

// compiler compiles the expressions of one file.
type compiler struct {
	*reader
	file *file
}

// compile type-checks and compiles the expression for each of the actions.
func (c *compiler) compile(e *expr, want *types.Type, actions []*schemas.Action) {
	if e == nil || e.programs != nil {
		return
	}
	e.programs = map[string]*program{}
	if n := utf8.RuneCountInString(e.text); n > maxExpression {
		c.add(nodePosition(e.node), "%s has %d characters, and may have at most %d: split it into several rules", e.what, n, maxExpression)
		return
	}
	parsed, iss := commonEnv().env.Parse(e.text)
	if iss.Err() != nil {
		c.addIssue(e, iss, nil, nil)
		return
	}
	u := c.analyse(e, parsed.NativeRep())
	if u == nil {
		return
	}
	e.constant, e.readsRecipients, e.readsRelated, e.roles = len(u.variables) == 0, u.recipients, u.related, u.roles
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
		// It is parsed again, since the checker changes the tree.
		if parsed == nil {
			parsed, _ = commonEnv().env.Parse(e.text)
		}
		p, ok := c.check(e, want, parsed, celEnvOf(a))
		if !ok {
			return // the next actions most often have the same fault
		}
		e.programs[a.Name] = p
		parsed = nil
	}
}

// check type-checks and compiles the expression in one environment.
func (c *compiler) check(e *expr, want *types.Type, parsed *cel.Ast, s *celEnv) (*program, bool) {
	checked, iss := s.env.Check(parsed)
	if iss.Err() != nil {
		c.addIssue(e, iss, parsed, s)
		return nil, false
	}
	about := ""
	if s.action != nil {
		about = ", for " + s.action.Name
	}
	if got := checked.OutputType(); !got.IsExactType(want) {
		m := fmt.Sprintf("%s%s returns %s, but must return %s", e.what, about, typeName(got), typeName(want))
		if want == types.BoolType {
			m += ": compare it with a value"
		}
		c.add(nodePosition(e.node), "%s", m)
		return nil, false
	}
	if s.input != nil && !c.checkPresence(e, checked.NativeRep(), s) {
		return nil, false
	}
	estimate, err := c.estimateCost(s.env, checked)
	if err != nil {
		c.add(nodePosition(e.node), "%s%s %v", e.what, about, err)
		return nil, false
	}
	p := &program{}
	p.plain, err = s.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	p.counted = p.plain
	if err == nil && estimate > cheapCost {
		p.counted, err = s.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	}
	if err != nil {
		c.add(nodePosition(e.node), "%s%s: %v", e.what, about, err)
		return nil, false
	}
	return p, true
}

// addIssue adds the first fault that CEL's parser or checker found.
func (c *compiler) addIssue(e *expr, iss *cel.Issues, parsed *cel.Ast, s *celEnv) {
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
		message = c.improveMessage(i, parsed.NativeRep(), s)
	}
	line, col := i.Location.Line(), i.Location.Column()
	if strings.HasPrefix(i.Message, "undefined field") {
		col++ // past the dot
	}
	c.addWithSource(e.position(line, col, c.lines), e.snippet(line, col), "%s%s: %s", e.what, about, message)
}

// improveMessage rewrites a message of CEL's checker so that it says what to write instead.
func (c *compiler) improveMessage(i *cel.Error, tree *ast.AST, s *celEnv) string {
	if rest, ok := strings.CutPrefix(i.Message, "invalid "); ok && strings.HasSuffix(rest, " argument") {
		return fmt.Sprintf("%s does not accept this argument", strings.TrimSuffix(rest, " argument"))
	}
	quoted := strings.Split(i.Message, "'")
	if len(quoted) < 3 {
		return i.Message
	}
	switch name := quoted[1]; {
	case strings.HasPrefix(i.Message, "undefined field"):
		owner, fields := c.fieldOwner(i.ExprID, tree, s)
		return unknownName("field of "+owner, name, fields)
	case strings.HasPrefix(i.Message, "undeclared reference"):
		valid := append(s.variables, "workday", "between", "sharesWord")
		m := unknownName("name", name, valid)
		if slices.Contains([]string{"input", "identity", "filter", "fields"}, name) && s.action != nil {
			m = fmt.Sprintf("%s has no %s: match only actions that have it", s.action.Name, name)
		}
		if (name == "matches" || name == "current") && s.action != nil {
			m = fmt.Sprintf("%s has no %s: match only update_contact, or for matches create_contact too", s.action.Name, name)
		}
		if name == "recipients" && s.action != nil {
			m = fmt.Sprintf("%s reaches nobody, so it has no recipients: match only start_outbound_call, start_bulk_outbound_call and import_inbound_email", s.action.Name)
		}
		return m
	case strings.HasPrefix(i.Message, "found no matching overload") && len(quoted) >= 4:
		return fmt.Sprintf("%s does not accept %s", strings.Trim(name, "_@"), strings.ReplaceAll(strings.ReplaceAll(quoted[3], "wrapper(", "nullable("), "input of ", ""))
	}
	return i.Message
}

// fieldOwner returns the variable of which an expression reads a field, and its fields.
func (c *compiler) fieldOwner(id int64, tree *ast.AST, s *celEnv) (string, []string) {
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
	case name == "current":
		return name, currentShape.names
	case s.action != nil && recipients.HasRelated(s.action):
		return "a match", matchShape.names
	}
	return "a recipient", recipientShape.names
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

// snippet returns a line of the expression with a caret below the column.
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

// position converts a line and column of the expression to a position in the file. It compares the
// file with the expression, rune by rune, and skips what YAML folds and escapes. If the two differ,
// it returns where the expression begins.
func (e *expr) position(line, col int, file []string) position {
	at := position{e.node.Line, e.node.Column}
	row, pos := at.line-1, at.col-1
	maxIndent := maxFile // of the expression's lines
	indent := func() {
		row++
		for pos = 0; row < len(file) && pos < min(maxIndent, len(file[row])) && file[row][pos] == ' '; pos++ {
		}
	}
	quoted := e.node.Style & (yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle)
	switch {
	case e.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		indent()
		maxIndent = pos
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
				pos++ // YAML doubles it
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
