package ash

import (
	"slices"
	"strings"
)

// list answers a list action: a plain array, or a page.
func (c *request) list(t *Tx) (any, error) {
	a, r := c.action, c.action.Resource
	in := c.castInput(t.e.atoms)
	// Ash collects these in turn and shows the last one first.
	var found Errors
	collect := func(err error) error {
		fs, ok := err.(Errors)
		if err != nil && !ok {
			return err
		}
		found = append(found, fs...)
		return nil
	}
	pg, err := parsePage(c.page, a.Page, t.e.atoms)
	if err := collect(err); err != nil {
		return nil, err
	}
	keys, err := parseSort(c.sort, r)
	if err := collect(err); err != nil {
		return nil, err
	}
	compiler := &filterCompiler{e: t.e}
	where, err := compiler.compile(c.filter, r, "t", 0)
	if err := collect(err); err != nil {
		return nil, err
	}
	found = append(found, renderErrors(in.lastFirst(), (*Violation).asQuery)...)
	if len(found) > 0 {
		return nil, found
	}
	if pg != nil {
		return c.paged(t, pg, keys, where, compiler.late)
	}
	if compiler.late != nil {
		return nil, fail(compiler.late)
	}
	order := make([]string, 0, len(keys)+1)
	for _, k := range keys {
		order = append(order, k.sql("t"))
	}
	order = append(order, `t."seq"`)
	x := c.fields.renderer(t.e)
	rows, err := t.queryRows(r, x.columns, nil, where.sql+" ORDER BY "+strings.Join(order, ", "), where.args)
	if err != nil {
		return nil, err
	}
	return x.list(t, rows)
}

// paged answers one page. A limit above the maximum is not refused: one row
// more than the maximum is read, as ever, to see whether there is more, and
// all of them are answered.
func (c *request) paged(t *Tx, pg *page, keys []sortKey, where condition, late *Error) (any, error) {
	a, r := c.action, c.action.Resource
	sig := signature(keys)
	order := slices.Clone(keys)
	if !slices.ContainsFunc(keys, func(k sortKey) bool { return k.attr.Name == "id" }) {
		order = append(order, sortKey{attr: r.byName["id"]})
	}
	backwards := pg.before != nil // wins over after
	if backwards {
		for i, k := range order {
			order[i] = k.reversed()
		}
	}
	var from []any // the row to go on from: its values of the order's keys
	for _, x := range []struct {
		side   string
		cursor *string
	}{{"after", pg.after}, {"before", pg.before}} {
		if x.cursor == nil {
			continue
		}
		values, err := decodeCursor(a, x.side, *x.cursor, sig, len(order)-1)
		if err != nil {
			return nil, err
		}
		if backwards == (x.side == "before") {
			from = values
		}
	}
	if late != nil {
		return nil, fail(late)
	}
	most := a.Page.Max
	if most == 0 {
		most = maxLimit
	}
	x := c.fields.renderer(t.e)
	rows, err := c.window(t, x.columns, order, from, where, min(pg.limit, most)+1, pg.offset)
	if err != nil {
		return nil, err
	}
	more := len(rows) > pg.limit
	if more {
		rows = rows[:pg.limit]
	}
	if backwards {
		slices.Reverse(rows)
	}
	results, err := x.list(t, rows)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"results": results, "hasMore": more, "limit": pg.limit, "count": nil}
	if pg.count {
		if out["count"], err = t.Count(r, where.sql, where.args...); err != nil {
			return nil, err
		}
	}
	if pg.hasOffset {
		out["type"], out["offset"] = "offset", pg.offset
		return out, nil
	}
	out["type"], out["after"], out["before"] = "keyset", pg.after, pg.before
	out["previousPage"], out["nextPage"] = nil, nil
	if n, at := len(rows), len(x.columns); n > 0 {
		out["previousPage"], out["nextPage"] = encodeCursor(sig, rows[0][at:]), encodeCursor(sig, rows[n-1][at:])
	}
	return out, nil
}

// window reads the columns of up to limit rows in the order, beginning after
// the row from (nil is the beginning), and behind them the order's keys.
//
// Rows with and without the first key are read apart: an index on it serves
// both in order, wherever the nulls are to go, and a page costs the same however
// deep it is.
func (c *request) window(t *Tx, columns []*Attribute, order []sortKey, from []any, where condition, limit, offset int) ([][]any, error) {
	terms, extra := make([]string, len(order)), make([]string, len(order))
	for i, k := range order {
		extra[i], terms[i] = k.attr.sortable("t"), k.sql("t")
	}
	parts := []condition{always}
	if offset == 0 {
		parts = segments(order, from)
		terms[0] = strings.TrimSuffix(strings.TrimSuffix(terms[0], " NULLS FIRST"), " NULLS LAST")
	}
	var rows [][]any
	for _, part := range parts {
		part = joinConditions([]condition{where, part}, "AND")
		some, err := t.queryRows(c.action.Resource, columns, extra, part.sql+" ORDER BY "+strings.Join(terms, ", ")+" LIMIT ? OFFSET ?",
			append(part.args, limit-len(rows), offset))
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
		if len(rows) == limit {
			break
		}
	}
	return rows, nil
}

// segments are the conditions that together let through what comes after the
// row from, each in one piece of an index, in order.
func segments(order []sortKey, from []any) []condition {
	k := order[0]
	e := k.attr.sortable("t")
	with, without := condition{sql: e + " IS NOT NULL"}, condition{sql: e + " IS NULL"}
	switch {
	case from != nil && from[0] == nil:
		rest := joinConditions([]condition{without, afterRow(order[1:], from[1:])}, "AND")
		if k.nullsFirst && k.nullable() {
			return []condition{rest, with}
		}
		return []condition{rest}
	case from != nil:
		op := ">="
		if k.descending {
			op = "<="
		}
		// The first condition is implied by the second, and is what the index can use.
		with = joinConditions([]condition{{e + " " + op + " ?", []any{from[0]}}, afterRow(order, from)}, "AND")
		if k.nullable() && !k.nullsFirst {
			return []condition{with, without}
		}
		return []condition{with}
	case !k.nullable():
		return []condition{always}
	case k.nullsFirst:
		return []condition{without, with}
	}
	return []condition{with, without}
}

// afterRow is the condition that a row comes after the values in the order. Nulls
// in the first key are the caller's.
func afterRow(order []sortKey, values []any) condition {
	if len(order) == 0 {
		return condition{sql: "FALSE"}
	}
	k, e := order[0], order[0].attr.sortable("t")
	op := ">"
	if k.descending {
		op = "<"
	}
	further := condition{e + " " + op + " ?", []any{values[0]}}
	switch {
	case values[0] == nil && k.nullsFirst:
		further = condition{sql: e + " IS NOT NULL"}
	case values[0] == nil:
		further = condition{sql: "FALSE"}
	case k.nullable() && !k.nullsFirst:
		further = condition{"(" + e + " " + op + " ? OR " + e + " IS NULL)", []any{values[0]}}
	}
	same := condition{e + " IS ?", []any{values[0]}}
	return joinConditions([]condition{further, joinConditions([]condition{same, afterRow(order[1:], values[1:])}, "AND")}, "OR")
}

// get answers one record.
func (c *request) get(t *Tx) (any, error) {
	a := c.action
	in := c.castInput(t.e.atoms)
	if fs := renderErrors(in.lastFirst(), (*Violation).asQuery); len(fs) > 0 {
		return nil, fs
	}
	where, args := `t."id" = ?`, []any{in.values["id"]}
	if a.Scope != nil {
		where, args = a.Scope(t, in.values)
	}
	x := c.fields.renderer(t.e)
	rows, err := t.queryRows(a.Resource, x.columns, nil, where+" LIMIT 1", args)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fail(notFound("record not found"))
	}
	return x.append(nil, t, rows[0])
}
