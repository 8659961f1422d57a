package rules_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

const schemaPath = "../../docs/policy.schema.json"

// TestSchemaFile: what is in docs is what the program says.
func TestSchemaFile(t *testing.T) {
	if *update {
		if err := os.WriteFile(schemaPath, rules.Schema(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, rules.Schema()) {
		t.Error("docs/policy.schema.json is old: go test ./policy/rules -run TestSchemaFile -update")
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(rules.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(s *jsonschema.Schema, text []byte) error {
	var v any
	if err := yaml.Load(text, &v); err != nil {
		return err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// The library turns a date into a time; an editor leaves it as it is written.
	raw = bytes.ReplaceAll(raw, []byte("T00:00:00Z"), nil)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// TestSchema: it takes the profiles and the example, and refuses every unknown key.
func TestSchema(t *testing.T) {
	s := schema(t)
	files := []string{"testdata/example.yaml"}
	for _, name := range rules.Profiles {
		files = append(files, "profiles/"+name+".yaml")
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(s, raw); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	archive, err := txtar.ParseFile("testdata/refused.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name := strings.TrimSuffix(archive.Files[i].Name, ".yaml")
		err := valid(s, archive.Files[i].Data)
		if err != nil {
			refused++
		}
		shape := strings.HasPrefix(name, "unknown-key") || strings.HasSuffix(name, "-unknown") && strings.HasPrefix(name, "class") || strings.HasPrefix(name, "rule-without") ||
			strings.HasPrefix(name, "budget-rate") || strings.HasPrefix(name, "budget-without") || name == "rule-allows" || name == "rule-two-effects"
		if shape && err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if refused < 50 {
		t.Errorf("only %d of %d wrong files are refused", refused, len(archive.Files)/2)
	}
}
