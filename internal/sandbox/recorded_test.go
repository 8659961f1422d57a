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
	rowsFile  = flag.String("rows", "testdata/rows.json", "rows of the recorded backend before the first pair")
)

// pair is a recorded request and its response.
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

// TestRecorded sends recorded requests over HTTP, and compares the responses with the recorded
// ones. Of error ids, new ids and cursors it compares the form only.
func TestRecorded(t *testing.T) {
	pairs := readPairs(t, *pairsFile)
	exceptions := readExceptions(t, "testdata/exceptions.txt")
	seeded := readRows(t)
	passed, byGroup, totals := 0, map[string]int{}, map[string]int{}
	var handler *handler
	var cursors map[string]string
	seededAt := int64(-1)
	for _, p := range pairs {
		if p.Setup == "seed" || handler == nil {
			if handler == nil || countChanges(t, handler.engine) != seededAt { // otherwise it is unchanged
				handler = recordedHandler(t)
				seededAt = countChanges(t, handler.engine)
			}
			cursors = map[string]string{}
		}
		group, _, _ := strings.Cut(p.Case, "/")
		totals[group]++
		diff := replay(p, handler, cursors, seeded)
		reason, known := exceptions[p.Case]
		switch {
		case diff == "":
			passed++
			byGroup[group]++
			if known {
				t.Errorf("%s is an exception (%s), but agrees: remove it from the exceptions", p.Case, reason)
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

// findFile returns the path of a file from the command line, which may be relative to the root of
// the module.
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

// readExceptions reads lines such as case: reason.
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

// countChanges returns how many rows an engine has written.
func countChanges(t *testing.T, e *ash.Engine) int64 {
	n, err := e.Changes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// replay sends a recorded request, and returns how the response differs from the recorded one.
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

// latin1 returns the bytes of a body that was not UTF-8. The recording has a character for each
// byte.
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
	recordedCursor = regexp.MustCompile(`g2[0-9A-Za-z+/]+=*`)
	freshID        = regexp.MustCompile(`^00000000-0000-4000-9000-\d{12}$`)
	errorID        = regexp.MustCompile(`<error-id>|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// translateCursors replaces recorded cursors by the engine's. Cursors has those of earlier
// responses; cursorOf makes one from the values in any other cursor.
func translateCursors(body string, cursors map[string]string, cursorOf func(values []any) string) string {
	return recordedCursor.ReplaceAllStringFunc(body, func(c string) string {
		if cursors[c] == "" {
			cursors[c] = cursorOf(decodeTerm(c))
		}
		return cursors[c]
	})
}

// cursorOf returns the engine's cursor for the order of a pair's request, or otherCursor if the
// values do not fit that order.
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

// decodeTerm decodes a list of binaries, atoms and small integers in Erlang's external term format.
func decodeTerm(cursor string) []any {
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

// shape returns the part of a response that is compared. Numbers are floats, new ids, error ids and
// cursors are placeholders, and details are left out.
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

// sortTies sorts rows that are equal in all keys of the request's sort. Without a page, the backend
// returns them in any order.
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
			return fmt.Sprint(row) // unknown, so equal to no other row
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

// readRows returns the rows of the recorded backend before the first pair, by id.
func readRows(t *testing.T) map[string]map[string]any {
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

// otherCursor is a well-formed cursor of an order that no request has.
var otherCursor = base64.RawURLEncoding.EncodeToString([]byte(`["other"]`))
