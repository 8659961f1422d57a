package ash

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// maxLimit is Ash's largest page where an action states none.
const maxLimit = 250

// sortKey is one key of an order.
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
	if !k.nullable() { // the clause would only keep SQLite from an index
		nulls = ""
	}
	return k.attr.sortable(alias) + dir + nulls
}

func (k sortKey) nullable() bool { return !k.attr.Required }

// reversed is the key of the opposite order.
func (k sortKey) reversed() sortKey {
	k.descending, k.nullsFirst = !k.descending, !k.nullsFirst
	return k
}

// parseSort reads a sort string: keys parted by commas, each with `-` or `+`
// for the direction, doubled to say where nulls go. As in PostgreSQL they are
// last ascending and first descending unless said.
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

// signature names an order in cursors, so that a cursor is refused under another.
func signature(keys []sortKey) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(map[bool]string{false: "+", true: "-"}[k.descending])
		b.WriteString(map[bool]string{false: "l", true: "f"}[k.nullsFirst])
		b.WriteString(k.attr.Name)
	}
	return b.String()
}

// page is a request's `page`, checked.
type page struct {
	limit         int
	offset        int
	hasOffset     bool
	count         bool
	after, before *string
}

// parsePage checks the page and fills its defaults; nil means that
// everything is answered as a plain array.
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
	bad := func() (*page, error) {
		return nil, fail(&Error{Type: "invalid_page", Message: inspect(v, known) + " is not a valid page option",
			ShortMessage: "Invalid pagination", Path: []any{"page"}})
	}
	for _, key := range sortedKeys(m) {
		ok := true
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
			return bad()
		}
	}
	if out.hasOffset && (out.after != nil || out.before != nil) {
		return bad()
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

// A cursor is the order's signature, the values of the sort keys in the row
// that it stands for, and that row's id. So it holds its place whatever is
// inserted or deleted around it.
func encodeCursor(sig string, values []any) string {
	b, err := json.Marshal(append([]any{sig}, values...))
	if err != nil {
		panic("ash: stored values do not encode: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Cursor returns the cursor of a row in the order that sort asks of a list action. The values
// are those of the sort's keys in the row, and then its id.
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

// decodeCursor gives the values of a cursor, or the failure: the two messages
// are the backend's for what is no cursor and for one of another order.
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
