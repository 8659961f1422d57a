package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

var (
	pairsFile = flag.String("pairs", "testdata/pairs.jsonl", "recorded pairs, one JSON object a line")
	rowsFile  = flag.String("rows", "testdata/rows.json", "the rows that the recordings began with")
)

// pair is one recorded exchange.
type pair struct {
	Case     string            `json:"case"`
	Endpoint string            `json:"endpoint"`
	Setup    string            `json:"setup"`
	Status   int               `json:"status"`
	Request  json.RawMessage   `json:"request"`
	RawBody  *string           `json:"raw_body"`
	Headers  map[string]string `json:"headers"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Response json.RawMessage   `json:"response"`
}

// TestRecorded replays what a real backend answered against the engine, over
// HTTP, and compares all but error ids, fresh ids and cursors, which it
// compares by shape.
func TestRecorded(t *testing.T) {
	pairs := readPairs(t, *pairsFile)
	excused := readExceptions(t, "testdata/exceptions.txt")
	seeded := seededRows(t)
	passed, byGroup, totals := 0, map[string]int{}, map[string]int{}
	var handler *handler
	var cursors map[string]string
	seededAt := int64(-1)
	for _, p := range pairs {
		if p.Setup == "seed" || handler == nil {
			if handler == nil || countChanges(t, handler.engine) != seededAt { // else it is as good as new
				handler = recordedHandler(t)
				seededAt = countChanges(t, handler.engine)
			}
			cursors = map[string]string{}
		}
		group, _, _ := strings.Cut(p.Case, "/")
		totals[group]++
		diff := replay(p, handler, cursors, seeded)
		reason, known := excused[p.Case]
		switch {
		case diff == "":
			passed++
			byGroup[group]++
			if known {
				t.Errorf("%s is excused (%s) but agrees: take it out of the exceptions", p.Case, reason)
			}
		case !known:
			t.Errorf("%s:\n%s", p.Case, diff)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(totals)) {
		fmt.Printf("%-22s %4d of %4d\n", g, byGroup[g], totals[g])
	}
	fmt.Printf("recorded pairs: %d of %d\n", passed, len(pairs))
}

// findFile finds a file named on the command line, which may be relative to the
// module's root while tests run in the package's folder.
func findFile(file string) string {
	if _, err := os.Stat(file); err != nil && !filepath.IsAbs(file) {
		return filepath.Join("..", "..", file)
	}
	return file
}

func readPairs(t *testing.T, file string) []pair {
	raw, err := os.ReadFile(findFile(file))
	if err != nil {
		t.Fatal(err)
	}
	var out []pair
	s := bufio.NewScanner(bytes.NewReader(raw))
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var p pair
		if err := json.Unmarshal(s.Bytes(), &p); err != nil {
			t.Fatalf("%s: line %d: %v", file, len(out)+1, err)
		}
		out = append(out, p)
	}
	return out
}

// readExceptions reads lines of `case: reason`.
func readExceptions(t *testing.T, file string) map[string]string {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			t.Fatalf("%s: %q has no reason", file, line)
		}
		out[name] = reason
	}
	return out
}

func recordedHandler(t *testing.T) *handler {
	now, _ := time.Parse(ash.TimeLayout, recordedNow)
	e, err := ash.Open(context.Background(), recordedDomain(t, *rowsFile), "", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &handler{engine: e, log: slog.Default(), authorise: checkTestKey, pickFault: faultPicker(nil, nil)}
}

// countChanges counts the rows that an engine ever wrote.
func countChanges(t *testing.T, e *ash.Engine) int64 {
	n, err := e.Changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// replay sends the pair's request and says how the answer differs.
func replay(p pair, handler *handler, cursors map[string]string, seeded map[string]map[string]any) string {
	path, method, body := "/rpc/public/"+p.Endpoint, "POST", string(p.Request)
	if p.Path != "" {
		path = p.Path
	}
	if p.Method != "" {
		method = p.Method
	}
	if p.RawBody != nil {
		body = latin1(*p.RawBody)
	} else {
		body = translateCursors(body, cursors, func(values []any) string { return cursorOf(p, handler.engine, values) })
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Api-Key", "any")
	for k, v := range p.Headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	want, okWant := decodeJSON(p.Response)
	got, okGot := decodeJSON(w.Body.Bytes())
	if !okWant || !okGot {
		return fmt.Sprintf("not JSON: %s", w.Body)
	}
	recordCursors(want, got, cursors)
	if w.Code != p.Status {
		return fmt.Sprintf("status %d, want %d\n%s", w.Code, p.Status, w.Body)
	}
	swap := func(s string) string {
		for recorded, ours := range cursors {
			s = strings.ReplaceAll(s, ours, recorded)
		}
		return s
	}
	a, b := shape(want, func(s string) string { return s }), shape(got, swap)
	sortTies(p, a, seeded)
	sortTies(p, b, seeded)
	if d := cmp.Diff(a, b); d != "" {
		return fmt.Sprintf("request %s\n(-recorded +ours)\n%s", body, d)
	}
	return ""
}

// latin1 gives back the bytes of a raw body that is no UTF-8: the recording
// holds each as the character of that number.
func latin1(s string) string {
	b := []byte{}
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

var (
	etfCursor = regexp.MustCompile(`g2[0-9A-Za-z+/]+=*`)
	freshID   = regexp.MustCompile(`^00000000-0000-4000-9000-\d{12}$`)
	errorID   = regexp.MustCompile(`<error-id>|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// translateCursors puts our cursors in the place of recorded ones: those that
// an earlier answer gave, else one made from what the recorded one holds. That
// is taken to be of the request's own order, unless it holds too little for it.
func translateCursors(body string, cursors map[string]string, cursorOf func(values []any) string) string {
	return etfCursor.ReplaceAllStringFunc(body, func(c string) string {
		if cursors[c] == "" {
			cursors[c] = cursorOf(decodeETF(c))
		}
		return cursors[c]
	})
}

// cursorOf makes a cursor of the order that a pair's request asks for, or, where
// that cannot be, one that no order accepts.
func cursorOf(p pair, e *ash.Engine, values []any) string {
	var req struct{ Action, Sort string }
	if json.Unmarshal(p.Request, &req) != nil {
		return otherCursor
	}
	cursor, err := e.Cursor(req.Action, req.Sort, values)
	if err != nil {
		return otherCursor
	}
	return cursor
}

// decodeETF reads a list of binaries, atoms and small integers in Erlang's
// external term format.
func decodeETF(cursor string) []any {
	b, err := base64.StdEncoding.DecodeString(cursor)
	if err != nil || len(b) < 6 || b[1] != 'l' {
		return nil
	}
	n, b := binary.BigEndian.Uint32(b[2:]), b[6:]
	var out []any
	for range n {
		switch b[0] {
		case 'm':
			size := binary.BigEndian.Uint32(b[1:])
			out, b = append(out, string(b[5:5+size])), b[5+size:]
		case 'd':
			size := binary.BigEndian.Uint16(b[1:])
			atom := string(b[3 : 3+size])
			var v any = atom
			if special, ok := map[string]any{"nil": nil, "true": 1, "false": 0}[atom]; ok {
				v = special
			}
			out, b = append(out, v), b[3+size:]
		case 'a':
			out, b = append(out, int(b[1])), b[2:]
		case 'b':
			out, b = append(out, int(int32(binary.BigEndian.Uint32(b[1:])))), b[5:]
		default:
			return nil
		}
	}
	return out
}

func recordCursors(want, got any, cursors map[string]string) {
	w, _ := want.(map[string]any)
	g, _ := got.(map[string]any)
	w, _ = w["data"].(map[string]any)
	g, _ = g["data"].(map[string]any)
	for _, side := range []string{"nextPage", "previousPage"} {
		recorded, _ := w[side].(string)
		ours, _ := g[side].(string)
		if recorded != "" && ours != "" {
			cursors[recorded] = ours
		}
	}
}

// shape gives what of an answer is compared: numbers as floats, fresh and
// error ids by their form, cursors of answers as being there, and no details.
func shape(v any, swap func(string) string) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case string:
		if freshID.MatchString(v) {
			return "<fresh id>"
		}
		return swap(v)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = shape(x, swap)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			s, isText := x.(string)
			switch {
			case k == "details":
			case isText && (k == "nextPage" || k == "previousPage"):
				out[k] = "<cursor>"
			case isText && (k == "errorId" || k == "message" && v["code"] == "internal_error"):
				out[k] = errorID.ReplaceAllString(s, "<error id>")
			default:
				out[k] = shape(x, swap)
			}
		}
		return out
	}
	return v
}

// sortTies orders the rows that tie on every key that the request sorts by,
// which may come in any order unless a page was asked for, by their id. Rows
// that do not tie stay where they are.
func sortTies(p pair, answer any, seeded map[string]map[string]any) {
	var req struct{ Sort, Page any }
	m, _ := answer.(map[string]any)
	rows, ok := m["data"].([]any)
	if json.Unmarshal(p.Request, &req) != nil || req.Sort == nil || req.Page != nil || !ok {
		return
	}
	sort, _ := req.Sort.(string)
	values := func(row any) string {
		fields, _ := row.(map[string]any)
		id, _ := fields["id"].(string)
		if seeded[id] == nil {
			return fmt.Sprint(row) // no way to know: it ties with nothing
		}
		var b strings.Builder
		for key := range strings.SplitSeq(sort, ",") {
			fmt.Fprintf(&b, "%v\x00", seeded[id][strings.TrimLeft(key, "+-")])
		}
		return b.String()
	}
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && values(rows[to]) == values(rows[from]) {
			to++
		}
		slices.SortFunc(rows[from:to], func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		from = to
	}
}

// seededRows gives the rows that the recordings began with, by id.
func seededRows(t *testing.T) map[string]map[string]any {
	raw, err := os.ReadFile(findFile(*rowsFile))
	if err != nil {
		t.Fatal(err)
	}
	var byResource map[string][]map[string]any
	if err := json.Unmarshal(raw, &byResource); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, rows := range byResource {
		for _, row := range rows {
			out[row["id"].(string)] = row
		}
	}
	return out
}

// otherCursor is well-formed, and of an order that no request asks for.
var otherCursor = base64.RawURLEncoding.EncodeToString([]byte(`["other"]`))
