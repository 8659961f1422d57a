package inspector_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	inspectorScript   = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
	conformanceScript = "@modelcontextprotocol/conformance/dist/index.js"

	modernRevision = "2026-07-28"
)

// transport says how the Inspector calls the server over one transport, and what was then sent on
// the wire.
type transport struct {
	before, after []string // its options, and the command behind --
	said          func() []said
}

func TestInspector(t *testing.T) {
	n := needNode(t)
	exe := build(t)
	url, take := tapHTTP(t, serve(t, exe))
	transports := map[string]func(t *testing.T) transport{
		"http": func(*testing.T) transport {
			take()
			return transport{before: []string{"--server-url", url, "--transport", "http"}, said: take}
		},
		"stdio": func(t *testing.T) transport {
			file := filepath.Join(t.TempDir(), "said")
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			return transport{before: []string{"-e", tapFile + "=" + file},
				after: []string{"--", self, exe, "stdio", "--sandbox"},
				said:  func() []said { return tapped(t, file) }}
		},
	}
	for _, name := range []string{"stdio", "http"} {
		for _, era := range []string{"legacy", "modern"} {
			t.Run(name+"/"+era+"/list", func(t *testing.T) {
				// --strict fails on a schema that some client cannot take.
				out := inspect(t, n, transports[name](t), era, "--method", "tools/list", "--strict")
				checkList(t, out)
			})
			t.Run(name+"/"+era+"/call", func(t *testing.T) {
				out := inspect(t, n, transports[name](t), era, "--method", "tools/call",
					"--tool-name", "list_contacts", "--tool-args-json", `{"fields":["id","fullName"],"page":{"limit":3}}`)
				checkCall(t, out)
			})
		}
	}
}

// inspect runs the Inspector, sees that it spoke the era that it was told, and gives the result.
func inspect(t *testing.T, n node, w transport, era string, what ...string) json.RawMessage {
	t.Helper()
	args := append([]string{"--cli", "--protocol-era", era, "--format", "json", "-q"}, w.before...)
	out, errs, err := n.run(t, inspectorScript, append(append(args, what...), w.after...)...)
	if err != nil {
		t.Fatalf("the Inspector failed: %v\n%s\n%s", err, out, errs)
	}
	checkEra(t, w.said(), era, what[1])
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Result == nil {
		t.Fatalf("the Inspector printed no result: %v\n%s", err, out)
	}
	return answer.Result
}

func checkEra(t *testing.T, all []said, era, method string) {
	t.Helper()
	t.Log("the client said", all)
	asked := slices.IndexFunc(all, func(s said) bool { return s.Method == method })
	if asked < 0 {
		t.Fatalf("the client never asked %s", method)
	}
	shook := slices.ContainsFunc(all, func(s said) bool { return s.Method == "initialize" })
	revision := all[asked].revision()
	switch {
	case era == "modern" && (shook || revision != modernRevision):
		t.Errorf("not the modern era: initialize sent: %t, revision of the request: %q", shook, revision)
	case era == "legacy" && (!shook || revision != ""):
		t.Errorf("not the legacy era: initialize sent: %t, revision of the request: %q", shook, revision)
	}
}

func checkList(t *testing.T, result json.RawMessage) {
	t.Helper()
	var list struct {
		Tools []struct {
			Name        string
			InputSchema struct{ Type string }
		}
	}
	if err := json.Unmarshal(result, &list); err != nil {
		t.Fatal(err)
	}
	want := []string{"validate_action", "approval_status"}
	for _, a := range schemas.Actions() {
		want = append(want, a.Name)
	}
	var got []string
	for _, tool := range list.Tools {
		got = append(got, tool.Name)
		if tool.InputSchema.Type != "object" {
			t.Errorf("%s takes %q, want an object", tool.Name, tool.InputSchema.Type)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) != 54 || !slices.Equal(got, want) {
		t.Errorf("%d tools: %v\nwant 54: %v", len(got), got, want)
	}
}

func checkCall(t *testing.T, result json.RawMessage) {
	t.Helper()
	var call struct {
		IsError           *bool
		StructuredContent struct {
			Outcome   schemas.Outcome
			Simulated bool
			Results   []struct{ ID, FullName string }
		}
		Content []struct{ Type, Text string }
	}
	if err := json.Unmarshal(result, &call); err != nil {
		t.Fatal(err)
	}
	s := call.StructuredContent
	if call.IsError != nil || s.Outcome != schemas.Done || !s.Simulated {
		t.Errorf("isError %v, outcome %q, simulated %t; want none, done, true\n%s", call.IsError, s.Outcome, s.Simulated, result)
	}
	if len(s.Results) != 3 || s.Results[0].ID == "" || s.Results[0].FullName == "" {
		t.Errorf("want 3 results with id and fullName\n%s", result)
	}
	if len(call.Content) != 1 || call.Content[0].Type != "text" || !strings.HasPrefix(call.Content[0].Text, `{"outcome":"done"`) {
		t.Errorf("the text does not say the same\n%s", result)
	}
}

// The scenarios of the conformance suite that ask for no tools made for it.
var scenarios = []string{
	"server-initialize", "server-session-lifecycle", "ping", "tools-list",
	"server-sse-multiple-streams", "dns-rebinding-protection", "http-header-validation",
}

func TestConformance(t *testing.T) {
	n := needNode(t)
	url := serve(t, build(t))
	for _, s := range scenarios {
		t.Run(s, func(t *testing.T) {
			if out, errs, err := n.run(t, conformanceScript, "server", "--url", url, "--scenario", s); err != nil {
				t.Errorf("%v\n%s\n%s", err, out, errs)
			}
		})
	}
}
