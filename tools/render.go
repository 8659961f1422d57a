package tools

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// completed is a call that ran: what its answer is rendered from.
type completed struct {
	payload *schemas.Payload
	result  policy.Result
	list    *listing // nil for an action that is no list
	notes   []string
	// command is the line with which a person runs the call once more; empty without one.
	command string
	asOf    time.Time
}

// completed renders the answer of a call that ran.
func (w *renderer) completed(c completed) Result {
	a, notes := c.result, c.notes
	w.put(`{"outcome":"` + string(a.Outcome()) + `"`)
	if a.Previous != nil {
		w.member("intent", a.Previous.ID)
		w.member("ranAt", a.Previous.Settled.UTC().Format(time.RFC3339))
		notes = append(notes, recordedNote(a, c.command))
	}
	if a.Approval.ID != "" {
		w.member("approvedBy", approval.PersonName(a.Approval.By))
		w.member("ranAt", a.Settled.UTC().Format(time.RFC3339))
	}
	if c.payload.Action.Class == schemas.Credential {
		notes = append(notes, handoverNote(a.HandoverUntil))
	}
	if a.Dropped != "" && a.Err == nil && a.Previous == nil {
		notes = append(notes, a.Dropped)
	}
	if c.list != nil {
		notes = w.list(c.payload, *c.list, c.asOf, notes)
	} else {
		notes = w.single(c.payload, a.Data, notes)
	}
	if len(notes) > 0 {
		w.member("notes", notes)
	}
	res := w.end(a.Outcome())
	fields, _ := c.payload.Args["fields"].([]any)
	for _, f := range fields {
		if name, ok := f.(string); ok {
			res.Fields = append(res.Fields, name)
		}
	}
	return res
}

// recordedNote says that the answer is a previous run's, and how to run the call once more.
func recordedNote(a policy.Result, command string) string {
	note := "the same call ran a moment ago and was not run again; this is its result"
	if a.Previous.Result == nil {
		note = "the same call ran a moment ago and was not run again; its result is not stored"
	}
	if command == "" {
		return note + ". If the person wants it twice, they can do it in Sippet itself"
	}
	return note + ". If the person wants it twice, they can run it in a terminal, which asks them first: " + command
}

// handoverNote says who gets a credential that was issued.
func handoverNote(until time.Time) string {
	if until.IsZero() {
		return "issued, handed over: the approver has taken it, or it has expired; nobody else can see it"
	}
	return fmt.Sprintf("issued, handed over: the approver can take it in the inbox once, until %s; nobody else can see it",
		until.UTC().Format(time.RFC3339))
}

// single renders one record, or the map of a generic action.
func (w *renderer) single(p *schemas.Payload, data []byte, notes []string) []string {
	w.put(`,"result":`)
	if !w.fit(data, p.Action.Resource, "result") {
		w.put("null")
		return append(notes, fmt.Sprintf("the result has %d bytes, which is too long for an answer; ask for fewer fields", len(data)))
	}
	return w.noteCut(notes)
}

// list renders a list in its one shape: results, hasMore, next, asOf, and what was left out.
func (w *renderer) list(p *schemas.Payload, l listing, asOf time.Time, notes []string) []string {
	w.put(`,"results":[`)
	w.rows(l.rows, p.Action.Resource)
	w.put("]")
	w.put(`,"hasMore":` + strconv.FormatBool(l.more))
	next := l.next
	if next != nil {
		// It repeats the caller's arguments, which may be long.
		if raw := encode(next); len(raw) <= max(w.maxBytes/4, 2000) {
			w.put(`,"next":`)
			w.putRaw(raw)
		} else {
			next = nil
			notes = append(notes, "there are more rows, but the arguments are too long to repeat in next; use a shorter filter")
		}
	}
	if l.count != nil {
		w.put(`,"count":`)
		w.putRaw(l.count)
	}
	w.member("asOf", asOf.UTC().Format(time.RFC3339))
	if l.omitted > 0 {
		w.member("omitted", l.omitted)
		notes = append(notes, omittedNote(p, l.omitted, l.shown, next != nil))
	}
	notes = w.noteCut(notes)
	if l.excess {
		notes = append(notes, "Sippet sent more rows than were asked for, so hasMore may be wrong; continue with next")
	}
	if pageLimit(p) == schemas.MaxLimit && l.total < schemas.MaxLimit && !l.hasMore && l.paged {
		notes = append(notes, "Sippet may shorten pages of this size without saying so; use a smaller limit to be sure")
	}
	return notes
}

// fitting returns how many of the rows an answer holds.
func (w *renderer) fitting(rows [][]byte, res *schemas.Resource) int {
	most := len(rows)
	for _, row := range rows {
		most += longest(row)
	}
	if len(rows) <= w.maxRows && most <= w.maxBytes {
		return len(rows)
	}
	m := w.mark()
	defer w.reset(m)
	return w.rows(rows, res)
}

// rows writes as many rows as both bounds allow, and returns their number.
func (w *renderer) rows(rows [][]byte, res *schemas.Resource) int {
	begin, shown := len(w.fenced), 0
	for _, row := range rows {
		if shown == w.maxRows {
			break
		}
		m := w.mark()
		if shown > 0 {
			w.limit = begin + w.maxBytes
			w.put(",")
			w.record(row, res, "results[]")
			w.limit = 0
			if w.over || len(w.fenced)-begin > w.maxBytes {
				w.reset(m)
				break
			}
		} else if !w.fit(row, res, "results[]") {
			break
		}
		shown++
	}
	return shown
}

// textBounds are tried in turn if a single record is too long: its texts become ever shorter.
var textBounds = []int{0, 8000, 2000, 400, 80}

// fit writes a record if it fits into an answer of its own. It reports whether it did.
func (w *renderer) fit(v []byte, res *schemas.Resource, base string) bool {
	m := w.mark()
	bounds := textBounds
	if len(v) > 20*w.maxBytes {
		bounds = bounds[len(bounds)-1:] // the others cannot be enough
	}
	defer func() { w.maxText, w.limit, w.deep = 0, 0, 0 }()
	for _, n := range bounds {
		w.maxText, w.limit, w.deep = n, m.fenced+w.maxBytes, 0
		w.record(v, res, base)
		if len(w.fenced)-m.fenced <= w.maxBytes && !w.over {
			return true
		}
		w.reset(m)
	}
	return false
}

// noteCut adds a note if texts were cut.
func (w *renderer) noteCut(notes []string) []string {
	if w.cut == 0 {
		return notes
	}
	return append(notes, fmt.Sprintf("%d long texts were cut so that the answer fits", w.cut))
}

// omittedNote says that rows were left out, and how to get them.
func omittedNote(p *schemas.Payload, omitted, shown int, next bool) string {
	s := fmt.Sprintf("%d rows were left out because the answer would be too long: ", omitted)
	switch {
	case shown == 0:
		return s + "a single row is too long for an answer, so ask for fewer fields"
	case next:
		s += "continue with next, or "
	}
	if p.Action.Paged() {
		return s + "ask for fewer fields, a narrower filter or a smaller page"
	}
	return s + "filter for a shorter time by " + p.Action.Resource.TimeField + ", or ask for fewer fields"
}
