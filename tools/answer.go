package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// done shows what Sippet answered.
func (r *Runner) done(ctx context.Context, q Request, p *schemas.Payload, a policy.Result, notes []string) Result {
	w := r.newRenderer(len(a.Data))
	q.met, q.paid = a.Verdict.Decision, len(a.Verdict.Debits) > 0
	w.hidden = r.Gate.Hidden(q.Caller, p.Action)
	w.put(`{"outcome":"` + string(a.Outcome()) + `"`)
	if a.Previous != nil {
		notes = append(notes, r.recorded(w, q, a))
	}
	if a.Approval.ID != "" {
		w.own("approvedBy", approval.PersonName(a.Approval.By))
		w.own("ranAt", a.Settled.UTC().Format(time.RFC3339))
	}
	if p.Action.Class == schemas.Credential {
		notes = append(notes, handedOver(a.HandoverUntil))
	}
	if p.Action.List() {
		notes = r.list(ctx, q, p, a.Data, w, notes)
	} else {
		notes = r.single(p, a.Data, w, notes)
	}
	if len(notes) > 0 {
		w.own("notes", notes)
	}
	res := r.finish(w, a.Outcome())
	for _, f := range asList(p.Args["fields"]) {
		if name, ok := f.(string); ok {
			res.Fields = append(res.Fields, name)
		}
	}
	return res
}

// recorded says which earlier run the answer is from, and gives the note on how to run it once more.
func (r *Runner) recorded(w *renderer, q Request, a policy.Result) string {
	w.own("intent", a.Previous.ID)
	w.own("ranAt", a.Previous.Settled.UTC().Format(time.RFC3339))
	note := "the same call ran a moment ago, so it was not run again: this is what came of it"
	if a.Previous.Result == nil {
		note = "the same call ran a moment ago, so it was not run again; its answer was not kept"
	}
	note += ". If the person really wants it twice"
	if line := r.command(q, true); line != "" {
		return note + ", they can run it in a terminal, where they are asked: " + line
	}
	return note + ", they can do it in Sippet itself"
}

func asList(v any) []any { l, _ := v.([]any); return l }

// textBounds are tried in turn where a single record is too large: its texts are cut ever shorter.
var textBounds = []int{0, 8000, 2000, 400, 80}

// fit writes a record so that both outputs grow by at most room bytes; false where it cannot.
func fit(w *renderer, v []byte, res *schemas.Resource, base string, room int) bool {
	m := w.mark()
	bounds := textBounds
	if len(v) > 20*room {
		bounds = bounds[len(bounds)-1:] // no use in trying the others
	}
	defer func() { w.maxText, w.limit, w.deep = 0, 0, 0 }()
	for _, n := range bounds {
		w.maxText, w.limit, w.deep = n, m.fenced+room, 0
		w.record(v, res, base)
		if len(w.fenced)-m.fenced <= room && !w.over {
			return true
		}
		w.back(m)
	}
	return false
}

func cutNote(n int) string {
	return fmt.Sprintf("%d long texts were cut so that the answer fits", n)
}

// single shows one record, or the map of a generic action.
func (r *Runner) single(p *schemas.Payload, data []byte, w *renderer, notes []string) []string {
	w.put(`,"result":`)
	if !fit(w, data, p.Action.Resource, "result", r.bytes()) {
		w.put("null")
		return append(notes, fmt.Sprintf("the answer has %d bytes, more than fits; ask for fewer fields", len(data)))
	}
	if w.cut > 0 {
		notes = append(notes, cutNote(w.cut))
	}
	return notes
}

// envelope is what a list answers, whichever of its shapes Sippet chose.
type envelope struct {
	rows    [][]byte // as many as could be shown, and one more
	total   int      // how many there were
	paged   bool
	kind    string // keyset or offset
	hasMore bool
	limit   int64
	next    string // cursor after the last row
	before  string // cursor before the first row
	count   []byte // as it came; nil where nobody counted
}

// open reads a list's answer: a plain array, a page of either kind, or null.
// What is none of these is shown as a list of that one thing. Only keep rows are kept.
func open(data []byte, keep int) (e envelope) {
	row := func(_, v []byte) {
		if e.total++; e.total <= keep {
			e.rows = append(e.rows, v)
		}
	}
	switch data[0] {
	case '[':
		schemas.EachJSON(data, row)
		return e
	case 'n':
		return e
	case '{':
		var results []byte
		schemas.EachJSON(data, func(k, v []byte) {
			switch string(k) {
			case `"results"`:
				results = v
			case `"hasMore"`:
				e.hasMore = string(v) == "true"
			case `"limit"`:
				e.limit, _ = strconv.ParseInt(string(v), 10, 64)
			case `"type"`:
				e.kind = schemas.DecodeString(v)
			case `"nextPage"`:
				e.next = cursor(v)
			case `"previousPage"`:
				e.before = cursor(v)
			case `"count"`:
				if number.looks(v) {
					e.count = v
				}
			}
		})
		if results != nil && results[0] == '[' {
			e.paged = true
			schemas.EachJSON(results, row)
			return e
		}
	}
	row(nil, data)
	return e
}

// maxCursor is more than a cursor over any sort needs.
const maxCursor = 4 << 10

// cursor reads an opaque cursor. It is shown as our own, in next, so it must
// be one word of printable ASCII; what is not cannot be a cursor.
func cursor(v []byte) string {
	s := schemas.DecodeString(v)
	if len(s) > maxCursor || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '[' }) {
		return ""
	}
	return s
}

// list shows a list in the one shape: results, hasMore, next, asOf, and what was left out.
func (r *Runner) list(ctx context.Context, q Request, p *schemas.Payload, data []byte, w *renderer, notes []string) []string {
	e := open(data, r.rows()+1)
	begin, sent := w.mark(), e.total
	shown := r.rowsThatFit(p, e, w)
	back := backwards(p)
	// Going backwards, the rows at the end of a page are those next to the ones seen before: cut at its end, a page
	// would lose them for good. So it is fetched again at the length that fits.
	for back && e.paged && shown > 0 && shown < e.total {
		short, ok := r.shorter(ctx, q, p, shown)
		if !ok || short.total >= e.total {
			break
		}
		w.back(begin)
		e = short
		shown = r.rowsThatFit(p, e, w)
	}
	left := sent - shown
	w.put("]")

	limit := pageLimit(p)
	over := e.paged && limit > 0 && int64(e.total) > limit
	more := e.hasMore || left > 0 || over
	var next map[string]any
	switch {
	case !more:
	case !e.paged:
		if !w.hidden[p.Action.Resource.TimeField] { // it would tell the hidden time, and could not be used
			next = r.nextInTime(p, e, shown)
		}
	case back && shown > 0 && shown == e.total:
		next = nextPage(p, e)
	case left > 0 || over:
		next = r.nextAfterCut(ctx, q, p, e, shown)
	default:
		next = nextPage(p, e)
	}
	w.put(`,"hasMore":` + strconv.FormatBool(more))
	if next != nil {
		// It repeats the caller's own arguments, which may be long.
		if raw := encode(next); len(raw) <= max(r.bytes()/4, 2000) {
			w.put(`,"next":`)
			w.putRaw(raw)
		} else {
			next = nil
			notes = append(notes, "there is more, but your arguments are too long to repeat here; page on with a shorter filter")
		}
	}
	if e.count != nil {
		w.put(`,"count":`)
		w.putRaw(e.count)
	}
	w.own("asOf", r.Gate.Now().UTC().Format(time.RFC3339))
	if left > 0 {
		w.own("omitted", left)
		notes = append(notes, narrow(p, left, shown, next != nil))
	}
	if w.cut > 0 {
		notes = append(notes, cutNote(w.cut))
	}
	if over {
		notes = append(notes, "the server sent more rows than were asked for, so hasMore may be wrong; go on with next")
	}
	if limit == schemas.MaxLimit && e.total < schemas.MaxLimit && !e.hasMore && e.paged {
		notes = append(notes, "the server may cut pages of this size short without saying so; ask with a smaller limit to be sure")
	}
	return notes
}

// rowsThatFit writes rows up to both bounds and gives how many.
func (r *Runner) rowsThatFit(p *schemas.Payload, e envelope, w *renderer) int {
	w.put(`,"results":[`)
	begin, shown := len(w.fenced), 0
	for _, row := range e.rows {
		if shown == r.rows() {
			break
		}
		m := w.mark()
		if shown > 0 {
			w.limit = begin + r.bytes()
			w.put(",")
			w.record(row, p.Action.Resource, "results[]")
			w.limit = 0
			if w.over || len(w.fenced)-begin > r.bytes() {
				w.back(m)
				break
			}
		} else if !fit(w, row, p.Action.Resource, "results[]", r.bytes()) {
			break
		}
		shown++
	}
	return shown
}

func narrow(p *schemas.Payload, left, shown int, next bool) string {
	s := fmt.Sprintf("%d rows were left out because the answer would be too long: ", left)
	switch {
	case shown == 0:
		return s + "a single one is longer than an answer may be, so ask for fewer fields"
	case next:
		s += "go on with next, or "
	}
	if p.Action.Paged() {
		return s + "ask for fewer fields, a narrower filter or a smaller page"
	}
	return s + "filter for a shorter time by " + p.Action.Resource.TimeField + ", or ask for fewer fields"
}

func pageLimit(p *schemas.Payload) int64 {
	page, _ := p.Args["page"].(map[string]any)
	n, _ := page["limit"].(json.Number)
	v, _ := n.Int64()
	return v
}

// arguments are the call's arguments with one of them replaced: what next says.
func arguments(p *schemas.Payload, key string, value any) map[string]any {
	args := maps.Clone(p.Args)
	delete(args, "action")
	if p.DefaultFields {
		delete(args, "fields")
	}
	args[key] = value
	return args
}

// nextPage goes on where a whole page ended.
func nextPage(p *schemas.Payload, e envelope) map[string]any {
	page, _ := p.Args["page"].(map[string]any)
	next := map[string]any{"limit": page["limit"]}
	switch {
	case e.kind == "offset":
		next["offset"] = offset(page) + int64(len(e.rows))
		if c, ok := page["count"]; ok {
			next["count"] = c
		}
	case backwards(p) && e.before != "":
		next["before"] = e.before
	case e.next != "":
		next["after"] = e.next
	default:
		return nil
	}
	return arguments(p, "page", next)
}

func offset(page map[string]any) int64 {
	n, _ := page["offset"].(json.Number)
	v, _ := n.Int64()
	return v
}

// nextAfterCut goes on behind the last row that was shown. A cursor belongs to
// the end of its page, so a keyset page that was cut is asked for again at the
// length that fits, for its cursor alone.
func (r *Runner) nextAfterCut(ctx context.Context, q Request, p *schemas.Payload, e envelope, shown int) map[string]any {
	if shown == 0 {
		return nil
	}
	e.rows = e.rows[:shown]
	if e.kind == "offset" {
		return nextPage(p, e)
	}
	if backwards(p) {
		return nil // the cursor before rows that were not shown leads past them
	}
	short, ok := r.shorter(ctx, q, p, shown)
	if !ok {
		return nil
	}
	return nextPage(p, short)
}

// shorter fetches the page of p again with n rows at most.
func (r *Runner) shorter(ctx context.Context, q Request, p *schemas.Payload, n int) (envelope, bool) {
	if q.met > rules.Validate || q.paid {
		return envelope{}, false // a person would be asked for a cursor, or a budget charged
	}
	page, _ := p.Args["page"].(map[string]any)
	page = maps.Clone(page)
	page["limit"] = json.Number(strconv.Itoa(n))
	again, err := p.Action.Check(encode(arguments(p, "page", page)), r.limits(q, p.Action))
	if err != nil {
		return envelope{}, false
	}
	a := r.Gate.Do(ctx, policy.Call{Caller: q.Caller, Payload: again})
	if a.Err != nil {
		return envelope{}, false
	}
	return open(a.Data, r.rows()+1), true
}

// backwards reports whether the page is the one before a cursor.
func backwards(p *schemas.Payload) bool {
	page, _ := p.Args["page"].(map[string]any)
	_, back := page["before"]
	return back
}

// nextInTime goes on in a list without pages that is ordered newest first: up
// to the time of the last row shown, which comes again as the first.
func (r *Runner) nextInTime(p *schemas.Payload, e envelope, shown int) map[string]any {
	field := p.Action.Resource.TimeField
	if shown == 0 || p.Args["sort"] != "-"+field {
		return nil
	}
	first, last := timeOf(e.rows[0], field), timeOf(e.rows[shown-1], field)
	if last == "" || first == last {
		return nil
	}
	until := map[string]any{field: map[string]any{"lessThanOrEqual": last}}
	filter := p.Args["filter"]
	// A filter that an earlier next made is not nested once more.
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

func isUntil(v any, field string) bool {
	m, _ := v.(map[string]any)
	op, _ := m[field].(map[string]any)
	_, ok := op["lessThanOrEqual"]
	return ok && len(m) == 1 && len(op) == 1
}

func timeOf(row []byte, field string) (at string) {
	schemas.EachJSON(row, func(k, v []byte) {
		if v[0] == '"' && schemas.DecodeString(k) == field && timeShape.looks(v[1:len(v)-1]) {
			at = string(v[1 : len(v)-1])
		}
	})
	return at
}
