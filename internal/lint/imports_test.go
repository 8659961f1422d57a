package lint

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
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
	"internal/lint":              nil,
	"internal/lint/words":        nil,
	"bench": {
		"schemas", "rpc", "rpc/rpctest", "policy/recipients", "policy/rules", "internal/ledger", "internal/approval",
		"policy", "tools",
	},
}

// absent are packages that have a line before they exist.
var absent = []string{"internal/approval", "internal/sandbox/ash"}

// pending are imports that the table forbids and that still stand. The test fails once they are gone: remove them here.
var pending = map[string]string{}

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

const mcpGo = "github.com/mark3labs/mcp-go"

// imports returns the packages of the module, each with what it imports, for one operating system.
func imports(t *testing.T, goos string) map[string][]string {
	t.Helper()
	all, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports,
		Dir:  "../..",
		Env:  append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0"),
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, p := range all {
		for _, e := range p.Errors {
			t.Errorf("%s: %v", p.PkgPath, e)
		}
		found[strings.TrimPrefix(p.PkgPath, module)] = slices.Sorted(maps.Keys(p.Imports))
	}
	return found
}

func TestArrows(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			found := imports(t, goos)
			stands := map[string]string{}
			for from, list := range found {
				allowed, ok := arrows[from]
				if !ok {
					t.Errorf("package %s has no line in arrows: say what it may import", from)
				}
				for _, path := range list {
					to, ok := strings.CutPrefix(path, module)
					switch {
					case !ok || slices.Contains(allowed, to):
					case pending[from] == to:
						stands[from] = to
					default:
						t.Errorf("%s imports %s", from, to)
					}
				}
			}
			for from, to := range pending {
				if stands[from] == "" {
					t.Errorf("%s no longer imports %s: remove it from pending", from, to)
				}
			}
			for name := range arrows {
				if _, ok := found[name]; !ok && !slices.Contains(absent, name) {
					t.Errorf("package %s does not exist: remove its line from arrows", name)
				}
			}
		})
	}
}

// The arrows of the table must not form a circle, or a package could get round the order through a third one.
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
	for from, list := range imports(t, "linux") {
		for folder, forbidden := range foreign {
			if from != folder && !strings.HasPrefix(from, folder+"/") {
				continue
			}
			for _, path := range list {
				for _, f := range forbidden {
					if path == f || f == mcpGo && strings.HasPrefix(path, f+"/") {
						t.Errorf("%s imports %s", from, path)
					}
				}
			}
		}
	}
}
