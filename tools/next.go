package tools

import (
	"encoding/json"
	"maps"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// arguments returns the call's arguments with one of them replaced.
func arguments(p *schemas.Payload, key string, value any) map[string]any {
	args := maps.Clone(p.Args)
	delete(args, "action")
	if p.DefaultFields {
		delete(args, "fields")
	}
	args[key] = value
	return args
}

// nextPage returns the arguments that continue after a whole page; nil without a cursor.
func nextPage(p *schemas.Payload, pg page) map[string]any {
	asked, _ := p.Args["page"].(map[string]any)
	next := map[string]any{"limit": asked["limit"]}
	switch {
	case pg.kind == "offset":
		n, _ := asked["offset"].(json.Number)
		offset, _ := n.Int64()
		next["offset"] = offset + int64(len(pg.rows))
		if c, ok := asked["count"]; ok {
			next["count"] = c
		}
	case backwards(p) && pg.previous != "":
		next["before"] = pg.previous
	case pg.next != "":
		next["after"] = pg.next
	default:
		return nil
	}
	return arguments(p, "page", next)
}

// nextInTime returns the arguments that continue a list without pages that is sorted newest first.
// They ask for rows up to the time of the last row shown, which is then the first. It returns nil
// if the times cannot tell the rows apart.
func nextInTime(p *schemas.Payload, pg page, shown int) map[string]any {
	field := p.Action.Resource.TimeField
	if shown == 0 || p.Args["sort"] != "-"+field {
		return nil
	}
	first, last := timeOf(pg.rows[0], field), timeOf(pg.rows[shown-1], field)
	if last == "" || first == last {
		return nil
	}
	until := map[string]any{field: map[string]any{"lessThanOrEqual": last}}
	filter := p.Args["filter"]
	// The filter of an earlier next is replaced, so that filters do not nest deeper with each page.
	if m, ok := filter.(map[string]any); ok && len(m) == 1 {
		if and, ok := m["and"].([]any); ok && len(and) == 2 && isUntil(and[1], field) {
			filter = and[0]
		}
	}
	if filter == nil {
		return arguments(p, "filter", until)
	}
	return arguments(p, "filter", map[string]any{"and": []any{filter, until}})
}

// isUntil reports whether a filter bounds the time field above and does nothing else.
func isUntil(v any, field string) bool {
	m, _ := v.(map[string]any)
	op, _ := m[field].(map[string]any)
	_, ok := op["lessThanOrEqual"]
	return ok && len(m) == 1 && len(op) == 1
}

// timeOf returns the row's time; empty without one.
func timeOf(row []byte, field string) (at string) {
	schemas.EachJSON(row, func(k, v []byte) {
		if v[0] == '"' && schemas.DecodeString(k) == field && timeShape.matches(v[1:len(v)-1]) {
			at = string(v[1 : len(v)-1])
		}
	})
	return at
}
