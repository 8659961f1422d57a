package ash

import (
	"slices"
	"strings"
)

// list performs a list action. It returns a plain array or a page.
func (rq *request) list(t *Tx) (any, error) {
	a, r := rq.action, rq.action.Resource
	in := rq.castInput(t.engine.atoms)
	// Ash reports all of these: the page, the sort, the filter, then the input from last to first.
	var found Errors
	collect := func(err error) error {
		errs, ok := err.(Errors)
		if err != nil && !ok {
			return err
		}
		found = append(found, errs...)
		return nil
	}
	pg, err := parsePage(rq.page, a.Page, t.engine.atoms)
	if err := collect(err); err != nil {
		return nil, err
	}
	keys, err := parseSort(rq.sort, r)
	if err := collect(err); err != nil {
		return nil, err
	}
	compiler := &filterCompiler{engine: t.engine}
	where, err := compiler.compile(rq.filter, r, "t", 0)
	if err := collect(err); err != nil {
		return nil, err
	}
	found = append(found, renderErrors(in.lastFirst(), (*Violation).asQuery)...)
	if len(found) > 0 {
		return nil, found
	}
	if pg != nil {
		return rq.paged(t, pg, keys, where, compiler.late)
	}
	if compiler.late != nil {
		return nil, fail(compiler.late)
	}
	order := make([]string, 0, len(keys)+1)
	for _, k := range keys {
		order = append(order, k.sql("t"))
	}
	order = append(order, `t."seq"`)
	x := rq.fields.renderer(t.engine)
	rows, err := t.queryRows(r, x.columns, nil, where.sql+" ORDER BY "+strings.Join(order, ", "), where.args)
	if err != nil {
		return nil, err
	}
	return x.list(t, rows)
}

// paged returns one page. To see whether more rows follow, it reads one row more than the page has.
// If the limit is above the maximum, the backend returns that additional row too.
func (rq *request) paged(t *Tx, pg *page, keys []sortKey, where condition, late *Error) (any, error) {
	a, r := rq.action, rq.action.Resource
	sig := signature(keys)
	order := slices.Clone(keys)
	if !slices.ContainsFunc(keys, func(k sortKey) bool { return k.attr.Name == "id" }) {
		order = append(order, sortKey{attr: r.byName["id"]})
	}
	backwards := pg.before != nil // if both are given, before wins
	if backwards {
		for i, k := range order {
			order[i] = k.reversed()
		}
	}
	var from []any // the row to continue from: its values of the order's keys
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
	x := rq.fields.renderer(t.engine)
	rows, err := rq.window(t, x.columns, order, from, where, min(pg.limit, most)+1, pg.offset)
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

// window returns the columns of up to limit rows in the order, followed by the order's keys. It
// starts after the row from, or at the beginning if from is nil.
//
// Rows that have the order's first key, and rows in which it is null, are read by separate queries.
// An index on the key then serves both, and late pages cost no more than early ones.
func (rq *request) window(t *Tx, columns []*Attribute, order []sortKey, from []any, where condition, limit, offset int) ([][]any, error) {
	terms, extra := make([]string, len(order)), make([]string, len(order))
	for i, k := range order {
		extra[i], terms[i] = k.attr.sortable("t"), k.sql("t")
	}
	parts := []condition{always}
	if offset == 0 {
		parts = splitAtNulls(order, from)
		terms[0] = strings.TrimSuffix(strings.TrimSuffix(terms[0], " NULLS FIRST"), " NULLS LAST")
	}
	var rows [][]any
	for _, part := range parts {
		part = joinConditions([]condition{where, part}, "AND")
		some, err := t.queryRows(rq.action.Resource, columns, extra, part.sql+" ORDER BY "+strings.Join(terms, ", ")+" LIMIT ? OFFSET ?",
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

// splitAtNulls returns conditions that together select the rows after the row from, in order. Each
// selects a range of an index on the order's first key.
func splitAtNulls(order []sortKey, from []any) []condition {
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
		// The second condition implies the first, but the index can only use the first.
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

// afterRow returns the condition that a row sorts after the values in the order.
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

// get performs a get action.
func (rq *request) get(t *Tx) (any, error) {
	a := rq.action
	in := rq.castInput(t.engine.atoms)
	if errs := renderErrors(in.lastFirst(), (*Violation).asQuery); len(errs) > 0 {
		return nil, errs
	}
	where, args := `t."id" = ?`, []any{in.values["id"]}
	if a.Scope != nil {
		where, args = a.Scope(t, in.values)
	}
	x := rq.fields.renderer(t.engine)
	rows, err := t.queryRows(a.Resource, x.columns, nil, where+" LIMIT 1", args)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fail(notFound("record not found"))
	}
	return x.append(nil, t, rows[0])
}
