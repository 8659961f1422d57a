package lint

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// The rules of depguard show the arrows in an editor; the table decides.
func TestDepguardHasTheArrows(t *testing.T) {
	raw, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Allow []string
						Deny  []struct{ Pkg string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	rules := config.Linters.Settings.Depguard.Rules
	for from, to := range arrows {
		if forTests(from) {
			continue
		}
		rule, ok := rules[from]
		if !ok {
			t.Errorf(".golangci.yml: depguard has no rule for %s", from)
			continue
		}
		delete(rules, from)
		var allowed, denied []string
		for _, p := range rule.Allow {
			allowed = append(allowed, strings.TrimSuffix(strings.TrimPrefix(p, module), "$"))
		}
		for _, d := range rule.Deny {
			denied = append(denied, strings.TrimSuffix(d.Pkg, "$"))
		}
		if diff := cmp.Diff(to, allowed); diff != "" {
			t.Errorf(".golangci.yml: what %s may import (- arrows, + depguard):\n%s", from, diff)
		}
		want := []string{strings.TrimSuffix(module, "/")}
		for folder, list := range foreign {
			if from == folder || strings.HasPrefix(from, folder+"/") {
				want = append(want, list...)
			}
		}
		slices.Sort(want)
		slices.Sort(denied)
		if diff := cmp.Diff(want, denied); diff != "" {
			t.Errorf(".golangci.yml: what %s must not import (- foreign, + depguard):\n%s", from, diff)
		}
	}
	for name := range rules {
		t.Errorf(".golangci.yml: depguard has a rule for %s, which is no package of the program", name)
	}
}

// forTests reports whether a package is no part of the program.
func forTests(name string) bool {
	return strings.HasPrefix(name, "internal/lint") || strings.HasSuffix(name, "test") || name == "internal/inspector" || name == "internal/clients" || name == "bench"
}
