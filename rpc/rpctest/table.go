package rpctest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Table is a list with real pages: it filters and sorts by time, and returns keyset and offset
// pages with cursors. Its Answer method is a Handler.
type Table struct {
	mu   sync.Mutex
	time string
	rows []map[string]any
}

// NewTable returns a table of rows. The field time of each is an RFC 3339 time, all of the same
// length.
func NewTable(time string, rows ...map[string]any) *Table { return &Table{time: time, rows: rows} }

// Answer answers a list request from the rows.
func (t *Table) Answer(r Request) Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p payload
	if err := json.Unmarshal(r.Body, &p); err != nil {
		return Answer{Body: `{"success":false,"errors":[{"type":"unknown_error","message":"not readable"}]}`}
	}
	var rows []map[string]any
	for _, row := range t.rows {
		if t.matches(row, p.Filter) {
			rows = append(rows, row)
		}
	}
	if down, ok := strings.CutPrefix(p.Sort, "-"); ok && down == t.time {
		slices.SortStableFunc(rows, func(a, b map[string]any) int { return strings.Compare(t.timeOf(b), t.timeOf(a)) })
	} else if p.Sort == t.time {
		slices.SortStableFunc(rows, func(a, b map[string]any) int { return strings.Compare(t.timeOf(a), t.timeOf(b)) })
	}
	all, first, end := len(rows), 0, len(rows)
	if p.Page != nil {
		switch {
		case p.Page.Offset != nil:
			first = *p.Page.Offset
		case p.Page.After != nil:
			first = cursorRow(*p.Page.After) + 1
		case p.Page.Before != nil:
			end = cursorRow(*p.Page.Before)
			first = max(0, end-p.Page.Limit)
		}
		first = min(first, all)
		end = min(end, first+p.Page.Limit)
	}
	var out []string
	for _, row := range rows[first:end] {
		out = append(out, project(row, p.Fields))
	}
	more := end < all
	if p.Page != nil && p.Page.Before != nil {
		more = first > 0
	}
	return Answer{Body: success(envelope(out, p.Page, first, more, all))}
}

func (t *Table) timeOf(row map[string]any) string { s, _ := row[t.time].(string); return s }

// matches reports whether a row matches a filter of and and comparisons, as this program makes
// them.
func (t *Table) matches(row map[string]any, filter map[string]any) bool {
	for k, v := range filter {
		if k == "and" {
			for _, f := range v.([]any) {
				if !t.matches(row, f.(map[string]any)) {
					return false
				}
			}
			continue
		}
		for op, want := range v.(map[string]any) {
			c := strings.Compare(fmt.Sprint(row[k]), fmt.Sprint(want))
			switch {
			case op == "eq" && c != 0, op == "greaterThanOrEqual" && c < 0, op == "greaterThan" && c <= 0,
				op == "lessThanOrEqual" && c > 0, op == "lessThan" && c >= 0:
				return false
			}
		}
	}
	return true
}

func project(row map[string]any, fields []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		v, _ := json.Marshal(row[f])
		b.WriteString(quote(f) + ":")
		b.Write(v)
	}
	return b.String() + "}"
}

func cursor(n int) string { return "g2wAAAABbQ" + strconv.Itoa(n) }

func cursorRow(cursor string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(cursor, "g2wAAAABbQ"))
	if err != nil {
		return -1
	}
	return n
}
