package ash

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// maxLimit is the largest page of an action that does not set one.
const maxLimit = 250

// sortKey is one key of a sort order.
type sortKey struct {
	attr       *Attribute
	descending bool
	nullsFirst bool
}

func (k sortKey) sql(alias string) string {
	dir, nulls := " ASC", " NULLS LAST"
	if k.descending {
		dir = " DESC"
	}
	if k.nullsFirst {
		nulls = " NULLS FIRST"
	}
	if !k.nullable() { // with the clause, SQLite would not use an index
		nulls = ""
	}
	return k.attr.sortable(alias) + dir + nulls
}

func (k sortKey) nullable() bool { return !k.attr.Required }

// reversed returns the key of the opposite order.
func (k sortKey) reversed() sortKey {
	k.descending, k.nullsFirst = !k.descending, !k.nullsFirst
	return k
}

// parseSort parses a sort string: names separated by commas, each with an optional direction:
//
//	name, +name  ascending, nulls last
//	++name       ascending, nulls first
//	-name        descending, nulls first
//	--name       descending, nulls last
func parseSort(v any, r *Resource) ([]sortKey, error) {
	if v == nil {
		return nil, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, ErrCrash
	}
	var keys []sortKey
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		var k sortKey
		switch {
		case strings.HasPrefix(part, "++"):
			part, k.nullsFirst = part[2:], true
		case strings.HasPrefix(part, "--"):
			part, k.descending = part[2:], true
		case strings.HasPrefix(part, "+"):
			part = part[1:]
		case strings.HasPrefix(part, "-"):
			part, k.descending, k.nullsFirst = part[1:], true, true
		}
		k.attr = r.publicAttribute(part)
		if k.attr == nil || k.attr.Compute != nil {
			return nil, fail(internalError("sort"))
		}
		if !seen[k.attr.Name] {
			keys = append(keys, k)
		}
		seen[k.attr.Name] = true
	}
	return keys, nil
}

// signature returns a text for an order. Cursors contain it, so that they fit no other order.
func signature(keys []sortKey) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(map[bool]string{false: "+", true: "-"}[k.descending])
		b.WriteString(map[bool]string{false: "l", true: "f"}[k.nullsFirst])
		b.WriteString(k.attr.Name)
	}
	return b.String()
}

// page is a request's page option, checked.
type page struct {
	limit         int
	offset        int
	hasOffset     bool
	count         bool
	after, before *string
}

// parsePage checks a page option and sets its defaults. A nil page means to return everything as a
// plain array.
func parsePage(v any, p *Paging, known atoms) (*page, error) {
	m, _ := v.(map[string]any)
	if p == nil {
		if v != nil {
			return nil, fail(internalError())
		}
		return nil, nil
	}
	if v == nil && !p.Required {
		return nil, nil
	}
	out := &page{limit: p.Default, count: p.Count}
	invalid := func() (*page, error) {
		return nil, fail(&Error{Type: "invalid_page", Message: inspect(v, known) + " is not a valid page option",
			ShortMessage: "Invalid pagination", Path: []any{"page"}})
	}
	for _, key := range sortedKeys(m) {
		var ok bool
		switch x := m[key]; snake(key) {
		case "limit":
			out.limit, ok = smallInt(x)
			ok = ok && out.limit > 0
		case "offset":
			out.offset, ok = smallInt(x)
			out.hasOffset = true
		case "count":
			out.count, ok = x.(bool)
		case "after":
			out.after, ok = cursorText(x)
		case "before":
			out.before, ok = cursorText(x)
		default:
			ok = false
		}
		if !ok {
			return invalid()
		}
	}
	if out.hasOffset && (out.after != nil || out.before != nil) {
		return invalid()
	}
	if out.limit == 0 {
		if p.Required {
			out.limit = maxLimit
			return out, nil
		}
		return nil, nil
	}
	return out, nil
}

func smallInt(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return int(i), err == nil && i >= 0 && i < 1<<53
}

func cursorText(v any) (*string, bool) {
	s, ok := v.(string)
	return &s, ok
}

// encodeCursor returns the cursor of a row: the signature of its order, its values of the order's
// keys, and its id. A cursor stays valid if rows are inserted or deleted, its own row included.
func encodeCursor(sig string, values []any) string {
	b, err := json.Marshal(append([]any{sig}, values...))
	if err != nil {
		panic("ash: stored values do not encode: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Cursor returns the cursor of a row in the order in which sort sorts a list action. The values are
// those of the sort's keys in the row, followed by its id.
func (e *Engine) Cursor(action, sort string, values []any) (string, error) {
	a := e.actions[action]
	if a == nil || a.Type != ListAction {
		return "", fmt.Errorf("cursor: %q is not a list action", action)
	}
	var keys []sortKey
	if sort != "" {
		var err error
		if keys, err = parseSort(sort, a.Resource); err != nil {
			return "", fmt.Errorf("cursor: sort %q: %w", sort, err)
		}
	}
	if len(values) != len(keys)+1 {
		return "", fmt.Errorf("cursor: %d values for the %d keys of sort %q and the id", len(values), len(keys), sort)
	}
	return encodeCursor(signature(keys), values), nil
}

// decodeCursor returns the values in a cursor of an order of n keys and the id. The backend's error
// for a malformed cursor differs from that for a cursor of another order.
func decodeCursor(a *Action, side, cursor, sig string, n int) ([]any, error) {
	keyset := func(what string) error {
		return fail(&Error{Type: "invalid_keyset", ShortMessage: "Invalid keyset",
			Message: breadCrumbs(a) + "Invalid value provided as a keyset" + what + ": " + inspectString(cursor)})
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, keyset(" for " + side)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	var values []any
	if err := dec.Decode(&values); err != nil || len(values) == 0 {
		return nil, keyset(" for " + side)
	}
	if got, ok := values[0].(string); !ok || got != sig || len(values) != n+2 {
		return nil, keyset("")
	}
	for i, v := range values {
		switch v := v.(type) {
		case json.Number:
			if x, err := v.Int64(); err == nil {
				values[i] = x
			} else if x, err := v.Float64(); err == nil {
				values[i] = x
			}
		case []any, map[string]any, bool:
			return nil, keyset(" for " + side)
		}
	}
	return values[1:], nil
}
