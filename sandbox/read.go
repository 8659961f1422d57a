package sandbox

import (
	"slices"
	"strings"
)

// list answers a list action: a plain array, or a page.
func (c *request) list(t *turn) (any, error) {
	a, r := c.action, c.action.Resource
	in := c.castInput(t.e.atoms)
	// Ash collects these in turn and shows the last one first.
	var found failures
	collect := func(err error) error {
		fs, ok := err.(failures)
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
	found = append(found, present(in.asQuery(), (*fault).asQuery)...)
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
	recs, _, err := t.query(r, c.fields.columns(), nil, where.sql+" ORDER BY "+strings.Join(order, ", "), where.args)
	if err != nil {
		return nil, err
	}
	return c.fields.renderAll(t, recs)
}

// asQuery gives the faults in the order in which a read reports them.
func (r *castResult) asQuery() []*fault {
	all := r.inOrder()
	slices.Reverse(all)
	return all
}

func (s *selection) renderAll(t *turn, recs []record) ([]any, error) {
	out := make([]any, 0, len(recs))
	for _, rec := range recs {
		m, err := s.render(t, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// paged answers one page. A limit above the maximum is not refused: one row
// more than the maximum is read, as ever, to see whether there is more, and
// all of them are answered.
func (c *request) paged(t *turn, pg *page, keys []sortKey, where condition, late *failure) (any, error) {
	a, r := c.action, c.action.Resource
	sig := signature(keys)
	order := keys
	if !slices.ContainsFunc(keys, func(k sortKey) bool { return k.attr.Name == "id" }) {
		order = append(slices.Clone(keys), sortKey{attr: r.byName["id"]})
	}
	backwards := pg.before != nil // wins over after
	all := where
	for side, cursor := range map[string]*string{"after": pg.after, "before": pg.before} {
		if cursor == nil {
			continue
		}
		values, err := decodeCursor(a, side, *cursor, sig, len(order)-1)
		if err != nil {
			return nil, err
		}
		if backwards == (side == "before") {
			where = joinConditions([]condition{where, beyond(order, values, backwards)}, "AND")
		}
	}
	if late != nil {
		return nil, fail(late)
	}
	most := a.Page.Max
	if most == 0 {
		most = maxLimit
	}
	terms, extra := make([]string, len(order)), make([]string, len(order))
	for i, k := range order {
		extra[i] = k.attr.comparable("t")
		if backwards {
			k.descending, k.nullsFirst = !k.descending, !k.nullsFirst
		}
		terms[i] = k.sql("t")
	}
	recs, cursors, err := t.query(r, c.fields.columns(), extra,
		where.sql+" ORDER BY "+strings.Join(terms, ", ")+" LIMIT ? OFFSET ?",
		append(slices.Clone(where.args), min(pg.limit, most)+1, pg.offset))
	if err != nil {
		return nil, err
	}
	more := len(recs) > pg.limit
	if more {
		recs, cursors = recs[:pg.limit], cursors[:pg.limit]
	}
	if backwards {
		slices.Reverse(recs)
		slices.Reverse(cursors)
	}
	results, err := c.fields.renderAll(t, recs)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"results": results, "hasMore": more, "limit": pg.limit, "count": nil}
	if pg.count {
		if out["count"], err = t.count(r, all.sql, all.args...); err != nil {
			return nil, err
		}
	}
	if pg.hasOffset {
		out["type"], out["offset"] = "offset", pg.offset
		return out, nil
	}
	out["type"], out["after"], out["before"] = "keyset", pg.after, pg.before
	out["previousPage"], out["nextPage"] = nil, nil
	if n := len(cursors); n > 0 {
		out["previousPage"], out["nextPage"] = encodeCursor(sig, cursors[0]), encodeCursor(sig, cursors[n-1])
	}
	return out, nil
}

// beyond is the condition that a row comes after the values in the order, or
// before them.
func beyond(order []sortKey, values []any, backwards bool) condition {
	var parts []condition
	var same condition // equal on all keys so far
	for i, k := range order {
		descending, nullsFirst := k.descending != backwards, k.nullsFirst != backwards
		e, op := k.attr.comparable("t"), ">"
		if descending {
			op = "<"
		}
		var further condition
		switch {
		case values[i] == nil && nullsFirst:
			further = condition{sql: e + " IS NOT NULL"}
		case values[i] == nil:
			further = condition{sql: "FALSE"}
		case nullsFirst || k.attr.Name == "id":
			further = condition{e + " " + op + " ?", []any{values[i]}}
		default:
			further = condition{"(" + e + " " + op + " ? OR " + e + " IS NULL)", []any{values[i]}}
		}
		if i > 0 {
			further = joinConditions([]condition{same, further}, "AND")
		}
		parts = append(parts, further)
		equal := condition{e + " IS ?", []any{values[i]}}
		if i == 0 {
			same = equal
		} else {
			same = joinConditions([]condition{same, equal}, "AND")
		}
	}
	return joinConditions(parts, "OR")
}

// get answers one record.
func (c *request) get(t *turn) (any, error) {
	a := c.action
	in := c.castInput(t.e.atoms)
	if fs := present(in.asQuery(), (*fault).asQuery); len(fs) > 0 {
		return nil, fs
	}
	where, args := `t."id" = ?`, []any{in.values["id"]}
	if a.Scope != nil {
		where, args = a.Scope(t, in.values)
	}
	recs, _, err := t.query(a.Resource, c.fields.columns(), nil, where+" LIMIT 1", args)
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return nil, fail(notFound("record not found"))
	}
	return c.fields.render(t, recs[0])
}
