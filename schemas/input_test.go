package schemas

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInputsMatchTheSchema compares what Inputs says with the schema that clients are shown.
func TestInputsMatchTheSchema(t *testing.T) {
	for _, a := range Actions() {
		var schema struct{ Properties map[string]schemaView }
		if err := json.Unmarshal(a.InputSchema(), &schema); err != nil {
			t.Fatal(err)
		}
		got := schemaView{Properties: map[string]schemaView{}, Type: "object"}
		for _, in := range a.Inputs() {
			p := schemaView{Type: in.Type, Format: in.Format}
			if in.Nullable {
				p.Type = []any{in.Type, "null"}
			}
			if in.Items != "" {
				p.Items, p.Format = &schemaView{Type: in.Items, Format: in.Format}, ""
			}
			for _, v := range in.Values {
				p.Enum = append(p.Enum, v)
			}
			if in.Nullable && in.Values != nil {
				p.Enum = append(p.Enum, nil)
			}
			if in.Required {
				got.Required = append(got.Required, in.Name)
			}
			got.Properties[in.Name] = p
		}
		want, takesInput := schema.Properties["input"]
		if takesInput != a.hasKey("input") || takesInput != (a.Inputs() != nil) {
			t.Errorf("%s: takes input: %t", a.Name, takesInput)
		}
		if d := cmp.Diff(want, got); takesInput && d != "" {
			t.Errorf("%s: %s", a.Name, d)
		}
	}
}
