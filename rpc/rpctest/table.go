package rpctest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Table is a list that really pages: it filters by time, sorts by time, cuts
// pages of both kinds and gives cursors that belong to a place. Its Answer is a Handler.
type Table struct {
	mu   sync.Mutex
	time string
	rows []map[string]any
}

// NewTable makes a table of rows, each with a text in the field time (RFC 3339, all of one length), by which they can be filtered and sorted.
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

// matches takes what this program's own filters are made of: and, and comparisons of the time.
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
