package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"pgregory.net/rapid"
)

// drawAction draws an action that fits. It draws the name, because rapid shrinks names well.
func drawAction(t *rapid.T, do func(*schemas.Action) bool) *schemas.Action {
	byName := map[string]*schemas.Action{}
	for _, a := range schemas.Actions() {
		if do(a) {
			byName[a.Name] = a
		}
	}
	return byName[rapid.SampledFrom(slices.Sorted(maps.Keys(byName))).Draw(t, "action")]
}

func sortable(r *schemas.Resource) []string {
	var out []string
	for _, f := range r.Fields {
		if f.Kind != schemas.Map {
			out = append(out, f.Name)
		}
	}
	return out
}

func drawSort(t *rapid.T, r *schemas.Resource) string {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom(sortable(r)), 0, 3, rapid.ID[string]).Draw(t, "sort")
	for i, k := range keys {
		keys[i] = rapid.SampledFrom([]string{"", "+", "-", "++", "--"}).Draw(t, "direction") + k
	}
	return strings.Join(keys, ",")
}

func ids(rows []map[string]any) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r["id"].(string))
	}
	return out
}

// Keyset pages have each row once, forwards and backwards, in any order, while contacts are added.
func TestPagesHaveEachRowOnce(t *testing.T) {
	o := open(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAction(rt, (*schemas.Action).Paged)
		sort := drawSort(rt, a.Resource)
		ask := func(page map[string]any) map[string]any {
			req := map[string]any{"action": a.Name, "fields": []string{"id"}, "page": page}
			if sort != "" {
				req["sort"] = sort
			}
			status, out := o.post("run", req)
			data, ok := out["data"].(map[string]any)
			if status != 200 || !ok {
				rt.Fatalf("%v: status %d, %v", req, status, out)
			}
			return data
		}
		before := ids(o.list(`{"action":"` + a.Name + `","fields":["id"],"page":{"limit":250}}`))
		limit := len(before)/8 + rapid.IntRange(1, 5).Draw(rt, "limit")
		var forwards []string
		page, last := map[string]any{"limit": limit}, ""
		for n := 0; ; n++ {
			data := ask(page)
			for _, row := range data["results"].([]any) {
				forwards = append(forwards, row.(map[string]any)["id"].(string))
			}
			if data["hasMore"] == false {
				last, _ = data["nextPage"].(string)
				break
			}
			page = map[string]any{"limit": limit, "after": data["nextPage"]}
			if a.Name == "list_contacts" && n%3 == 0 {
				o.run(fmt.Sprintf(`{"action":"create_contact","input":{"fullName":"added %d"}}`, n))
			}
		}
		seen := map[string]int{}
		for _, id := range forwards {
			seen[id]++
		}
		for _, id := range before {
			if seen[id] != 1 {
				rt.Fatalf("%s by %q: row %s was seen %d times", a.Name, sort, id, seen[id])
			}
		}
		var backwards []string
		for cursor := last; ; {
			data := ask(map[string]any{"limit": limit, "before": cursor})
			var some []string
			for _, row := range data["results"].([]any) {
				some = append(some, row.(map[string]any)["id"].(string))
			}
			backwards = append(some, backwards...)
			if data["hasMore"] == false {
				break
			}
			cursor = data["previousPage"].(string)
		}
		// The pages backwards start before the last row, and may have rows that were added
		// meanwhile.
		known := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(id string) bool { return !slices.Contains(before, id) })
		}
		want := known(forwards)
		if len(want) > 0 && want[len(want)-1] == forwards[len(forwards)-1] {
			want = want[:len(want)-1]
		}
		if d := cmp.Diff(known(backwards), want, cmpopts.EquateEmpty()); d != "" {
			rt.Fatalf("%s by %q: the pages backwards differ from those forwards:\n%s", a.Name, sort, d)
		}
	})
}

// No row passes both a filter and its negation. A row that passes neither is null in the field.
func TestFilterNegation(t *testing.T) {
	o := open(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAction(rt, (*schemas.Action).Paged)
		all := o.list(`{"action":"` + a.Name + `","fields":` + fieldNames(a.Resource) + `}`)
		field := rapid.SampledFrom(sortable(a.Resource)).Draw(rt, "field")
		value := rapid.SampledFrom(all).Draw(rt, "row")[field]
		op := rapid.SampledFrom([]string{"eq", "notEq", "in", "isNil", "greaterThan", "lessThanOrEqual"}).Draw(rt, "operator")
		operand := value
		switch op {
		case "in":
			operand = []any{value}
		case "isNil":
			operand = true
		}
		f := map[string]any{field: map[string]any{op: operand}}
		ask := func(filter any) []string {
			_, out := o.post("run", map[string]any{"action": a.Name, "fields": []string{"id"}, "filter": filter})
			rows, ok := out["data"].([]any)
			if !ok {
				rt.Fatalf("%v: %v", filter, out)
			}
			var got []string
			for _, row := range rows {
				got = append(got, row.(map[string]any)["id"].(string))
			}
			return got
		}
		passing, failing := ask(f), ask(map[string]any{"not": []any{f}})
		for _, row := range all {
			id := row["id"].(string)
			in, out := slices.Contains(passing, id), slices.Contains(failing, id)
			switch {
			case in && out:
				rt.Fatalf("%v: row %s passes the filter and its negation", f, id)
			case !in && !out && row[field] != nil && operand != nil && !(op == "in" && value == nil):
				rt.Fatalf("%v: row %s passes neither, and %s is %v", f, id, field, row[field])
			}
		}
	})
}

// drawInput draws input for an action: known keys with common values, and sometimes an unknown key.
func drawInput(t *rapid.T, a *schemas.Action) map[string]any {
	out := map[string]any{}
	for _, in := range sortedInputs(a) {
		name := in.Name
		if !in.Required && rapid.Bool().Draw(t, "leave out "+name) {
			continue
		}
		out[name] = rapid.SampledFrom([]any{nil, "", " x ", "true", true, 3, -1, 2.5, "2026-01-01", "2026-01-01T00:00:00Z", "on_break", "enabled", "x",
			"c0000000-0000-4000-8000-000000000001", []any{}, []any{"en", ""}, []any{map[string]any{}}, map[string]any{"a": 1}, map[string]any{"0": "en"}}).Draw(t, name)
	}
	if rapid.IntRange(0, 9).Draw(t, "unknown") == 0 {
		out["bogus"] = 1
	}
	return out
}

// A request that passes validation may still fail to run, but only for an unknown key, an array
// item, uniqueness or a permission.
func TestValidatePredictsRun(t *testing.T) {
	o := open(t, Options{})
	writes := func(a *schemas.Action) bool {
		verb, _, _ := strings.Cut(a.Name, "_")
		return a.Inputs() != nil && (verb == "create" || verb == "update" || verb == "set")
	}
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAction(rt, writes)
		req := map[string]any{"action": a.Name, "input": drawInput(rt, a)}
		if has, _ := a.Key("identity"); has {
			rows := o.list(`{"action":"` + listAction(a) + `","fields":["id"]}`)
			req["identity"] = rapid.SampledFrom(rows).Draw(rt, "row")["id"]
		}
		changes := countChanges(t, o.s.engine)
		_, valid := o.post("validate", req)
		if countChanges(t, o.s.engine) != changes {
			rt.Fatalf("validation wrote rows: %v", req)
		}
		_, ran := o.post("run", req)
		if valid["success"] != true {
			if ran["success"] == true {
				rt.Fatalf("run succeeded after validation failed: %v: %v", req, valid["errors"])
			}
			return
		}
		errors, _ := ran["errors"].([]any)
		for _, e := range errors {
			e := e.(map[string]any)
			_, item := e["vars"].(map[string]any)["index"]
			unknown := e["code"] == "internal_error" && req["input"].(map[string]any)["bogus"] != nil
			if !unknown && !item && e["type"] != "invalid_changes" && e["type"] != "forbidden" {
				rt.Fatalf("%v: run failed after validation passed: %v", req, e)
			}
		}
	})
}

func TestValidateNeverWrites(t *testing.T) {
	o := open(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAction(rt, func(*schemas.Action) bool { return true })
		req := map[string]any{"action": a.Name}
		if a.Inputs() != nil {
			req["input"] = drawInput(rt, a)
		}
		if list := listAction(a); list != "" {
			req["identity"] = rapid.SampledFrom(o.list(`{"action":"`+list+`","fields":["id"]}`)).Draw(rt, "row")["id"]
		}
		before := countChanges(t, o.s.engine)
		if status, out := o.post("validate", req); status != 200 || countChanges(t, o.s.engine) != before {
			rt.Fatalf("%v: status %d, wrote %d: %v", req, status, countChanges(t, o.s.engine)-before, out)
		}
	})
}

func listAction(a *schemas.Action) string {
	for _, x := range schemas.Actions() {
		if x.List() && x.Resource == a.Resource {
			return x.Name
		}
	}
	return ""
}

func TestSelectedFields(t *testing.T) {
	o := open(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		a := drawAction(rt, (*schemas.Action).Paged)
		fields := rapid.SliceOfNDistinct(rapid.SampledFrom(a.Resource.Names()), 1, -1, rapid.ID[string]).Draw(rt, "fields")
		_, out := o.post("run", map[string]any{"action": a.Name, "fields": fields, "page": map[string]any{"limit": 3}})
		slices.Sort(fields)
		for _, row := range out["data"].(map[string]any)["results"].([]any) {
			if d := cmp.Diff(slices.Sorted(maps.Keys(row.(map[string]any))), fields); d != "" {
				rt.Fatal(d)
			}
		}
	})
}

// fuzz sends bodies to an endpoint. Each response must be JSON, and not status 500.
func fuzz(f *testing.F, endpoint string) {
	for _, seed := range []string{
		`{"action":"list_contacts","fields":["id"],"filter":{"or":[{"fullName":{"ilike":"%a_\\%"}},{"not":[{"metadata":{"eq":{}}}]}]},"sort":"-fullName,++email","page":{"limit":2}}`,
		`{"action":"list_calls","fields":["id","currentHandler"],"filter":{"billingCostCents":{"in":["1.50",2,null]},"startedAt":{"greaterThan":"2026-01-01"}}}`,
		`{"action":"list_contacts","fields":["id"],"sort":"languages","page":{"limit":1,"after":"WyIrbGxhbmd1YWdlcyIsImVuIiwieCJd"}}`,
		`{"action":"create_contact","input":{"fullName":"x","languages":{"0":"a"},"dateOfBirth":"2026-01-01T00:00:00+25:00"},"fields":["languages"]}`,
		`{"action":"update_contact","identity":"x","input":{"email":null}}`, `{"action":"end_call","input":{"callUuid":"x","y":[]}}`,
		`{"action":"start_bulk_outbound_call","input":{"contactIds":[null,"x"],"concurrency":99999999999999999999}}`,
		`{"action":"import_inbound_email","input":{"recipientAddress":"hello@harbourlane.example","rawMime":"From: a@b.c\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n--x--"},"fields":["id"]}`,
		`{"action":"set_operator_status","input":{"status":{}}}`, `{"action":"list_contacts","fields":[{"":[]}]}`, `[]`, `{`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	s, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	h := s.Handler()
	send := func(body []byte) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/rpc/public/"+endpoint, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", "k")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := send(body)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the response is not JSON: %.300q", w.Body)
		}
		if w.Code == 500 && !crashes(body) {
			t.Fatalf("%.300q: status 500: %s", body, w.Body)
		}
	})
}

// crashes reports whether the real backend answers a body with status 500: an empty and, or or not;
// an action or sort that is not a string; fields that are not a list.
func crashes(body []byte) bool {
	v, ok := decodeJSON(body)
	m, isMap := v.(map[string]any)
	if !ok || !isMap {
		return false
	}
	_, sortText := m["sort"].(string)
	_, fieldsList := m["fields"].([]any)
	_, actionText := m["action"].(string)
	return m["action"] != nil && !actionText || m["sort"] != nil && !sortText || m["fields"] != nil && !fieldsList || emptyConnective(m["filter"])
}

func emptyConnective(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, emptyConnective)
	case map[string]any:
		for k, x := range v {
			list, isList := x.([]any)
			if c := strings.ToLower(k); (c == "and" || c == "or" || c == "not") && isList && len(list) == 0 || emptyConnective(x) {
				return true
			}
		}
	}
	return false
}

func FuzzRun(f *testing.F)      { fuzz(f, "run") }
func FuzzValidate(f *testing.F) { fuzz(f, "validate") }
