package sandbox

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// isHostile reports whether a value contains one of the hostile texts.
func isHostile(v any) bool {
	s, ok := v.(string)
	if !ok {
		b, _ := json.Marshal(v)
		s = string(b)
	}
	for _, mark := range []string{"IGNORE ALL PREVIOUS", "<tool_result", "4111 1111", "DROP TABLE", "onerror="} {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return len(s) > 10_000 || strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && (unicode.Is(unicode.Cf, r) || unicode.IsControl(r))
	})
}

// docs/sandbox.md must list each hostile record of seed 1 with its id.
func TestHostileRecordsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, Options{})
	found := 0
	for _, a := range schemas.Actions() {
		if !a.List() {
			continue
		}
		for _, row := range o.list(`{"action":"` + a.Name + `","fields":` + fieldNames(a.Resource) + `}`) {
			for field, v := range row {
				if isHostile(v) {
					found++
					if id := row["id"].(string); !strings.Contains(string(docs), id) {
						t.Errorf("docs/sandbox.md does not list %s %s (%s: %.60q)", a.Resource.Name, id, field, v)
					}
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d hostile values in the seed", found)
	}
}
