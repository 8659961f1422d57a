package tools

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// page is Sippet's answer to a list, in whichever of its shapes.
type page struct {
	rows     [][]byte // at most as many as the parser was asked to keep
	total    int      // how many there were
	paged    bool
	kind     string // keyset or offset
	hasMore  bool
	next     string // the cursor after the last row; empty without one
	previous string // the cursor before the first row; empty without one
	count    []byte // as Sippet sent it; nil without one
}

// parsePage parses a list's answer: an array, a page of either kind, or null. Anything else becomes
// a list of that one value. At most keep rows are kept.
func parsePage(data []byte, keep int) (pg page) {
	row := func(_, v []byte) {
		if pg.total++; pg.total <= keep {
			pg.rows = append(pg.rows, v)
		}
	}
	switch data[0] {
	case '[':
		schemas.EachJSON(data, row)
		return pg
	case 'n':
		return pg
	case '{':
		var results []byte
		schemas.EachJSON(data, func(k, v []byte) {
			switch string(k) {
			case `"results"`:
				results = v
			case `"hasMore"`:
				pg.hasMore = string(v) == "true"
			case `"type"`:
				pg.kind = schemas.DecodeString(v)
			case `"nextPage"`:
				pg.next = parseCursor(v)
			case `"previousPage"`:
				pg.previous = parseCursor(v)
			case `"count"`:
				if number.matches(v) {
					pg.count = v
				}
			}
		})
		if results != nil && results[0] == '[' {
			pg.paged = true
			schemas.EachJSON(results, row)
			return pg
		}
	}
	row(nil, data)
	return pg
}

// maxCursor is more than a cursor over any sort needs.
const maxCursor = 4 << 10

// parseCursor returns an opaque cursor; empty if it is invalid. The answer repeats it outside of
// the fences, in next, so it must be one word of printable ASCII.
func parseCursor(v []byte) string {
	s := schemas.DecodeString(v)
	if len(s) > maxCursor || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '[' }) {
		return ""
	}
	return s
}

// listing is what an answer shows of a list.
type listing struct {
	page
	shown   int            // how many of the rows fit
	omitted int            // how many rows of the first page do not
	more    bool           // whether there are further rows
	excess  bool           // whether Sippet sent more rows than the page's limit
	next    map[string]any // the arguments of the call that continues; nil without one
}

// readList decides which rows an answer shows, and how to continue. A page that does not fit is
// read again, at the length that does, because a cursor belongs to the end of its page.
func (r *Runner) readList(ctx context.Context, q Request, p *schemas.Payload, a policy.Result, w *renderer) listing {
	res, keep := p.Action.Resource, w.maxRows+1
	l := listing{page: parsePage(a.Data, keep)}
	sent := l.total
	l.shown = w.fitting(l.rows, res)
	shorter := func() (page, bool) {
		if a.Verdict.Decision > rules.Validate || len(a.Verdict.Debits) > 0 {
			return page{}, false // a person would be asked for a cursor, or a budget charged
		}
		return r.readShorter(ctx, q, p, l.shown, keep)
	}
	back := backwards(p)
	// The last rows of a page before a cursor are the next ones to the cursor. If they were left
	// out no later page would have them.
	for back && l.paged && l.shown > 0 && l.shown < l.total {
		short, ok := shorter()
		if !ok || short.total >= l.total {
			break
		}
		l.page = short
		l.shown = w.fitting(l.rows, res)
	}
	l.omitted = sent - l.shown
	limit := pageLimit(p)
	l.excess = l.paged && limit > 0 && int64(l.total) > limit
	l.more = l.hasMore || l.omitted > 0 || l.excess
	switch cut := l.omitted > 0 || l.excess; {
	case !l.more:
	case !l.paged:
		if !w.hidden[res.TimeField] { // a filter by a hidden time is rejected
			l.next = nextInTime(p, l.page, l.shown)
		}
	case !cut, back && l.shown > 0 && l.shown == l.total:
		l.next = nextPage(p, l.page)
	case l.shown == 0:
	case l.kind == "offset":
		l.next = nextPage(p, page{kind: l.kind, rows: l.rows[:l.shown]})
	case back:
		// The cursor before rows that are not shown would skip them.
	default:
		if short, ok := shorter(); ok {
			l.next = nextPage(p, short)
		}
	}
	return l
}

// shows returns how many rows of an answer its reader is shown, as readList decides; negative for
// all. Which rows of a page before a cursor they are is known only later.
func (r *Runner) shows(q Request, p *schemas.Payload, data json.RawMessage) int {
	if !p.Action.List() || backwards(p) || len(data) == 0 {
		return -1
	}
	w := r.newRenderer(len(data))
	w.hidden = r.Gate.Hidden(q.Caller, p.Action)
	return w.fitting(parsePage(data, w.maxRows+1).rows, p.Action.Resource)
}

// readShorter reads the page of p again with n rows at most. A budget of reading has counted the people
// in them.
func (r *Runner) readShorter(ctx context.Context, q Request, p *schemas.Payload, n, keep int) (page, bool) {
	limited, _ := p.Args["page"].(map[string]any)
	limited = maps.Clone(limited)
	limited["limit"] = json.Number(strconv.Itoa(n))
	again, err := p.Action.Check(encode(arguments(p, "page", limited)), r.limits(q, p.Action))
	if err != nil {
		return page{}, false
	}
	a := r.Gate.Do(ctx, policy.Call{Caller: q.Caller, Payload: again})
	if a.Err != nil {
		return page{}, false
	}
	return parsePage(a.Data, keep), true
}

// pageLimit returns the limit of the page that was asked for; 0 without one.
func pageLimit(p *schemas.Payload) int64 {
	pg, _ := p.Args["page"].(map[string]any)
	n, _ := pg["limit"].(json.Number)
	v, _ := n.Int64()
	return v
}

// backwards reports whether the call asks for the page before a cursor.
func backwards(p *schemas.Payload) bool {
	pg, _ := p.Args["page"].(map[string]any)
	_, back := pg["before"]
	return back
}
