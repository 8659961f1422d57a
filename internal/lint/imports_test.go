package lint

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sippet-ai/sippet-mcp/"

// arrows lists, for each package of the module, the packages of the module that it may import.
// Tests may import more: only what is built into the program counts.
var arrows = map[string][]string{
	"schemas":           nil,
	"rpc":               {"schemas"},
	"policy/recipients": {"schemas"},
	"policy/rules":      {"schemas", "policy/recipients"},
	"internal/ledger":   {"schemas"},
	"internal/approval": {"schemas", "policy/recipients", "policy/rules", "internal/ledger"},
	"policy":            {"schemas", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval", "rpc"},

	"tools":          {"schemas", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval", "policy"},
	"internal/inbox": {"schemas", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval", "policy"},
	"internal/serve": {"schemas", "rpc", "policy", "tools", "internal/inbox"},

	"internal/sandbox":     {"schemas", "internal/sandbox/ash"},
	"internal/sandbox/ash": nil,

	"cmd/sippet-mcp": {
		"schemas", "rpc", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval", "policy",
		"tools", "internal/inbox", "internal/serve", "internal/sandbox",
	},

	// For tests and measurements: no package of the program may import these.
	"rpc/rpctest":                {"schemas"},
	"internal/ledger/ledgertest": {"internal/ledger"},
	"internal/inspector":         nil,
	"internal/clients":           nil,
	"internal/lint":              nil,
	"internal/lint/words":        nil,
	"bench": {
		"schemas", "rpc", "rpc/rpctest", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval",
		"policy", "tools",
	},
}

const mcpGo = "github.com/mark3labs/mcp-go"

// foreign lists packages from elsewhere that a folder, and all below it, must not import.
var foreign = map[string][]string{
	"schemas":           {mcpGo, "net", "net/http"},
	"rpc":               {mcpGo},
	"policy":            {mcpGo, "net/http"},
	"tools":             {"net/http"},
	"internal/ledger":   {mcpGo, "net/http"},
	"internal/approval": {mcpGo, "net/http", "html/template"},
	"internal/inbox":    {mcpGo},
}

// imports returns the packages of the module, each with what its files import on any operating
// system. It reads the files itself: then go test knows what the result depends on, and caches it
// for no longer than it holds.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := path.Base(name); base == "testdata" || name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		folder := path.Dir(name)
		if found[folder] == nil {
			found[folder] = []string{}
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, raw, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(found[folder], imported) {
				found[folder] = append(found[folder], imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestArrows(t *testing.T) {
	found := imports(t)
	for from, list := range found {
		if _, ok := arrows[from]; !ok {
			t.Errorf("package %s has no line in arrows: say what it may import", from)
		}
		for _, imported := range list {
			if to, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(arrows[from], to) {
				t.Errorf("%s imports %s", from, to)
			}
		}
	}
	for name := range arrows {
		if _, ok := found[name]; !ok {
			t.Errorf("package %s does not exist: remove its line from arrows", name)
		}
	}
}

// The arrows of the table must not form a circle, or a package could get round the order through a
// third one.
func TestArrowsHaveNoCircle(t *testing.T) {
	var visit func(path []string, name string)
	visit = func(path []string, name string) {
		if slices.Contains(path, name) {
			t.Fatalf("the arrows form a circle: %s", strings.Join(append(path, name), " → "))
		}
		for _, to := range arrows[name] {
			if _, ok := arrows[to]; !ok {
				t.Errorf("%s may import %s, which has no line", name, to)
			}
			visit(append(slices.Clone(path), name), to)
		}
	}
	for name := range arrows {
		visit(nil, name)
	}
}

func TestForeignImports(t *testing.T) {
	for from, list := range imports(t) {
		for folder, forbidden := range foreign {
			if from != folder && !strings.HasPrefix(from, folder+"/") {
				continue
			}
			for _, imported := range list {
				for _, f := range forbidden {
					if imported == f || f == mcpGo && strings.HasPrefix(imported, f+"/") {
						t.Errorf("%s imports %s", from, imported)
					}
				}
			}
		}
	}
}
