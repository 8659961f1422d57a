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

// TestSchemaFile compares the file in docs with the program's schema.
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
		t.Error("docs/policy.schema.json is outdated, update it with: go test ./policy/rules -run TestSchemaFile -update")
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
	// The library converts a date to a time. An editor does not.
	raw = bytes.ReplaceAll(raw, []byte("T00:00:00Z"), nil)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// TestSchema: the schema accepts the profiles and the example, and rejects every unknown key.
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
	archive, err := txtar.ParseFile("testdata/rejected.txtar")
	if err != nil {
		t.Fatal(err)
	}
	rejected := 0
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name := strings.TrimSuffix(archive.Files[i].Name, ".yaml")
		err := valid(s, archive.Files[i].Data)
		if err != nil {
			rejected++
		}
		shape := strings.HasPrefix(name, "unknown-key") || strings.HasSuffix(name, "-unknown") && strings.HasPrefix(name, "class") || strings.HasPrefix(name, "rule-without") ||
			strings.HasPrefix(name, "budget-rate") || strings.HasPrefix(name, "budget-without") || name == "rule-allows" || name == "rule-two-effects"
		if shape && err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if rejected < 50 {
		t.Errorf("only %d of %d wrong files are rejected", rejected, len(archive.Files)/2)
	}
}
