package ash

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The recordings do not cover these errors of field selection. They follow
// AshTypescript's own field selector and its messages.
func TestSelectionErrors(t *testing.T) {
	e := openLibrary(t)
	for fields, want := range map[string]struct {
		typ, field string
		path       []any
	}{
		`["id","nope","id"]`:                        {"duplicate_field", "id", nil}, // duplicates are reported before unknown fields
		`["id",{"author":["id"]},{"author":[]}]`:    {"duplicate_field", "author", nil},
		`["author"]`:                                {"requires_field_selection", "author", nil},
		`[{"author":[]}]`:                           {"requires_field_selection", "author", nil},
		`[{"author":["id","nope"]}]`:                {"unknown_field", "author.nope", []any{"author"}},
		`[{"author":["id","id"]}]`:                  {"duplicate_field", "author.id", []any{"author"}},
		`[{"author":"id"}]`:                         {"unsupported_field_combination", "author", nil},
		`[{"author":{"id":1}}]`:                     {"unsupported_field_combination", "author", nil},
		`[{"authorName":["x"]}]`:                    {"field_does_not_support_nesting", "authorName", nil},
		`[{"authorName":{"args":{"a":1}}}]`:         {"invalid_calculation_args", "authorName", nil},
		`[{"authorName":{"fields":["x"]}}]`:         {"invalid_field_selection", "authorName", nil},
		`[{"details":{"fields":["x"]}}]`:            {"unknown_field", "details", nil},
		`[{"details":5}]`:                           {"field_does_not_support_nesting", "details", nil},
		`[null]`:                                    {"unknown_field", "", nil},
		`[5]`:                                       {"unknown_field", "5", nil},
		`[{"page_count":["x"],"nope":1}]`:           {"unknown_field", "nope", nil}, // names are checked in alphabetical order
		`[{"page_count":["x"],"title":1}]`:          {"field_does_not_support_nesting", "pageCount", nil},
		`["page_count",{"author":["id"]},"unread"]`: {"unknown_field", "unread", nil},
	} {
		var list any
		if err := json.Unmarshal([]byte(fields), &list); err != nil {
			t.Fatal(err)
		}
		_, err := e.perform(t.Context(), map[string]any{"action": "list_books", "fields": list})
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != 1 {
			t.Errorf("%s: %v", fields, err)
			continue
		}
		got := errs[0]
		if got.Type != want.typ || got.Fields[0] != want.field || got.Vars["field"] != want.field || !cmp.Equal(got.Path, want.path, cmpopts.EquateEmpty()) {
			t.Errorf("%s: %s of %v at %v, want %+v", fields, got.Type, got.Fields, got.Path, want)
		}
	}
}
