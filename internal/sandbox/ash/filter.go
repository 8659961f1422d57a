package ash

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Limits of this engine: SQLite accepts expressions up to a depth of 1,000, and 32,766 parameters.
const (
	maxFilterDepth = 200
	maxFilterParts = 30_000
	maxPlainIn     = 100 // pass longer lists as one parameter
)

// condition is an SQL condition with its parameters.
type condition struct {
	sql  string
	args []any
}

var (
	always = condition{sql: "TRUE"}
	never  = condition{sql: "NULL"} // selects no row, nor does its negation
)

func joinConditions(cs []condition, with string) condition {
	switch len(cs) {
	case 0:
		return always
	case 1:
		return cs[0]
	}
	var out condition
	var b strings.Builder
	for _, c := range cs {
		out.args = append(out.args, c.args...)
	}
	writeBalanced(&b, cs, ") "+with+" (")
	out.sql = "(" + b.String() + ")"
	return out
}

// writeBalanced joins the conditions as a balanced tree. SQLite limits the depth of expressions,
// and a chain is as deep as it is long.
func writeBalanced(b *strings.Builder, cs []condition, with string) {
	if len(cs) == 1 {
		b.WriteString(cs[0].sql)
		return
	}
	half := len(cs) / 2
	b.WriteByte('(')
	writeBalanced(b, cs[:half], with)
	b.WriteString(with)
	writeBalanced(b, cs[half:], with)
	b.WriteByte(')')
}

func negate(c condition) condition { return condition{sql: "NOT (" + c.sql + ")", args: c.args} }

// filterCompiler compiles one filter to SQL.
//
// The backend finds some errors while it builds the filter, and reports them together with those of
// sort and page. Others are found by its database when the query runs, after everything else.
type filterCompiler struct {
	engine *Engine
	depth  int // for alias names
	parts  int // comparisons so far
	late   *Error
}

// compile returns the condition for a filter on the resource's table with this alias. Its error is
// ErrCrash, or one Error for the whole filter.
func (c *filterCompiler) compile(filter any, r *Resource, alias string, level int) (condition, error) {
	if level > maxFilterDepth {
		return never, fail(internalError("filter"))
	}
	switch f := filter.(type) {
	case nil:
		return always, nil
	case bool:
		if f {
			return always, nil
		}
		return condition{sql: "FALSE"}, nil
	case []any:
		return c.all(f, r, alias, level)
	case map[string]any:
		var parts []condition
		for _, key := range sortedKeys(f) {
			part, err := c.entry(key, f[key], r, alias, level)
			if err != nil {
				return never, err
			}
			parts = append(parts, part)
		}
		return joinConditions(parts, "AND"), nil
	}
	return never, fail(internalError("filter"))
}

func (c *filterCompiler) all(list []any, r *Resource, alias string, level int) (condition, error) {
	parts, err := c.each(list, r, alias, level)
	return joinConditions(parts, "AND"), err
}

func (c *filterCompiler) each(list []any, r *Resource, alias string, level int) ([]condition, error) {
	var parts []condition
	for _, x := range list {
		part, err := c.compile(x, r, alias, level+1)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (c *filterCompiler) entry(key string, value any, r *Resource, alias string, level int) (condition, error) {
	switch snake(key) {
	case "and", "or", "not":
		return c.connective(snake(key), value, r, alias, level)
	}
	if rel := r.relByName[wireName(key)]; rel != nil {
		return c.relation(rel, value, alias, level)
	}
	a := r.publicAttribute(key)
	if a == nil || a.Compute != nil {
		return never, fail(internalError("filter"))
	}
	ops, ok := value.(map[string]any)
	if !ok {
		switch value.(type) {
		case nil:
			return c.operator(a, "is_nil", true, alias)
		case []any:
			return c.operator(a, "in", value, alias)
		}
		return c.operator(a, "eq", value, alias)
	}
	if len(ops) == 0 {
		return never, nil
	}
	var parts []condition
	for _, op := range sortedKeys(ops) {
		part, err := c.operator(a, snake(op), ops[op], alias)
		if err != nil {
			return never, err
		}
		parts = append(parts, part)
	}
	return joinConditions(parts, "AND"), nil
}

// connective compiles and, or, not. The parts of a map below it are joined by and, even below or.
func (c *filterCompiler) connective(name string, value any, r *Resource, alias string, level int) (condition, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) == 0 {
		return never, ErrCrash
	}
	parts, err := c.each(list, r, alias, level)
	if err != nil {
		return never, err
	}
	switch name {
	case "or":
		return joinConditions(parts, "OR"), nil
	case "not":
		return negate(joinConditions(parts, "AND")), nil
	}
	return joinConditions(parts, "AND"), nil
}

func (c *filterCompiler) relation(rel *Relation, value any, alias string, level int) (condition, error) {
	target := c.engine.resources[rel.Resource]
	c.depth++
	inner := "r" + strconv.Itoa(c.depth)
	exists := "EXISTS (SELECT 1 FROM " + quoteName(target.Name) + " " + inner + " WHERE " + inner + `."id" = ` + alias + "." + quoteName(rel.Key)
	if m, ok := value.(map[string]any); ok && len(m) == 1 {
		for k, v := range m {
			if snake(k) == "is_nil" {
				return c.nilCheck(v, exists+")", true)
			}
		}
	}
	part, err := c.compile(value, target, inner, level+1)
	if err != nil {
		return never, err
	}
	return condition{sql: exists + " AND " + part.sql + ")", args: part.args}, nil
}

// nilCheck compiles isNil. If exists is true, expr is an EXISTS, else a value.
func (c *filterCompiler) nilCheck(operand any, expr string, exists bool) (condition, error) {
	isNil, ok := castScalar(Bool, operand)
	if operand == nil {
		return never, nil
	}
	if !ok {
		return never, fail(unknownError("filter"))
	}
	if isNil == nil {
		return never, nil
	}
	switch {
	case exists && isNil == true:
		return condition{sql: "NOT " + expr}, nil
	case exists:
		return condition{sql: expr}, nil
	case isNil == true:
		return condition{sql: expr + " IS NULL"}, nil
	}
	return condition{sql: expr + " IS NOT NULL"}, nil
}

// operators are the binary operators by each of their names.
var operators = map[string]string{
	"eq": "=", "equals": "=", "==": "=", "=": "=",
	"not_eq": "!=", "not_equals": "!=", "!=": "!=",
	"gt": ">", "greater_than": ">", ">": ">",
	"gte": ">=", "greater_than_or_equal": ">=", ">=": ">=",
	"lt": "<", "less_than": "<", "<": "<",
	"lte": "<=", "less_than_or_equal": "<=", "<=": "<=",
	"is_distinct_from": "IS NOT", "is_not_distinct_from": "IS",
}

func (c *filterCompiler) operator(a *Attribute, op string, operand any, alias string) (condition, error) {
	if c.parts++; c.parts > maxFilterParts {
		return never, fail(internalError("filter"))
	}
	if sql, ok := operators[op]; ok {
		return c.compare(a, sql, operand, alias), nil
	}
	e := a.expr(alias)
	switch op {
	case "in":
		return c.in(a, operand, alias)
	case "is_nil":
		return c.nilCheck(operand, e, false)
	case "has":
		if !a.Kind.isArray() {
			return never, c.postpone(unknownError())
		}
		s, ok := operand.(string)
		if !ok {
			return never, nil
		}
		return condition{"EXISTS (SELECT 1 FROM json_each(" + e + ") j WHERE j.value = ?)", []any{s}}, nil
	case "contains", "string_starts_with", "string_ends_with", "like", "ilike":
		return c.text(a, op, operand, e)
	case "and", "or", "not":
		return never, c.postpone(unknownError())
	}
	return never, fail(internalError("filter"))
}

// postpone records an error that the database finds in the backend. The first one is reported.
func (c *filterCompiler) postpone(f *Error) error {
	if c.late == nil {
		c.late = f
	}
	return nil
}

func (c *filterCompiler) compare(a *Attribute, op string, operand any, alias string) condition {
	v, violation := a.castValue(operand, c.engine.atoms)
	if violation == nil && a.Kind == Enum && v != nil {
		_, violation = a.constrain(v)
	}
	if violation != nil {
		if a.Kind == String {
			// The backend's database compares numbers and lists with strings. It fails on objects.
			switch x := operand.(type) {
			case json.Number:
				v, violation = x.String(), nil
			case []any:
				v, violation = inspect(x, nil), nil
			}
		}
		if violation != nil {
			c.postpone(internalError())
			return never
		}
	}
	e, p := a.expr(alias), "?"
	switch {
	case op == "=" || op == "!=" || strings.HasPrefix(op, "IS"):
		if a.Kind == Decimal {
			e, p = a.sortable(alias), "CAST(? AS REAL)"
		}
	case a.Kind == Decimal:
		e, p = a.sortable(alias), "CAST(? AS REAL)"
	case a.Kind == Map:
		e, p = a.sortable(alias), "ash_map_key(?)"
	case a.Kind.isArray():
		e, p = a.sortable(alias), "ash_array_key(?)"
	}
	return condition{"(" + e + " " + op + " " + p + ")", []any{encodeColumn(v)}}
}

func (c *filterCompiler) in(a *Attribute, operand any, alias string) (condition, error) {
	if operand == nil {
		return never, nil
	}
	list, ok := operand.([]any)
	if !ok {
		return never, fail(internalError("filter"))
	}
	e, p := a.expr(alias), "?"
	if a.Kind == Decimal {
		e, p = a.sortable(alias), "CAST(? AS REAL)"
	}
	var args []any
	for _, x := range list {
		v, violation := a.castValue(x, c.engine.atoms)
		if violation == nil && a.Kind == Enum && v != nil {
			_, violation = a.constrain(v)
		}
		if violation != nil {
			return never, fail(internalError("filter"))
		}
		args = append(args, encodeColumn(v))
	}
	if len(args) == 0 {
		return condition{sql: "FALSE"}, nil
	}
	if len(args) > maxPlainIn {
		all, err := json.Marshal(args)
		if err != nil {
			return never, err
		}
		return condition{e + " IN (SELECT " + strings.ReplaceAll(p, "?", "j.value") + " FROM json_each(?) j)", []any{string(all)}}, nil
	}
	return condition{e + " IN (" + strings.Repeat(p+",", len(args)-1) + p + ")", args}, nil
}

func (c *filterCompiler) text(a *Attribute, op string, operand any, e string) (condition, error) {
	if a.Kind != String {
		return never, c.postpone(unknownError())
	}
	if operand == nil {
		return never, nil
	}
	s, ok := operand.(string)
	if !ok {
		return never, fail(internalError("filter"))
	}
	switch op {
	case "contains":
		return condition{"(instr(" + e + ", ?) > 0)", []any{s}}, nil
	case "string_starts_with":
		return condition{"(substr(" + e + ", 1, length(?)) = ?)", []any{s, s}}, nil
	case "string_ends_with":
		if s == "" {
			return condition{sql: "(" + e + " IS NOT NULL)"}, nil
		}
		return condition{"(substr(" + e + ", -length(?)) = ?)", []any{s, s}}, nil
	}
	fold := 0
	if op == "ilike" {
		fold = 1
	}
	return condition{"ash_like(" + e + ", ?, ?)", []any{s, fold}}, nil
}
