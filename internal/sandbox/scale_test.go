package sandbox

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// BenchmarkLists measures reads of 20,000 contacts and calls through the handler.
func BenchmarkLists(b *testing.B) {
	s, err := New(Options{Scale: 20_000})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	h := s.Handler()
	send := func(body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", runPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Api-Key", "k")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	// deep returns the cursor after a number of pages of 250.
	deep := func(request string, pages int) string {
		cursor := ""
		for range pages {
			data, _ := decodeJSON(send(strings.ReplaceAll(request, "<after>", cursor)).Body.Bytes())
			page := data.(map[string]any)["data"].(map[string]any)
			cursor = `,"after":"` + page["nextPage"].(string) + `"`
		}
		return cursor
	}
	calls, fault := schemas.Find("list_calls")
	if fault != nil {
		b.Fatal(fault)
	}
	every := fieldNames(calls.Resource)
	by := func(sort string) string {
		return `{"action":"list_contacts","fields":["id","fullName","email"],"sort":"` + sort + `","page":{"limit":250<after>}}`
	}
	for name, body := range map[string]string{
		"first page":            by("id"),
		"first page by name":    by("fullName"),
		"page 70 by name":       strings.ReplaceAll(by("fullName"), "<after>", deep(by("fullName"), 70)),
		"first page by -name":   by("-fullName"),
		"first page by email":   by("email"),
		"page 2 by name":        strings.ReplaceAll(by("fullName"), "<after>", deep(by("fullName"), 1)),
		"page 70 by -name":      strings.ReplaceAll(by("-fullName"), "<after>", deep(by("-fullName"), 70)),
		"page 70 by email":      strings.ReplaceAll(by("email"), "<after>", deep(by("email"), 70)),
		"every call":            `{"action":"list_calls","fields":["id","status","direction","startedAt","callUuid"]}`,
		"every field of all":    `{"action":"list_calls","fields":` + every + `}`,
		"one by email":          `{"action":"list_contacts","fields":["id"],"filter":{"email":{"eq":"patient777@example.com"}}}`,
		"calls of a contact":    `{"action":"list_calls","fields":["id","contactFullName"],"filter":{"contactId":{"eq":"c694dc71-c171-41d0-be01-8341b21ba8cc"}}}`,
		"calls that are live":   `{"action":"list_calls","fields":["id","contactFullName"],"filter":{"status":{"eq":"answered"}}}`,
		"calls since last week": `{"action":"list_calls","fields":["id","startedAt"],"filter":{"startedAt":{"greaterThan":"` + time.Now().AddDate(0, 0, -7).UTC().Format(ash.TimeLayout) + `"}},"sort":"-startedAt"}`,
	} {
		body = strings.ReplaceAll(body, "<after>", "")
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := send(body); !strings.Contains(w.Body.String(), `"success":true`) {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

func TestScale(t *testing.T) {
	o := open(t, Options{Scale: 300})
	if n := len(o.list(`{"action":"list_contacts","fields":["id"]}`)); n < 300 {
		t.Errorf("%d contacts", n)
	}
	if n := len(o.list(`{"action":"list_calls","fields":["id"]}`)); n < 300 {
		t.Errorf("%d calls", n)
	}
}

// A limit above the maximum returns one row more than the maximum, and hasMore false.
func TestLargestPage(t *testing.T) {
	o := open(t, Options{Scale: 300})
	for limit, want := range map[string]struct {
		rows int
		more bool
	}{"250": {250, true}, "251": {251, false}, "1000": {251, false}} {
		page := o.run(`{"action":"list_contacts","fields":["id"],"page":{"limit":` + limit + `}}`).(map[string]any)
		if n := len(page["results"].([]any)); n != want.rows || page["hasMore"] != want.more {
			t.Errorf("limit %s: %d rows, hasMore %v", limit, n, page["hasMore"])
		}
	}
}
