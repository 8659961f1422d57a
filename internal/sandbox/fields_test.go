package sandbox

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFieldFaults covers the faults of field selection that the recordings do
// not show; they are read off AshTypescript's own field selector and messages.
func TestFieldFaults(t *testing.T) {
	e, err := Open(context.Background(), recordedDomain(t, *rowsFile), "", open(t, Options{}).now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for fields, want := range map[string]struct {
		typ, field string
		path       []any
	}{
		`["id","nope","id"]`:                          {"duplicate_field", "id", nil}, // before unknown ones
		`["id",{"contact":["id"]},{"contact":[]}]`:    {"duplicate_field", "contact", nil},
		`["contact"]`:                                 {"requires_field_selection", "contact", nil},
		`[{"contact":[]}]`:                            {"requires_field_selection", "contact", nil},
		`[{"contact":["id","nope"]}]`:                 {"unknown_field", "contact.nope", []any{"contact"}},
		`[{"contact":["id","id"]}]`:                   {"duplicate_field", "contact.id", []any{"contact"}},
		`[{"contact":"id"}]`:                          {"unsupported_field_combination", "contact", nil},
		`[{"contact":{"id":1}}]`:                      {"unsupported_field_combination", "contact", nil},
		`[{"contactFullName":["x"]}]`:                 {"field_does_not_support_nesting", "contactFullName", nil},
		`[{"contactFullName":{"args":{"a":1}}}]`:      {"invalid_calculation_args", "contactFullName", nil},
		`[{"contactFullName":{"fields":["x"]}}]`:      {"invalid_field_selection", "contactFullName", nil},
		`[{"recordingMetadata":{"fields":["x"]}}]`:    {"unknown_field", "recordingMetadata", nil},
		`[{"recordingMetadata":5}]`:                   {"field_does_not_support_nesting", "recordingMetadata", nil},
		`[null]`:                                      {"unknown_field", "", nil},
		`[5]`:                                         {"unknown_field", "5", nil},
		`[{"call_uuid":["x"],"nope":1}]`:              {"field_does_not_support_nesting", "callUuid", nil},
		`["call_uuid",{"contact":["id"]},"outbound"]`: {"unknown_field", "outbound", nil},
	} {
		var list any
		if err := json.Unmarshal([]byte(fields), &list); err != nil {
			t.Fatal(err)
		}
		_, err := e.perform(context.Background(), map[string]any{"action": "list_calls", "fields": list})
		fs, ok := err.(Errors)
		if !ok || len(fs) != 1 {
			t.Errorf("%s: %v", fields, err)
			continue
		}
		f := fs[0]
		if f.Type != want.typ || f.Fields[0] != want.field || f.Vars["field"] != want.field || len(f.Path) != len(want.path) || (len(f.Path) > 0 && !cmp.Equal(f.Path, want.path)) {
			t.Errorf("%s: %s of %v at %v, want %+v", fields, f.Type, f.Fields, f.Path, want)
		}
	}
}
