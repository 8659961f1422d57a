package schemas

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Fact is what the published reference says about an action, in its own words.
type Fact struct {
	Name string `json:"name"`
	// Keys are the payload keys, such as `fields, filter?, sort?`; "none" where there are none.
	Keys string `json:"payload"`
	// Input has one TypeScript property per entry, such as `email?: string | null;`.
	Input []string `json:"input"`
	// Resource and Fields say what can be selected; empty for maps and deletions.
	Resource string   `json:"resource"`
	Fields   []string `json:"fields"`
}

// Facts returns the registry in the reference's words. It reads the schemas that clients get, not
// the entries that they are made from.
func Facts() []Fact {
	out := make([]Fact, 0, len(registry))
	for _, a := range registry {
		f := Fact{Name: a.Name, Keys: a.payloadKeys}
		if f.Keys == "" {
			f.Keys = "none"
		}
		var s schemaView
		if err := json.Unmarshal(a.schema, &s); err != nil {
			panic("schemas: " + a.Name + ": " + err.Error())
		}
		if in, ok := s.Properties["input"]; ok {
			f.Input = in.typescript()
		}
		if fields, ok := s.Properties["fields"]; ok {
			f.Resource = a.Resource.Name
			for _, v := range fields.Items.Enum {
				f.Fields = append(f.Fields, v.(string))
			}
		}
		out = append(out, f)
	}
	return out
}

// schemaView is the part of a tool's schema that the reference states too.
type schemaView struct {
	Type       any                   `json:"type"`
	Format     string                `json:"format"`
	Enum       []any                 `json:"enum"`
	Items      *schemaView           `json:"items"`
	Properties map[string]schemaView `json:"properties"`
	Required   []string              `json:"required"`
}

func (s schemaView) typescript() []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(s.Properties)) {
		optional := "?"
		if slices.Contains(s.Required, k) {
			optional = ""
		}
		out = append(out, k+optional+": "+s.Properties[k].name()+";")
	}
	return out
}

func (s schemaView) name() string {
	kind, null := s.Type, ""
	if list, ok := kind.([]any); ok {
		kind, null = list[0], " | null"
	}
	switch {
	case s.Enum != nil:
		var vs []string
		for _, v := range s.Enum {
			if v, ok := v.(string); ok {
				vs = append(vs, `"`+v+`"`)
			}
		}
		return strings.Join(vs, " | ") + null
	case s.Format == "uuid":
		return "UUID" + null
	case s.Format == "date-time":
		return "UtcDateTimeUsec" + null
	case s.Format == "date":
		return "AshDate" + null
	case kind == "array":
		return "Array<" + s.Items.name() + ">" + null
	case kind == "object":
		return "Record<string, any>" + null
	case kind == "integer":
		return "number" + null
	}
	return fmt.Sprint(kind) + null
}

// opaque replaces types that the reference uses and does not define: they are passed on as objects.
var opaque = strings.NewReplacer("ImportedEmailPayloadInputSchema", "Record<string, any>")

var (
	keysLine  = regexp.MustCompile(`^\s*• Payload keys: (.*)$`)
	inputLine = regexp.MustCompile(`^export type \w+Input = \{$`)
	fieldHead = regexp.MustCompile(`^Selectable resource fields \((\w+)\)$`)
	bullet    = regexp.MustCompile(`^\s*• (.*)$`)
	nameLine  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)
)

// ParseReference returns what the published reference, saved as text, says about each action. It
// fails if the page has no action.
func ParseReference(page string) ([]Fact, error) {
	_, body, ok := strings.Cut(strings.ReplaceAll(page, "\r\n", "\n"), "\nAction reference\n")
	if !ok {
		return nil, fmt.Errorf("the page has no section \"Action reference\": save the org API's reference as text")
	}
	var out []Fact
	var f *Fact
	var inInput, inFields bool
	for line := range strings.SplitSeq(body, "\n") {
		switch {
		case nameLine.MatchString(line):
			out = append(out, Fact{Name: line})
			f, inInput, inFields = &out[len(out)-1], false, false
		case f == nil:
		case inInput && strings.HasPrefix(line, "}"):
			inInput = false
		case inInput:
			f.Input = append(f.Input, strings.TrimSpace(line))
		case inputLine.MatchString(line):
			inInput = true
		case keysLine.MatchString(line):
			f.Keys = keysLine.FindStringSubmatch(line)[1]
		case fieldHead.MatchString(line):
			f.Resource, inFields = fieldHead.FindStringSubmatch(line)[1], true
		case inFields && bullet.MatchString(line):
			f.Fields, inFields = strings.Split(bullet.FindStringSubmatch(line)[1], ", "), false
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the page names no action under \"Action reference\"")
	}
	return out, nil
}

// Diff returns the differences between two lists of facts, one per line: actions added or removed,
// and payload keys, inputs and fields changed. It returns nil if they agree.
func Diff(ours, theirs []Fact) []string {
	a, b := factsByName(ours), factsByName(theirs)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[name]; !ok {
			out = append(out, "- "+name+": the action is gone")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		x, ok := a[name]
		if !ok {
			out = append(out, "+ "+name+": the action is new")
			continue
		}
		y := b[name]
		if x.Keys != y.Keys {
			out = append(out, fmt.Sprintf("~ %s: payload keys were %q, are %q", name, x.Keys, y.Keys))
		}
		if x.Resource != y.Resource {
			out = append(out, fmt.Sprintf("~ %s: the resource was %q, is %q", name, x.Resource, y.Resource))
		}
		out = append(out, difference(name, "input", x.Input, y.Input)...)
		out = append(out, difference(name, "field", x.Fields, y.Fields)...)
	}
	return out
}

func factsByName(facts []Fact) map[string]Fact {
	m := map[string]Fact{}
	for _, f := range facts {
		for i, p := range f.Input {
			p = opaque.Replace(strings.TrimSpace(p))
			// White space does not count.
			f.Input[i] = strings.Join(strings.Fields(p), " ")
		}
		m[f.Name] = f
	}
	return m
}

func difference(action, what string, ours, theirs []string) []string {
	var out []string
	for _, v := range ours {
		if !slices.Contains(theirs, v) {
			out = append(out, fmt.Sprintf("~ %s: %s %s is gone", action, what, v))
		}
	}
	for _, v := range theirs {
		if !slices.Contains(ours, v) {
			out = append(out, fmt.Sprintf("~ %s: %s %s is new", action, what, v))
		}
	}
	return out
}
