package recipients_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func TestFindOwners(t *testing.T) {
	const a, b, c = "+447700900107", "+442079460123", "+353209100103"
	row := func(id, name, number, erased, deleted string) string {
		return `{"id":"` + id + `","fullName":` + name + `,"phoneE164":"` + number + `","erasedAt":` + erased + `,"deletedAt":` + deleted + `}`
	}
	rows := []string{row("2", `"Bea"`, a, "null", `"2026-01-01T00:00:00Z"`), row("1", `"Ada \"x"`, a, "null", "null"), row("3", `"Erased"`, a, `"2026-01-01T00:00:00Z"`, "null"),
		row("4", "null", b, "null", "null"), row("5", `"Eve"`, "+447700900999", "null", "null")}
	var sent string
	found, fault := recipients.FindOwners(t.Context(), []string{a, b, c}, func(_ context.Context, p *schemas.Payload) (json.RawMessage, *schemas.Error) {
		sent = string(p.Body)
		return json.RawMessage(`{"results":[` + strings.Join(rows, ",") + `],"hasMore":false}`), nil
	})
	if fault != nil || !strings.Contains(sent, `"filter":{"or":[{"phoneE164":{"eq":"`+a+`"}},{"phoneE164":{"eq":"`+b+`"}},{"phoneE164":{"eq":"`+c+`"}}]}`) {
		t.Fatal(fault, sent)
	}
	want := map[string][]recipients.Owner{a: {{Contact: "1", Name: `Ada "x`}, {Contact: "2", Name: "Bea", Archived: true}}, b: {{Contact: "4"}},
		"+447700900999": {{Contact: "5", Name: "Eve"}}}
	if d := cmp.Diff(want, found); d != "" {
		t.Error(d)
	}
}
