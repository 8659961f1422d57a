package tools_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// listAnswer is a list's structured content.
type listAnswer struct {
	Outcome string
	Results []map[string]any
	HasMore bool
	Next    json.RawMessage
	Count   *int
	AsOf    string
	Omitted int
	Notes   []string
}

func list(t *testing.T, p *peer, tool, args string) listAnswer {
	t.Helper()
	r := p.call(tool, args)
	checkShape(t, r)
	var a listAnswer
	if err := json.Unmarshal(r.Result.Structured, &a); err != nil || a.Outcome != "done" || a.Results == nil {
		t.Fatalf("%s %s: %v: %.1000s", tool, args, err, r.Frame)
	}
	if _, err := time.Parse(time.RFC3339, a.AsOf); err != nil {
		t.Errorf("asOf: %v", err)
	}
	if a.Omitted > 0 && !a.HasMore {
		t.Errorf("%d rows were left out, and hasMore is false", a.Omitted)
	}
	return a
}

func (a listAnswer) hasNote(text string) bool {
	for _, n := range a.Notes {
		if strings.Contains(n, text) {
			return true
		}
	}
	return false
}

// follow calls next until there is none, and returns the ids of each answer.
func follow(t *testing.T, p *peer, tool, args string) (pages [][]string) {
	t.Helper()
	for {
		a := list(t, p, tool, args)
		var ids []string
		for _, row := range a.Results {
			ids = append(ids, row["id"].(string))
		}
		pages = append(pages, ids)
		if a.HasMore != (a.Next != nil) {
			t.Fatalf("hasMore is %t and next %s, notes %q", a.HasMore, a.Next, a.Notes)
		}
		if !a.HasMore {
			return pages
		}
		if len(pages) > 200 {
			t.Fatalf("no end: %q", pages[len(pages)-2:])
		}
		args = string(a.Next)
	}
}

func flat(pages [][]string) (all []string) {
	for _, p := range pages {
		all = append(all, p...)
	}
	return all
}

// table returns n rows, newest last. together rows share a second. text is in each row.
func table(field string, n, together int, text string) *rpctest.Table {
	var rows []map[string]any
	for i := range n {
		at := noon.Add(-time.Hour + time.Duration(i/together)*time.Second).Format("2006-01-02T15:04:05.000000Z")
		rows = append(rows, map[string]any{"id": rpctest.ID(i), "fullName": text, "summary": text, "recordingUri": text, field: at})
	}
	return rpctest.NewTable(field, rows...)
}

func ids(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, rpctest.ID(i))
	}
	for i := from; i > to; i-- {
		out = append(out, rpctest.ID(i-1))
	}
	return out
}

// TestDefaultPage checks that a list gets a page of 25 rows, and fields without links to
// recordings.
func TestDefaultPage(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	list(t, p, "list_contacts", "{}")
	want := `run {"action":"list_contacts","fields":["id","fullName","email","phoneE164","defaultLanguage","deletedAt","erasedAt"],"page":{"limit":25}}`
	if d := cmp.Diff([]string{want}, lifecycle(w.up.Requests())); d != "" {
		t.Error(d)
	}
	w.up.Forget()
	if a := list(t, p, "list_contacts", `{"page":{"limit":200},"fields":["id"]}`); !a.hasNote("lowered from 200 to 100") {
		t.Errorf("%q", a.Notes)
	}
	if got := lifecycle(w.up.Requests()); !strings.Contains(got[0], `"page":{"limit":100}`) {
		t.Errorf("%q", got)
	}
}

// TestWindow checks that a list without pages returns the last 24 hours, newest first, with a note.
func TestWindow(t *testing.T) {
	w := newWorld(t, setup{now: func() time.Time { return noon }})
	p := w.httpPeer(t, true)
	for tool, field := range map[string]string{"list_calls": "startedAt", "list_call_classifications": "insertedAt",
		"list_email_classifications": "insertedAt", "list_conversation_events": "occurredAt", "list_call_ai_audit_events": "occurredAt"} {
		w.up.Forget()
		if a := list(t, p, tool, `{"fields":["id"]}`); !a.hasNote("last 24 hours by " + field) {
			t.Errorf("%s: %q", tool, a.Notes)
		}
		want := `run {"action":"` + tool + `","fields":["id"],"filter":{"` + field + `":{"greaterThanOrEqual":"2026-01-30T12:00:00.000000Z"}},"sort":"-` + field + `"}`
		if d := cmp.Diff([]string{want}, lifecycle(w.up.Requests())); d != "" {
			t.Errorf("%s: %s", tool, d)
		}
		// A caller's own filter remains as it is.
		w.up.Forget()
		filter := `{"` + field + `":{"lessThan":"2026-01-01T00:00:00Z"}}`
		if a := list(t, p, tool, `{"fields":["id"],"filter":`+filter+`}`); len(a.Notes) > 0 {
			t.Errorf("%s: %q", tool, a.Notes)
		}
		if d := cmp.Diff([]string{`run {"action":"` + tool + `","fields":["id"],"filter":` + filter + `}`}, lifecycle(w.up.Requests())); d != "" {
			t.Errorf("%s: %s", tool, d)
		}
	}
}

// TestFollowNext reads lists to their end with next: every row is there once, in order.
func TestFollowNext(t *testing.T) {
	long := strings.Repeat("a long name ", 30)
	for name, c := range map[string]struct {
		args  string
		bytes int
		text  string
		want  []string
		pages int // at least
	}{
		"keyset":                   {`{}`, 0, "x", ids(0, 137), 6},
		"keyset, own limit":        {`{"fields":["id"],"page":{"limit":10}}`, 0, "x", ids(0, 137), 14},
		"offset":                   {`{"page":{"limit":25,"offset":0}}`, 0, "x", ids(0, 137), 6},
		"offset from the middle":   {`{"page":{"limit":25,"offset":30}}`, 0, "x", ids(30, 137), 5},
		"offset with count":        {`{"page":{"limit":50,"count":true}}`, 0, "x", ids(0, 137), 3},
		"keyset, cut by bytes":     {`{}`, 2000, long, ids(0, 137), 28},
		"keyset, some cut":         {`{"page":{"limit":7}}`, 3000, long, ids(0, 137), 20},
		"offset, cut by bytes":     {`{"page":{"limit":25,"offset":0}}`, 2000, long, ids(0, 137), 28},
		"count, cut by bytes":      {`{"page":{"limit":25,"count":true}}`, 2000, long, ids(0, 137), 28},
		"limit above the bound":    {`{"page":{"limit":250},"fields":["id"]}`, 0, "x", ids(0, 137), 2},
		"one row an answer":        {`{"page":{"limit":3}}`, 500, long, ids(0, 137), 100},
		"after a cursor":           {`{"page":{"limit":25,"after":"g2wAAAABbQ99"}}`, 0, "x", ids(100, 137), 2},
		"own filter and sort":      {`{"filter":{"email":{"isNil":true}},"sort":"fullName","page":{"limit":60}}`, 0, "x", ids(0, 137), 3},
		"two thirds of a filter":   {`{"page":{"limit":46}}`, 0, "x", ids(0, 137), 3},
		"exactly the whole at 137": {`{"page":{"limit":100,"offset":37}}`, 0, "x", ids(37, 137), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{bytes: c.bytes})
			p := w.httpPeer(t, true)
			tab := table("insertedAt", 137, 1, c.text)
			w.up.On("run", "list_contacts", func(r rpctest.Request) rpctest.Answer {
				// Contacts have no time; the table ignores other filters than by its own.
				r.Body = []byte(strings.Replace(string(r.Body), `"filter":{"email":{"isNil":true}},`, "", 1))
				return tab.Answer(r)
			})
			pages := follow(t, p, "list_contacts", c.args)
			if d := cmp.Diff(c.want, flat(pages)); d != "" {
				t.Error(d)
			}
			if len(pages) < c.pages {
				t.Errorf("%d answers, expected %d at least", len(pages), c.pages)
			}
			for _, r := range w.up.Requests() {
				if strings.Contains(c.args, "filter") && !strings.Contains(string(r.Body), `"filter":{"email":{"isNil":true}}`) {
					t.Errorf("the filter was lost: %s", r.Body)
				}
			}
		})
	}
}

// TestFollowBackwards checks that next continues to the rows before, if the page is before a
// cursor.
func TestFollowBackwards(t *testing.T) {
	long := strings.Repeat("a long name ", 30)
	for name, c := range map[string]struct {
		bytes int
		text  string
	}{"whole": {0, "x"}, "cut": {2000, long}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{bytes: c.bytes})
			p := w.httpPeer(t, true)
			w.up.On("run", "list_contacts", table("insertedAt", 50, 1, c.text).Answer)
			pages := follow(t, p, "list_contacts", `{"page":{"limit":20,"before":"g2wAAAABbQ40"}}`)
			var got []string
			for _, page := range pages {
				got = append(append([]string(nil), page...), got...)
			}
			if d := cmp.Diff(ids(0, 40), got); d != "" {
				t.Errorf("the rows, from the last answer to the first: %s", d)
			}
		})
	}
}

// TestCutConfirmedRead checks that a page is not read again if a person must approve each read.
func TestCutConfirmedRead(t *testing.T) {
	w := newWorld(t, setup{policy: confirmAll, bytes: 2000})
	p := w.httpPeer(t, true)
	w.up.On("run", "list_contacts", table("insertedAt", 50, 1, strings.Repeat("a long name ", 30)).Answer)
	a := list(t, p, "list_contacts", `{"fields":["id","fullName"],"page":{"limit":20}}`)
	if len(p.elicitations()) != 1 || len(w.up.Requests()) != 3 || !a.HasMore || a.Omitted == 0 || !a.hasNote("a smaller page") {
		t.Errorf("asked %d times, %d requests, %+v", len(p.elicitations()), len(w.up.Requests()), a)
	}
}

// TestPeopleShown checks that a budget of reading counts the rows that are shown, and not those that
// do not fit, though a page is read again.
func TestPeopleShown(t *testing.T) {
	w := newWorld(t, setup{policy: "team", bytes: 2000})
	w.up.On("run", "list_contacts", table("insertedAt", 50, 1, strings.Repeat("a long name ", 30)).Answer)
	a := list(t, w.httpPeer(t, true), "list_contacts", `{"fields":["id","fullName"],"page":{"limit":20}}`)
	if len(w.up.Requests()) != 2 || a.Omitted == 0 || a.Omitted+len(a.Results) != 20 {
		t.Fatalf("%d requests, %d shown, %d omitted", len(w.up.Requests()), len(a.Results), a.Omitted)
	}
	people := ledger.Debit{Budget: "team/people", Key: "caller:" + ada.ID, Interval: 1800 * time.Millisecond, Burst: 2000}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left, _, err := w.gate.Ledger.BudgetLeft(t.Context(), people)
		if err != nil {
			t.Fatal(err)
		}
		if taken := int(2000 - left); taken >= len(a.Results) || time.Now().After(end) {
			if taken != len(a.Results) {
				t.Errorf("%d people were taken, and %d shown", taken, len(a.Results))
			}
			return
		}
	}
}

// TestFollowNextInTime checks that a list without pages continues by time. The rows that share the
// time of the last row are repeated, so that none is missed.
func TestFollowNextInTime(t *testing.T) {
	long := strings.Repeat("a long summary ", 30)
	for name, c := range map[string]struct {
		args        string
		rows, bytes int
		together    int
		text        string
	}{
		"window":                   {`{"fields":["id","startedAt"]}`, 100, 0, 1, "x"},
		"small bound":              {`{"fields":["id","startedAt"]}`, 7, 0, 1, "x"},
		"times that rows share":    {`{"fields":["id","startedAt"]}`, 10, 0, 4, "x"},
		"by bytes":                 {`{"fields":["id","startedAt","recordingUri"]}`, 100, 3000, 1, long},
		"own filter":               {`{"fields":["id","startedAt"],"filter":{"startedAt":{"greaterThan":"2026-01-01T00:00:00Z"}},"sort":"-startedAt"}`, 50, 0, 1, "x"},
		"own filter of one branch": {`{"fields":["id","startedAt"],"filter":{"and":[{"startedAt":{"greaterThan":"2026-01-01T00:00:00Z"}}]},"sort":"-startedAt"}`, 50, 0, 1, "x"},
		"own filter that looks like next": {`{"fields":["id","startedAt"],"filter":{"and":[{"startedAt":{"greaterThan":"2026-01-01T00:00:00Z"}},{"startedAt":{"lessThanOrEqual":"2026-02-01T00:00:00Z"}}]},"sort":"-startedAt"}`,
			50, 0, 1, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{now: func() time.Time { return noon }, rows: c.rows, bytes: c.bytes})
			p := w.httpPeer(t, true)
			w.up.On("run", "list_calls", table("startedAt", 237, c.together, c.text).Answer)
			pages := follow(t, p, "list_calls", c.args)
			if len(pages) < 3 {
				t.Errorf("only %d answers", len(pages))
			}
			var got []string
			seen := map[string]bool{}
			for n, page := range pages {
				repeated := 0
				for _, id := range page {
					if seen[id] {
						repeated++
						continue
					}
					seen[id] = true
					got = append(got, id)
				}
				if repeated > c.together || n > 0 && repeated == 0 {
					t.Errorf("answer %d repeats %d rows of those before", n, repeated)
				}
			}
			if c.together > 1 {
				// Rows of one time have no order.
				if len(got) != 237 {
					t.Errorf("%d rows of 237", len(got))
				}
			} else if d := cmp.Diff(ids(237, 0), got); d != "" {
				t.Error(d)
			}
			for _, r := range w.up.Requests() {
				if n := strings.Count(string(r.Body), `"and"`); n > 2 {
					t.Errorf("next nests filters deeper: %s", r.Body)
				}
			}
		})
	}
}

// TestRowsOfOneTime checks the note if all rows shown have one time, so that next cannot continue.
func TestRowsOfOneTime(t *testing.T) {
	w := newWorld(t, setup{now: func() time.Time { return noon }, rows: 5})
	w.up.On("run", "list_calls", table("startedAt", 20, 20, "x").Answer)
	a := list(t, w.httpPeer(t, true), "list_calls", `{"fields":["id","startedAt"]}`)
	if !a.HasMore || a.Next != nil || a.Omitted != 15 || !a.hasNote("filter for a shorter time by startedAt") {
		t.Errorf("%+v", a)
	}
}

func TestCount(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	w.up.On("run", "list_contacts", table("insertedAt", 137, 1, "x").Answer)
	if a := list(t, p, "list_contacts", `{"page":{"limit":1,"count":true},"fields":["id"]}`); a.Count == nil || *a.Count != 137 || len(a.Results) != 1 {
		t.Errorf("%+v", a)
	}
	if a := list(t, p, "list_contacts", `{"fields":["id"]}`); a.Count != nil {
		t.Errorf("%+v", a)
	}
}

// TestUnknownDefaultField checks that a default field that the server does not know is left out of
// all later reads, with a note.
func TestUnknownDefaultField(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	unknown := func(r rpctest.Request) rpctest.Answer {
		for _, f := range []string{"defaultLanguage", "erasedAt"} {
			if strings.Contains(string(r.Body), `"`+f+`"`) {
				return rpctest.Faults(rpctest.Fault{Type: "unknown_field", Message: "Unknown field %{field} for resource %{resource}", Short: "Unknown field",
					Vars: map[string]any{"field": f, "resource": "Contact"}})(r)
			}
		}
		return rpctest.Answer{Usual: true}
	}
	w.up.On("run", "", unknown)
	a := list(t, p, "list_contacts", `{}`)
	if !a.hasNote("left out: defaultLanguage, erasedAt") || len(w.up.Requests()) != 3 || a.Results[0]["id"] == nil || a.Results[0]["erasedAt"] != nil {
		t.Errorf("%d requests, %+v", len(w.up.Requests()), a)
	}
	w.up.Forget()
	if a := list(t, p, "list_contacts", `{}`); len(w.up.Requests()) != 1 || strings.Contains(string(w.up.Requests()[0].Body), "erasedAt") || !a.hasNote("left out: defaultLanguage, erasedAt") {
		t.Errorf("asked for again: %q, %q", lifecycle(w.up.Requests()), a.Notes)
	}
	// A field that the caller names remains in the call.
	w.up.Forget()
	if r := p.call("list_contacts", `{"fields":["id","erasedAt"]}`); r.outcome(t) != "upstream_error" || len(w.up.Requests()) != 1 {
		t.Errorf("%s", r.Frame)
	}
	// A write is not sent a second time.
	w.up.Forget()
	w.up.On("run", "list_contacts", func(rpctest.Request) rpctest.Answer { return rpctest.Answer{Usual: true} })
	if r := p.call("update_contact", samples["update_contact"]); r.outcome(t) != "upstream_error" || runs(w.up.Requests()) != 1 {
		t.Errorf("%d runs, %s", runs(w.up.Requests()), r.Frame)
	}
	w.up.On("run", "list_contacts", nil)
	// A server that knows no field causes no loop.
	w.up.Forget()
	w.up.On("run", "list_ai_agents", func(r rpctest.Request) rpctest.Answer {
		var b struct{ Fields []string }
		_ = json.Unmarshal(r.Body, &b)
		return rpctest.Faults(rpctest.Fault{Type: "unknown_field", Message: "Unknown field %{field} here", Vars: map[string]any{"field": b.Fields[0]}})(r)
	})
	if r := p.call("list_ai_agents", `{}`); r.outcome(t) != "upstream_error" || len(w.up.Requests()) > 20 {
		t.Errorf("%d requests, %s", len(w.up.Requests()), r.Frame)
	}
}
