package tools_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// The budgets of what a model gets before its first call.
const (
	maxAllTools = 52_000 // bytes of compact JSON, of all actions
	maxOneTool  = 2_600
	maxIntro    = 2_048
)

// listed returns the tools of a server as tools/list has them, in order.
func listed(t *testing.T, s tools.Selection, modern bool) (names []string, raw map[string]json.RawMessage) {
	t.Helper()
	p := newWorld(t, setup{selection: s}).httpPeer(t, modern)
	p.begin()
	var r struct {
		Result struct {
			Tools      []json.RawMessage
			NextCursor string
		}
	}
	frame := p.send("tools/list", "{}", "")
	if err := json.Unmarshal(frame, &r); err != nil || r.Result.NextCursor != "" {
		t.Fatalf("%v, cursor %q: %.300s", err, r.Result.NextCursor, frame)
	}
	raw = map[string]json.RawMessage{}
	for _, d := range r.Result.Tools {
		var n struct{ Name string }
		if err := json.Unmarshal(d, &n); err != nil {
			t.Fatal(err)
		}
		names = append(names, n.Name)
		raw[n.Name] = d
	}
	return names, raw
}

// TestDefinitions compares every tool with its golden file. Both protocols must get the same.
func TestDefinitions(t *testing.T) {
	names, raw := listed(t, tools.Selection{}, false)
	if len(names) != len(schemas.Actions())+2 {
		t.Errorf("%d tools", len(names))
	}
	modernNames, modernRaw := listed(t, tools.Selection{}, true)
	if d := cmp.Diff(names, modernNames); d != "" {
		t.Errorf("the protocols list different tools: %s", d)
	}
	dir := filepath.Join("testdata", "tools")
	for _, name := range names {
		if string(raw[name]) != string(modernRaw[name]) {
			t.Errorf("%s differs between the protocols", name)
		}
		var b bytes.Buffer
		if err := json.Indent(&b, raw[name], "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
		golden(t, filepath.Join(dir, name+".json"), b.Bytes())
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := raw[strings.TrimSuffix(f.Name(), ".json")]; !ok {
			t.Errorf("%s is a golden file without a tool", f.Name())
		}
	}
}

// golden compares got with a file; -update rewrites the file.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(path)
	if *update {
		if !bytes.Equal(want, got) {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if err != nil {
		t.Errorf("%v; run the test with -update", err)
		return
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got, rewrite with -update):\n%s", path, d)
	}
}

// TestToolsets compares the tools of each toolset with the golden file.
func TestToolsets(t *testing.T) {
	a := &txtar.Archive{Comment: []byte("The tools that each selection shows, in the order of tools/list.\n")}
	add := func(name string, s tools.Selection) {
		names, _ := listed(t, s, true)
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(strings.Join(names, "\n") + "\n")})
	}
	for _, ts := range schemas.Toolsets {
		add(string(ts), tools.Selection{Toolsets: []string{string(ts)}})
	}
	add("read-only", tools.Selection{ReadOnly: true})
	add("contacts and email, read-only", tools.Selection{Toolsets: []string{"contacts", "email"}, ReadOnly: true})
	add("operators and end_call", tools.Selection{Toolsets: []string{"operators"}, Tools: []string{"end_call"}})
	add("list_calls alone", tools.Selection{Tools: []string{"list_calls"}})
	golden(t, filepath.Join("testdata", "toolsets.txtar"), txtar.Format(a))
}

func TestSelectionErrors(t *testing.T) {
	for name, c := range map[string]struct {
		s    tools.Selection
		says string
	}{
		"unknown toolset": {tools.Selection{Toolsets: []string{"contact"}}, "valid: [calls queue"},
		"unknown tool":    {tools.Selection{Tools: []string{"list_contact"}}, "did you mean list_contacts?"},
		"nothing left":    {tools.Selection{Tools: []string{"end_call"}, ReadOnly: true}, "leaves no tool"},
	} {
		if _, err := tools.NewServer(tools.Options{Select: c.s}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBudget checks the sizes of the tools and of the instructions.
func TestBudget(t *testing.T) {
	names, raw := listed(t, tools.Selection{}, true)
	all := 0
	for _, n := range names {
		var b bytes.Buffer
		if err := json.Compact(&b, raw[n]); err != nil {
			t.Fatal(err)
		}
		if b.Len() > maxOneTool {
			t.Errorf("%s has %d bytes, %d are allowed", n, b.Len(), maxOneTool)
		}
		if n != "validate_action" && n != "approval_status" {
			all += b.Len()
		}
	}
	t.Logf("%d tools, %d bytes", len(names), all)
	if all > maxAllTools {
		t.Errorf("all tools have %d bytes, %d are allowed", all, maxAllTools)
	}
	p := newWorld(t, setup{}).httpPeer(t, false)
	p.initialized = true
	var r struct{ Result struct{ Instructions string } }
	if err := json.Unmarshal(p.send("initialize", `{"protocolVersion":"`+legacyVersion+`","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`, ""), &r); err != nil {
		t.Fatal(err)
	}
	if n := len(r.Result.Instructions); n == 0 || n >= maxIntro {
		t.Errorf("the instructions have %d bytes", n)
	}
	golden(t, filepath.Join("testdata", "instructions.txt"), []byte(r.Result.Instructions+"\n"))
	for _, o := range schemas.Outcomes {
		if !strings.Contains(r.Result.Instructions, string(o)) {
			t.Errorf("the instructions do not explain %s", o)
		}
	}
}

// TestHints checks that all four hints are set on every tool and agree with the action.
func TestHints(t *testing.T) {
	names, raw := listed(t, tools.Selection{}, true)
	for _, n := range names {
		var d struct {
			Title, Description string
			InputSchema        map[string]any
			Annotations        struct{ ReadOnlyHint, DestructiveHint, IdempotentHint, OpenWorldHint *bool }
		}
		if err := json.Unmarshal(raw[n], &d); err != nil {
			t.Fatal(err)
		}
		h := d.Annotations
		if h.ReadOnlyHint == nil || h.DestructiveHint == nil || h.IdempotentHint == nil || h.OpenWorldHint == nil {
			t.Errorf("%s: a hint is unset: %s", n, raw[n])
			continue
		}
		if d.Title == "" || d.Description == "" || d.InputSchema["type"] != "object" || d.InputSchema["additionalProperties"] != false {
			t.Errorf("%s: %s", n, raw[n])
		}
		for _, k := range []string{"oneOf", "anyOf", "allOf", "$ref", "$defs"} {
			if _, ok := d.InputSchema[k]; ok || strings.Contains(string(raw[n]), `"$ref"`) {
				t.Errorf("%s: %s in the schema", n, k)
			}
		}
		a, err := schemas.Find(n)
		if err != nil {
			continue // validate_action
		}
		// By the protocol, what a description calls lost is destructive.
		loses := strings.HasPrefix(n, "update_") || strings.HasPrefix(n, "clear_")
		if *h.ReadOnlyHint != (a.Class == schemas.Read) || *h.OpenWorldHint != (a.Class == schemas.Outbound || n == "end_call") ||
			*h.DestructiveHint != (loses || slices.Contains([]schemas.Class{schemas.Outbound, schemas.Destructive}, a.Class)) ||
			strings.Contains(d.Description, "lost") && !*h.DestructiveHint {
			t.Errorf("%s (%s): %s", n, a.Class, raw[n])
		}
		_, reason := d.InputSchema["properties"].(map[string]any)["reason"]
		if reason != (a.Class != schemas.Read) {
			t.Errorf("%s (%s): has a reason: %t", n, a.Class, reason)
		}
	}
}
