package recipients

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestInvalidPages answers the read for Ada and Ben with one wrong page after another.
func TestInvalidPages(t *testing.T) {
	row := func(p map[string]any, i int) map[string]any { return p["results"].([]any)[i].(map[string]any) }
	add := func(p map[string]any, row any) { p["results"] = append(p["results"].([]any), row) }
	for name, alter := range map[string]func(map[string]any){
		"more":              func(p map[string]any) { p["hasMore"] = true },
		"more is null":      func(p map[string]any) { p["hasMore"] = nil },
		"more is text":      func(p map[string]any) { p["hasMore"] = "false" },
		"more is missing":   func(p map[string]any) { delete(p, "hasMore") },
		"results missing":   func(p map[string]any) { delete(p, "results") },
		"results null":      func(p map[string]any) { p["results"] = nil },
		"results a record":  func(p map[string]any) { p["results"] = row(p, 0) },
		"a row twice":       func(p map[string]any) { add(p, row(p, 0)) },
		"a row for another": func(p map[string]any) { p["results"].([]any)[1] = row(p, 0) },
		"somebody else": func(p map[string]any) {
			r := maps.Clone(row(p, 0))
			r["id"] = "d0000000-0000-4000-8000-000000000009"
			add(p, r)
		},
		"one replaced by somebody else": func(p map[string]any) {
			r := maps.Clone(row(p, 0))
			r["id"] = "d0000000-0000-4000-8000-000000000009"
			p["results"].([]any)[0] = r
		},
		"huge": func(p map[string]any) {
			for range 50_000 {
				add(p, row(p, 0))
			}
		},
		"a row that is null":    func(p map[string]any) { add(p, nil) },
		"a row that is a list":  func(p map[string]any) { add(p, []any{}) },
		"a row that is empty":   func(p map[string]any) { add(p, map[string]any{}) },
		"no rows":               func(p map[string]any) { p["results"] = []any{} },
		"a row without erasure": func(p map[string]any) { delete(row(p, 0), "erasedAt") },
		"a row without number":  func(p map[string]any) { delete(row(p, 0), "phoneE164") },
		"a number as number":    func(p map[string]any) { row(p, 0)["phoneE164"] = 442079460123 },
		"an id as number":       func(p map[string]any) { row(p, 0)["id"] = 1 },
		"an id that is null":    func(p map[string]any) { row(p, 0)["id"] = nil },
		"deleted as true":       func(p map[string]any) { row(p, 0)["deletedAt"] = true },
		"deleted as false":      func(p map[string]any) { row(p, 0)["deletedAt"] = false },
		"deleted as empty":      func(p map[string]any) { row(p, 0)["deletedAt"] = "" },
		"a name as a map":       func(p map[string]any) { row(p, 0)["fullName"] = map[string]any{"a": 1} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newFakeContacts(t)
			ids := []string{b.add(1, "Ada", "+442079460121"), b.add(2, "Ben", "+442079460122")}
			b.alter = alter
			set, fault := Resolve(t.Context(), bulk(t, ids...), b.read)
			if set != nil || fault == nil || fault.Next == "" || strings.Contains(fault.Error(), "d0000000") {
				t.Errorf("%+v %v", set, fault)
			}
		})
	}
}

// TestInvalidAnswers covers texts that encoding/json would not write.
func TestInvalidAnswers(t *testing.T) {
	const id = "c0000000-0000-4000-8000-000000000001"
	row := func(more string) string {
		return `{"id":"` + id + `","fullName":"Ada","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null` + more + `}`
	}
	page := func(rows string) string { return `{"results":[` + rows + `],"hasMore":false}` }
	of := func(answer string) (*Set, *schemas.Error) {
		return Resolve(t.Context(), bulk(t, id), func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error) {
			return json.RawMessage(answer), nil
		})
	}
	for _, good := range []string{page(row("")), " \n" + page(row("")), page(row(`,"other":[1,{"id":2}]`)),
		page(strings.Replace(row(""), `"id"`, `"\u0069d"`, 1)), page(strings.Replace(row(""), id, strings.ToUpper(id), 1)),
		// Keys that only encoding/json would accept are ignored.
		page(row(`,"PHONEE164":"+19002345678","phonee164":"+19002345678"`))} {
		if set, fault := of(good); fault != nil || set.List[0].Number != "+442079460123" {
			t.Errorf("%s: %+v %v", good, set, fault)
		}
	}
	for _, bad := range []string{"", "null", "[]", `"x"`, "{}", "{", "[" + row("") + "]", row(""), page(row("")) + "x", page(row("") + ","),
		page(row(`,"phoneE164":"+19002345678"`)), page(row(`,"id":"` + id + `"`)), page(row(`,"phone\u004516\u0034":"+19002345678"`)), page(row(`,"erasedAt":null`)),
		`{"results":[` + row("") + `],"hasMore":true,"hasMore":false}`, `{"results":[],"results":[` + row("") + `],"hasMore":false}`,
		page(strings.Repeat("[", 100_000)), page(row(`,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000))), "\xff", page("\x00")} {
		if set, fault := of(bad); set != nil || fault == nil || fault.Outcome != schemas.UpstreamUnavailable && fault.Outcome != schemas.InvalidArguments {
			t.Errorf("%.200q: %+v %v", bad, set, fault)
		}
	}
}

func FuzzParsePage(f *testing.F) {
	for _, s := range []string{
		`{"results":[{"id":"c0000000-0000-4000-8000-000000000001","fullName":"Ada","phoneE164":"+442079460123","erasedAt":null,"deletedAt":null}],"hasMore":false}`,
		`{"results":[],"hasMore":false}`, `{"results":[{}],"hasMore":true}`, `[]`, `{"results":{"id":1},"hasMore":false}`,
		"{\"results\":[{\"id\":\"\\ud800\",\"fullName\":\"\xff\\u202e\",\"phoneE164\":\"\",\"erasedAt\":\"\",\"deletedAt\":null}],\"hasMore\":false}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := parsePage(data, contactFields)
		if err != nil {
			if rows != nil {
				t.Errorf("%d rows beside %v", len(rows), err)
			}
			return
		}
		// Every other reader must parse the same rows.
		var page struct {
			Results []map[string]any
			HasMore *bool
		}
		if json.Unmarshal(data, &page) != nil {
			t.Fatalf("accepted what is not a page: %q", data)
		}
		if len(rows) > pageSize {
			t.Errorf("%d rows", len(rows))
		}
		for _, c := range rows {
			if !utf8.ValidString(c.name) || utf8.RuneCountInString(c.name) > MaxName+40 {
				t.Errorf("the name %q", c.name)
			}
			c.recipient()
		}
	})
}
