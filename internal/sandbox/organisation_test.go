package sandbox

import (
	"database/sql"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// clock moves only by advance.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// testOrg is an open sandbox with a clock.
type testOrg struct {
	t *testing.T
	s *Sandbox
	*clock
}

func open(t *testing.T, o Options) *testOrg {
	t.Helper()
	c := &clock{time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC)}
	o.Now = c.now
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &testOrg{t, s, c}
}

func (o *testOrg) post(endpoint string, payload any) (int, map[string]any) {
	o.t.Helper()
	body, ok := payload.(string)
	if !ok {
		b, err := json.Marshal(payload)
		if err != nil {
			o.t.Fatal(err)
		}
		body = string(b)
	}
	r := httptest.NewRequest("POST", "/rpc/public/"+endpoint, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Api-Key", "any")
	w := httptest.NewRecorder()
	o.s.Handler().ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		o.t.Fatalf("%s: the response is not JSON: %.200s", body, w.Body)
	}
	return w.Code, out
}

// run returns the data of a run that must succeed.
func (o *testOrg) run(payload string) any {
	o.t.Helper()
	status, out := o.post("run", payload)
	if status != http.StatusOK || out["success"] != true {
		o.t.Fatalf("%s: status %d, %v", payload, status, out)
	}
	return out["data"]
}

// list returns the rows of a list.
func (o *testOrg) list(payload string) []map[string]any {
	o.t.Helper()
	data := o.run(payload)
	if page, ok := data.(map[string]any); ok {
		data = page["results"]
	}
	var rows []map[string]any
	for _, row := range data.([]any) {
		rows = append(rows, row.(map[string]any))
	}
	return rows
}

// only returns the only row of a list.
func (o *testOrg) only(payload string) map[string]any {
	o.t.Helper()
	rows := o.list(payload)
	if len(rows) != 1 {
		o.t.Fatalf("%s: %d rows, want 1", payload, len(rows))
	}
	return rows[0]
}

// runErrors returns the errors of a run that must fail, as JSON.
func (o *testOrg) runErrors(payload string) string {
	o.t.Helper()
	_, out := o.post("run", payload)
	if out["success"] != false {
		o.t.Fatalf("%s did not fail: %v", payload, out)
	}
	b, _ := json.Marshal(out["errors"])
	return string(b)
}

// with replaces each <name> in a payload: its arguments are names and values.
func with(payload string, pairs ...any) string {
	for i := 0; i < len(pairs); i += 2 {
		payload = strings.ReplaceAll(payload, "<"+pairs[i].(string)+">", pairs[i+1].(string))
	}
	return payload
}

func fieldNames(r *schemas.Resource) string {
	if r == nil {
		return "null"
	}
	b, _ := json.Marshal(r.Names())
	return string(b)
}

func TestEveryFieldHasValues(t *testing.T) {
	o := open(t, Options{})
	for _, a := range schemas.Actions() {
		var rows []map[string]any
		switch ask := `{"action":"` + a.Name + `","fields":` + fieldNames(a.Resource); {
		case a.List():
			rows = o.list(ask + `}`)
		case a.Name == "who_am_i":
			rows = append(rows, o.run(ask+`}`).(map[string]any))
		case a.Name == "import_inbound_email": // the only action that returns messages
			for _, text := range []string{"hello", ""} {
				rows = append(rows, o.run(ask+`,"input":{"recipientAddress":"hello@harbourlane.example","structuredPayload":{"from":"a@b.example","subject":"s","messageId":"m","text":"`+text+`"}}}`).(map[string]any))
			}
		default:
			continue
		}
		if len(rows) == 0 {
			t.Errorf("%s: no rows", a.Name)
		}
		seen := map[string]bool{}
		for _, row := range rows {
			if d := cmp.Diff(slices.Sorted(maps.Keys(row)), slices.Sorted(slices.Values(a.Resource.Names()))); d != "" {
				t.Fatalf("%s: the keys are not the selected fields:\n%s", a.Name, d)
			}
			for k, v := range row {
				if v != nil {
					seen[k] = true
					checkKind(t, a.Name, a.Resource.Field(k), v)
				}
			}
		}
		var never []string
		for _, n := range a.Resource.Names() {
			if !seen[n] {
				never = append(never, n)
			}
		}
		if len(never) > 0 {
			t.Errorf("%s: always null in the seed: %v", a.Name, never)
		}
	}
}

func checkKind(t *testing.T, action string, f *schemas.Field, v any) {
	t.Helper()
	text, isText := v.(string)
	var ok bool
	switch f.Kind {
	case schemas.UUID:
		_, err := uuid.Parse(text)
		ok = err == nil
	case schemas.Time:
		_, err := time.Parse(ash.TimeLayout, text)
		ok = err == nil
	case schemas.Second:
		_, err := time.Parse(ash.SecondLayout, text)
		ok = err == nil
	case schemas.Date:
		_, err := time.Parse(ash.DateLayout, text)
		ok = err == nil
	case schemas.Bool:
		_, ok = v.(bool)
	case schemas.Integer, schemas.Float:
		_, ok = v.(float64)
	case schemas.Map:
		_, ok = v.(map[string]any)
	case schemas.Texts:
		_, ok = v.([]any)
	default:
		ok = isText
	}
	if len(f.Values) > 0 && !slices.Contains(f.Values, text) {
		ok = false
	}
	if !ok {
		t.Errorf("%s: %s is %v, want kind %s", action, f.Name, v, f.Kind)
	}
}

func TestEveryActionIsDefined(t *testing.T) {
	d := newOrganisation(1).domain()
	if len(d.Actions) != 52 {
		t.Errorf("%d actions, want 52", len(d.Actions))
	}
	for _, a := range d.Actions {
		if a.Resource == nil {
			t.Errorf("%s has no resource", a.Name)
		}
		if (a.Type == ash.MapAction || a.Type == ash.RecordAction) && a.Run == nil {
			t.Errorf("%s has no Run", a.Name)
		}
	}
	for name := range newOrganisation(1).behaviours {
		if _, err := schemas.Find(name); err != nil {
			t.Errorf("behaviour of %s: no such action", name)
		}
	}
}

func TestSeed(t *testing.T) {
	dump := func(o *testOrg) map[string]any {
		out := map[string]any{}
		for _, a := range schemas.Actions() {
			if a.List() {
				out[a.Name] = o.run(`{"action":"` + a.Name + `","fields":` + fieldNames(a.Resource) + `}`)
			}
		}
		return out
	}
	story := func(o *testOrg) {
		o.run(`{"action":"create_contact","input":{"fullName":"A"},"fields":["id"]}`)
		o.run(with(`{"action":"start_outbound_call","input":{"phoneNumber":"+447700900900"}}`))
		for range 10 {
			o.advance(9 * time.Second)
			o.run(`{"action":"list_calls","fields":["id"]}`)
		}
	}
	a, b, c := open(t, Options{Seed: 7}), open(t, Options{Seed: 7}), open(t, Options{Seed: 8})
	story(a)
	story(b)
	if d := cmp.Diff(dump(a), dump(b)); d != "" {
		t.Errorf("two organisations of the same seed differ:\n%s", d)
	}
	if cmp.Equal(dump(a), dump(c)) {
		t.Error("organisations of different seeds are equal")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?#%.db")
	o := open(t, Options{Path: path})
	first := o.run(`{"action":"create_contact","input":{"fullName":"Kept"},"fields":["id"]}`).(map[string]any)["id"]
	if err := o.s.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, Options{Path: path, Seed: 99}) // the seed in the file is used
	if me := o.run(`{"action":"who_am_i","fields":["fullName"]}`).(map[string]any); me["fullName"] != "Nadia Rahman" {
		t.Errorf("who am I: %v", me)
	}
	row := o.only(`{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"eq":"Kept"}}}`)
	if row["id"] != first {
		t.Errorf("got %v, want the contact %v", row["id"], first)
	}
	second := o.run(`{"action":"create_contact","input":{"fullName":"Another"},"fields":["id"]}`).(map[string]any)["id"]
	if second == first {
		t.Error("an id from before was used again")
	}
}

func TestFileContinuesClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "org.db")
	o := open(t, Options{Path: path})
	o.run(`{"action":"list_campaigns"}`)
	o.advance(10 * time.Hour)
	o.startCall("+447700900900")
	o.s.Close()
	o = open(t, Options{Path: path}) // ten hours behind
	status := `{"action":"list_calls","fields":["status"],"filter":{"toNumber":{"eq":"+447700900900"}}}`
	if got := o.only(status)["status"]; got != "initiated" {
		t.Errorf("after opening, the call is %v", got)
	}
	o.advance(time.Minute)
	if got := o.only(status)["status"]; got != "completed" {
		t.Errorf("after a minute, the call is %v", got)
	}
}

// docs/sandbox.md lists ids of seed 1, so they must not depend on the time of seeding.
func TestIDsDoNotDependOnTime(t *testing.T) {
	var first map[string][]string
	for _, at := range []time.Time{time.Date(2026, 3, 4, 15, 30, 0, 0, time.UTC), time.Date(2026, 12, 27, 0, 1, 0, 0, time.UTC), time.Date(2028, 2, 29, 8, 45, 0, 0, time.UTC)} {
		s, err := New(Options{Now: NewClock(at, 0).Now})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		o := &testOrg{t: t, s: s}
		all := map[string][]string{}
		for _, a := range schemas.Actions() {
			if a.List() {
				all[a.Name] = slices.Sorted(slices.Values(ids(o.list(`{"action":"` + a.Name + `","fields":["id"]}`))))
			}
		}
		if first == nil {
			first = all
		}
		if d := cmp.Diff(first, all); d != "" {
			t.Errorf("at %s:\n%s", at, d)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		s, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(dir, "older.db")
	open(t, Options{Path: older}).s.Close()
	alter(t, older, `UPDATE "sandbox" SET "value" = 1 WHERE "key" = 'shape'`)
	foreign := filepath.Join(dir, "other.db")
	alter(t, foreign, "CREATE TABLE mine (x)")
	for _, path := range []string{text, older, foreign, dir, filepath.Join(dir, "no", "such", "dir.db")} {
		s, err := New(Options{Path: path})
		if err == nil {
			s.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("the error does not name %s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(text); err != nil || len(b) != 1500 {
		t.Errorf("the text file was changed: %d bytes, %v", len(b), err)
	}
}

// alter runs an SQL statement on a SQLite file.
func alter(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	a := open(t, Options{Path: path})
	b := open(t, Options{Path: path}) // as another process would
	var wg sync.WaitGroup
	seen := make(chan any, 200)
	for n := range 8 {
		wg.Go(func() {
			o := []*testOrg{a, b}[n%2]
			for range 10 {
				status, out := o.post("run", `{"action":"create_contact","input":{"fullName":"X"},"fields":["id"]}`)
				if status != 200 || out["success"] != true {
					t.Errorf("status %d: %v", status, out)
					return
				}
				seen <- out["data"].(map[string]any)["id"]
				o.post("validate", `{"action":"list_contacts"}`)
			}
		})
	}
	wg.Wait()
	close(seen)
	ids := map[any]bool{}
	for id := range seen {
		ids[id] = true
	}
	if len(ids) != 80 {
		t.Errorf("%d ids for 80 contacts", len(ids))
	}
	if rows := a.list(`{"action":"list_contacts","fields":["id"],"filter":{"fullName":{"eq":"X"}}}`); len(rows) != 80 {
		t.Errorf("%d contacts, want 80", len(rows))
	}
}
