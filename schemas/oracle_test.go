package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	oracle "github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compiled(t *testing.T) map[string]*oracle.Schema {
	t.Helper()
	c := oracle.NewCompiler()
	c.DefaultDraft(oracle.Draft2020)
	c.AssertFormat()
	out := map[string]*oracle.Schema{}
	for _, a := range Actions() {
		doc, err := oracle.UnmarshalJSON(bytes.NewReader(a.InputSchema()))
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		url := "mem:///" + a.Name
		if err := c.AddResource(url, doc); err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		s, err := c.Compile(url)
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		out[a.Name] = s
	}
	return out
}

// TestSchemaAcceptsWhatCheckAccepts: a client that validates by the tool's schema rejects no call
// that Check accepts.
func TestSchemaAcceptsWhatCheckAccepts(t *testing.T) {
	schemas := compiled(t)
	var taken, refused int
	rapid.Check(t, func(t *rapid.T) {
		a := byName[rapid.SampledFrom(actionNames()).Draw(t, "action")]
		args := arguments(t, a)
		_, err := a.Check([]byte(args), Limits{Now: noon})
		doc, uerr := oracle.UnmarshalJSON(strings.NewReader(args))
		if uerr != nil {
			t.Fatal(uerr)
		}
		verdict := schemas[a.Name].Validate(doc)
		if err == nil {
			taken++
			if verdict != nil {
				t.Fatalf("%s %s: taken, but its schema says %v", a.Name, args, verdict)
			}
			return
		}
		refused++
	})
	if !testing.Short() && (taken < 10 || refused < 10) {
		t.Errorf("%d taken, %d refused: the arguments drawn test too little", taken, refused)
	}
}

// TestCheckRejectsWhatTheSchemaRejects: Check rejects what the schema rejects by its structure.
func TestCheckRejectsWhatTheSchemaRejects(t *testing.T) {
	schemas := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		a := byName[rapid.SampledFrom(actionNames()).Draw(t, "action")]
		args := arguments(t, a)
		doc, err := oracle.UnmarshalJSON(strings.NewReader(args))
		if err != nil {
			t.Fatal(err)
		}
		if schemas[a.Name].Validate(doc) == nil {
			return
		}
		if _, err := a.Check([]byte(args), Limits{Now: noon}); err == nil {
			t.Fatalf("%s %s: the schema refuses it, the checker does not", a.Name, args)
		}
	})
}

func actionNames() []string {
	var names []string
	for _, a := range Actions() {
		names = append(names, a.Name)
	}
	return names
}

// arguments draws a valid call and then changes parts of it.
func arguments(t *rapid.T, a *Action) string {
	var v map[string]any
	if err := json.Unmarshal([]byte(sample(a)), &v); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		key := rapid.SampledFrom([]string{"identity", "input", "fields", "filter", "sort", "page", "reason", "nonsense"}).Draw(t, "key")
		target := v
		if in, ok := v["input"].(map[string]any); ok && a.check.props["input"] != nil && rapid.Bool().Draw(t, "inside") {
			target = in
			names := append([]string{"nonsense"}, a.check.props["input"].names...)
			key = rapid.SampledFrom(names).Draw(t, "input key")
		}
		if rapid.Bool().Draw(t, "remove") {
			delete(target, key)
			continue
		}
		target[key] = value(t, 2)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func value(t *rapid.T, nesting int) any {
	n := 9
	if nesting == 0 {
		n = 7
	}
	switch rapid.IntRange(0, n).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.IntRange(-2, 300).Draw(t, "int")
	case 3:
		return rapid.Float64Range(-2, 2).Draw(t, "float")
	case 4:
		return someID
	case 5:
		return rapid.SampledFrom([]string{"", "x", "id", "2026-01-31", "2026-01-31T09:00:00Z", "+442079460123", "available", "inbound", "-id"}).Draw(t, "text")
	case 6:
		return []any{"id"}
	case 7:
		return map[string]any{"id": map[string]any{"eq": someID}}
	case 8:
		return []any{value(t, nesting-1), value(t, nesting-1)}
	}
	return map[string]any{rapid.SampledFrom([]string{"limit", "offset", "after", "a"}).Draw(t, "name"): value(t, nesting-1)}
}

// TestSchemasWorkInEveryClient: schemas use only what all clients support.
func TestSchemasWorkInEveryClient(t *testing.T) {
	for _, a := range Actions() {
		var top map[string]any
		if err := json.Unmarshal(a.InputSchema(), &top); err != nil {
			t.Fatal(err)
		}
		if top["type"] != "object" || top["additionalProperties"] != false {
			t.Errorf("%s: type %v, additionalProperties %v", a.Name, top["type"], top["additionalProperties"])
		}
		for _, word := range []string{"$ref", "$defs", "oneOf", "anyOf", "allOf", "$schema"} {
			if bytes.Contains(a.InputSchema(), []byte(`"`+word+`"`)) {
				t.Errorf("%s: uses %s", a.Name, word)
			}
		}
		for name, p := range top["properties"].(map[string]any) {
			if d, _ := p.(map[string]any)["description"].(string); d == "" {
				t.Errorf("%s: %s has no description", a.Name, name)
			}
		}
		_, reason := top["properties"].(map[string]any)["reason"]
		if reason == (a.Class == Read) {
			t.Errorf("%s (%s): reason offered: %t", a.Name, a.Class, reason)
		}
	}
}

// TestDescriptionsAreComplete: an unescaped comma in a jsonschema tag cuts a description silently.
func TestDescriptionsAreComplete(t *testing.T) {
	for _, a := range Actions() {
		if a.input == nil {
			continue
		}
		var walk func(reflect.Type)
		walk = func(typ reflect.Type) {
			for i := range typ.NumField() {
				f := typ.Field(i)
				if f.Anonymous {
					walk(f.Type)
					continue
				}
				if tag := f.Tag.Get("jsonschema"); strings.Contains(tag, "description") {
					t.Errorf("%s.%s: a description in the jsonschema tag; use jsonschema_description", typ, f.Name)
				}
				if d := f.Tag.Get("jsonschema_description"); d != "" {
					q, _ := json.Marshal(d)
					if !bytes.Contains(a.InputSchema(), q) {
						t.Errorf("%s: the description %q is not in the schema", a.Name, d)
					}
				}
			}
		}
		walk(reflect.TypeOf(a.input))
	}
}

// TestRegistryIsComplete: every entry has what a person and a model need.
func TestRegistryIsComplete(t *testing.T) {
	classes := map[Class]int{}
	for _, a := range Actions() {
		classes[a.Class]++
		if a.Title == "" || a.Description == "" || len(a.Toolsets) == 0 {
			t.Errorf("%s: title %q, description %q, toolsets %v", a.Name, a.Title, a.Description, a.Toolsets)
		}
		if (a.Class == Read) == (a.Ask != "" || a.Effect != "") {
			t.Errorf("%s (%s): ask %q, effect %q", a.Name, a.Class, a.Ask, a.Effect)
		}
		if a.List() && a.filterExample == "" {
			t.Errorf("%s: no example of a filter", a.Name)
		}
		if a.List() && !a.Paged() && a.Resource.TimeField == "" {
			t.Errorf("%s: neither pages nor a time field", a.Name)
		}
		if a.List() {
			filter, _, _ := strings.Cut(a.filterExample, ": live now")
			filter = strings.NewReplacer("<call id>", someID, "<id>", someID).Replace(filter)
			if _, e := check(t, a.Name, fmt.Sprintf(`{"filter":%s,"sort":%q}`, filter, a.sortExample())); e != nil {
				t.Errorf("%s: its own examples are refused: %v", a.Name, e)
			}
		}
		if a.Class != Read && a.Class != Credential && a.ShownBy() == "" {
			t.Errorf("%s: no list shows what it did", a.Name)
		}
		// The description names only tools that exist.
		for w := range strings.FieldsFuncSeq(a.Description, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
			if strings.Contains(w, "_") && byName[w] == nil && w != "on_break" && w != "logged_out" {
				t.Errorf("%s: its description names %s, which is no tool", a.Name, w)
			}
		}
	}
	want := map[Class]int{Read: 22, Write: 14, Outbound: 8, Destructive: 6, Credential: 2}
	for c, n := range want {
		if classes[c] != n {
			t.Errorf("%d actions of class %s, want %d", classes[c], c, n)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, a := range Actions() {
		f.Add(a.Name, []byte(sample(a)))
	}
	f.Add("list_contacts", []byte(`{"filter":{"and":[{"id":{"in":[null]}}]},"sort":"++","page":{"limit":1e2}}`))
	f.Add("import_inbound_email", []byte(`{"input":{"recipientAddress":"x","rawMime":"From: =?utf-8?q?=41?= <a@b.example>, c@d.example\nSubject: x\n\n"}}`))
	f.Fuzz(func(t *testing.T, name string, args []byte) {
		a, err := Find(name)
		if err != nil {
			return
		}
		p, err := a.Check(args, Limits{Now: noon, Rows: 100})
		if err != nil {
			if len(err.Error()) > 8000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if !json.Valid(p.Body) {
			t.Fatalf("the body is no JSON: %q", p.Body)
		}
		if s := p.Subjects(); !slices.IsSorted(s) || len(slices.Compact(s)) != len(s) {
			t.Fatalf("%s concerns %q", p.Body, s)
		}
		if b := p.BeforeRead(); (b != nil) != (a.updatesRecord() && len(p.setFields()) > 0) { // and it did not panic
			t.Fatalf("nothing is read before %s", p.Body)
		}
		// A second encoding gives the same bytes.
		again := encode(p.Args)
		if !bytes.Equal(again, p.Body) {
			t.Fatalf("two encodings: %q and %q", p.Body, again)
		}
	})
}
