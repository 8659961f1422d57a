package approval_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// shape is a JSON Schema.
type shape struct {
	Type       any
	Format     string
	Enum       []any
	Items      *shape
	Properties map[string]*shape
	Required   []string
}

func shapeOf(a *schemas.Action) (s shape) {
	if err := json.Unmarshal(a.InputSchema(), &s); err != nil {
		panic(err)
	}
	return s
}

func (s *shape) requires(name string) bool { return slices.Contains(s.Required, name) }

func (s *shape) is(kind string) bool {
	list, _ := s.Type.([]any)
	return s.Type == kind || slices.Contains(list, any(kind))
}

// short returns a value that the shape takes.
func (s *shape) short(name string) any {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Format == "uuid":
		return anID
	case s.Format == "date-time":
		return "2026-01-31T09:00:00Z"
	case s.Format == "date":
		return "2026-01-31"
	case name == "phoneE164" || name == "phoneNumber":
		return "+447700900999"
	case s.is("boolean"):
		return true
	case s.is("integer"):
		return 7
	case s.is("array"):
		return []any{s.Items.short(name)}
	case s.is("object"):
		return map[string]any{"k": "v"}
	}
	return "x y"
}

var texts = rapid.OneOf(rapid.SampledFrom([]string{`x"; phone → +44`, "x\nAction y", `x\`, `x\" → "`, "שרה", "x 漢字 👍", "true", "input.email: y", strings.Repeat("x y ", 30), strings.Repeat("x", 79), strings.Repeat("x", 200)}),
	rapid.StringMatching(`[a-z]{1,8}( [a-z]{1,8}){0,2}`), rapid.Map(rapid.String(), func(s string) string { return "x" + strings.ReplaceAll(s, "\x00", "") }))

// draw draws a value that the shape takes.
func (s *shape) draw(t *rapid.T, name string) any {
	switch list, _ := s.Type.([]any); {
	case len(list) > 1 && rapid.IntRange(0, 4).Draw(t, name+" is null") == 0:
		return nil
	case len(s.Enum) > 0:
		return rapid.SampledFrom(s.Enum).Draw(t, name)
	case s.is("array"):
		n := rapid.IntRange(1, 7).Draw(t, name)
		out := []any{}
		for len(out) < n {
			if v := s.Items.draw(t, name); !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out
	case s.Format == "uuid":
		return fmt.Sprintf("0e6f1a52-4f0e-4a3b-9a87-%012d", rapid.IntRange(0, 1e9).Draw(t, name))
	case s.is("object"):
		return rapid.MapOfN(texts, rapid.OneOf(texts.AsAny(), rapid.Int().AsAny(), rapid.Just[any](nil), rapid.Just[any]([]any{[]any{}, "x y", map[string]any{`a"b`: `c d\`}}),
			rapid.Just[any](map[string]any{})), 0, 3).Draw(t, name)
	case s.is("string") && s.Format == "" && name != "phoneE164" && name != "phoneNumber":
		text := []rune(texts.Draw(t, name))
		return string(text[:min(200, len(text))]) // every input takes so many
	}
	return s.short(name)
}

// drawArgs draws the arguments of a call.
func drawArgs(t *rapid.T, a *schemas.Action) string {
	args, s := map[string]any{}, shapeOf(a)
	if s.Properties["identity"] != nil {
		args["identity"] = anID
	}
	if f := s.Properties["fields"]; f != nil && (a.Class == schemas.Read || s.requires("fields")) {
		args["fields"] = rapid.SliceOfNDistinct(rapid.SampledFrom(f.Items.Enum), 1, 6, rapid.ID).Draw(t, "fields")
	}
	if a.List() {
		filter := map[string]any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(a.Resource.Names()), 0, 2, rapid.ID).Draw(t, "filter") {
			ops := map[string]any{"isNil": rapid.Bool().Draw(t, name)}
			if k := a.Resource.Field(name).Kind; k == schemas.Text {
				ops = map[string]any{"eq": texts.Draw(t, name)}
			}
			filter[name] = ops
		}
		args["filter"] = filter
	}
	if in := s.Properties["input"]; in != nil {
		values := map[string]any{}
		target := ""
		if len(a.Targets) > 0 {
			target = rapid.SampledFrom(a.Targets).Draw(t, "target")
		}
		for _, k := range slices.Sorted(maps.Keys(in.Properties)) {
			if in.requires(k) || k == target || !slices.Contains(a.Targets, k) && rapid.IntRange(0, 3).Draw(t, "has "+k) == 0 {
				values[k] = in.Properties[k].draw(t, k)
			}
		}
		args["input"] = values
	}
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
