package schemas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a filter: large enough for any reader, small enough for the database.
const (
	maxFilterDepth = 12
	maxConditions  = 200
	maxInValues    = 1000
)

// The operators of the backend. The reference documents eq, notEq, in and the comparisons, by type;
// isNil, contains, like and ilike are known from recorded answers.
var (
	sameOps    = []string{"eq", "notEq", "in", "isNil"}
	boolOps    = []string{"eq", "notEq", "isNil"}
	orderedOps = []string{"eq", "notEq", "in", "greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual", "isNil"}
	textOps    = []string{"eq", "notEq", "in", "contains", "like", "ilike", "isNil"}
)

// operatorsFor returns the filter operators that a kind of field takes.
func operatorsFor(k Kind) []string {
	switch k {
	case Bool:
		return boolOps
	case Integer, Float, Decimal, Time, Second, Date:
		return orderedOps
	case Text, Word:
		return textOps
	}
	return sameOps
}

// filterCheck checks a filter: `{field: {op: value}, and: […], or: […], not: […]}`.
type filterCheck struct {
	resource   *Resource
	hidden     map[string]bool
	faults     *faults
	conditions int
}

func (c *filterCheck) checkGroup(path string, g map[string]any, nesting int) {
	if nesting > maxFilterDepth {
		c.faults.add(path, "nests more than %d levels deep", maxFilterDepth)
		return
	}
	for _, k := range SortedKeys(g) {
		p := join(path, clip(k, 60))
		switch k {
		case "and", "or", "not":
			c.checkBranch(p, k, g[k], nesting)
			continue
		}
		f := c.resource.Field(k)
		if f == nil {
			if right, message := c.faults.action.rightPath(path, k); right != "" {
				c.faults.report(Detail{Path: p, Message: message, Nearest: right})
				continue
			}
			c.faults.unknown(p, "field", k, append(slices.Clip(c.resource.Names()), "and", "or", "not"))
			continue
		}
		if c.hidden[k] {
			c.faults.add(p, "is hidden from this caller by the policy")
			continue
		}
		ops, ok := g[k].(map[string]any)
		if !ok || len(ops) == 0 {
			c.faults.add(p, `must be an object of operators, such as {%q:{"eq":…}}`, k)
			continue
		}
		for _, op := range SortedKeys(ops) {
			c.checkCondition(join(p, clip(op, 60)), f, op, ops[op])
		}
	}
}

func (c *filterCheck) checkBranch(path, op string, v any, nesting int) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		c.faults.add(path, "must be a list of at least one filter, such as {%q:[{…}]}", op)
		return
	}
	for i, e := range list {
		g, ok := e.(map[string]any)
		if !ok || len(g) == 0 {
			c.faults.add(index(path, i), "must be a filter that is not empty")
			continue
		}
		c.checkGroup(index(path, i), g, nesting+1)
	}
}

func (c *filterCheck) checkCondition(path string, f *Field, op string, v any) {
	if c.conditions++; c.conditions > maxConditions {
		if c.conditions == maxConditions+1 {
			c.faults.add(path, "is one of more than %d conditions", maxConditions)
		}
		return
	}
	valid := operatorsFor(f.Kind)
	if !slices.Contains(valid, op) {
		if op == "notIn" {
			c.faults.add(path, `does not exist: write {"not":[{%q:{"in":[…]}}]}`, f.Name)
			return
		}
		c.faults.unknown(path, "operator", op, valid)
		return
	}
	switch op {
	case "isNil":
		if _, ok := v.(bool); !ok {
			c.faults.add(path, "must be true or false")
		}
	case "in":
		list, ok := v.([]any)
		if !ok {
			c.faults.add(path, "must be a list of values")
			return
		}
		if len(list) > maxInValues {
			c.faults.add(path, "has %d values, at most %d are taken", len(list), maxInValues)
			return
		}
		for i, e := range list {
			c.checkValue(index(path, i), f, e)
		}
	case "contains", "like", "ilike":
		if _, ok := v.(string); !ok {
			c.faults.add(path, "must be a text")
		}
	default:
		c.checkValue(path, f, v)
	}
}

// checkValue reports a value that the kind cannot hold. Null is a fault for every kind, because it
// never matches: isNil is meant.
func (c *filterCheck) checkValue(path string, f *Field, v any) {
	if v == nil {
		c.faults.add(path, `null never matches: write {%q:{"isNil":true}}`, f.Name)
		return
	}
	if m := wrongValue(f, v); m != "" {
		c.faults.add(path, "%s", m)
	} else if s, ok := v.(string); ok && f.Values != nil && !slices.Contains(f.Values, s) {
		c.faults.unknown(path, "value", s, f.Values)
	}
}

func wrongValue(f *Field, v any) string {
	s, isText := v.(string)
	switch f.Kind {
	case UUID:
		if !isText {
			return "must be a uuid"
		}
		return badFormat("uuid", s)
	case Time, Second:
		if !isText {
			return "must be a time with a zone, such as 2026-01-31T09:00:00Z"
		}
		return badFormat("date-time", s)
	case Date:
		if !isText {
			return "must be a date, such as 2026-01-31"
		}
		return badFormat("date", s)
	case Bool:
		if _, ok := v.(bool); !ok {
			return "must be true or false"
		}
	case Integer, Float, Decimal:
		n, ok := v.(json.Number)
		if isText {
			n, ok = json.Number(s), true
		}
		if _, err := strconv.ParseFloat(string(n), 64); !ok || err != nil {
			return "must be a number"
		}
		if f.Kind == Integer && strings.ContainsAny(string(n), ".eE") {
			return "must be a whole number"
		}
	case Word, Text:
		if !isText {
			return fmt.Sprintf("must be a text, not %s", article(typeOf(v)))
		}
	}
	return ""
}

// checkSort checks a sort: names separated by commas, each after an optional +, -, ++ (nulls first)
// or -- (nulls last).
func checkSort(r *Resource, sort string, hidden map[string]bool, f *faults) {
	if sort == "" {
		return
	}
	for part := range strings.SplitSeq(sort, ",") {
		name := part
		for _, p := range []string{"++", "--", "+", "-"} {
			if rest, ok := strings.CutPrefix(part, p); ok {
				name = rest
				break
			}
		}
		switch {
		case name == "" || strings.ContainsAny(name, " \t\n"):
			f.add("sort", `must be names separated by commas without spaces, such as "-%s", not %s`, r.Names()[0], quote(sort))
			return
		case r.Field(name) == nil:
			f.unknown("sort", "field", name, r.Names())
		case hidden[name]:
			f.add("sort", "%s is hidden from this caller by the policy", quote(name))
		}
	}
}
