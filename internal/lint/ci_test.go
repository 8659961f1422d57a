package lint

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	helped = regexp.MustCompile(`(?m)^([a-z]+):.* ## \S`)
	phony  = regexp.MustCompile(`(?m)^\.PHONY: (.*)$`)
	called = regexp.MustCompile("(?m)(?:^|    |[`:&1] ?)make ([a-z]+)")
)

// targets returns the targets of the Makefile that `make help` lists.
func targets(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range helped.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		names = append(names, m[1])
	}
	return names
}

func TestMakefileHelpsWithEachTarget(t *testing.T) {
	m := phony.FindStringSubmatch(read(t, "Makefile"))
	if m == nil {
		t.Fatal("the Makefile has no .PHONY line")
	}
	want := slices.Sorted(slices.Values(strings.Fields(m[1])))
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(targets(t)))); diff != "" {
		t.Errorf("targets (- .PHONY, + with a help text):\n%s", diff)
	}
}

// The workflow cannot be run here, so this finds what would stop it from starting: YAML that is no
// workflow, and targets that do not exist.
func TestWorkflow(t *testing.T) {
	type step struct {
		Name, Uses, Run, If, Shell string
		With                       map[string]string
	}
	type job struct {
		If       string
		RunsOn   string `yaml:"runs-on"`
		Timeout  int    `yaml:"timeout-minutes"`
		Env      map[string]string
		Strategy struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   struct{ OS []string }
		}
		Steps []step
	}
	var workflow struct {
		Name        string
		On          any
		Permissions map[string]string
		Concurrency any
		Jobs        map[string]job
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, ".github/workflows/ci.yml")))
	d.KnownFields(true)
	if err := d.Decode(&workflow); err != nil {
		t.Fatal(err)
	}
	if want := []string{"clients", "lint", "race", "test", "weekly"}; !slices.Equal(want, slices.Sorted(maps.Keys(workflow.Jobs))) {
		t.Errorf("the jobs are %v, want %v", slices.Sorted(maps.Keys(workflow.Jobs)), want)
	}
	if want := []string{"ubuntu-latest", "macos-latest", "windows-latest"}; !slices.Equal(want, workflow.Jobs["test"].Strategy.Matrix.OS) {
		t.Errorf("the tests run on %v, want %v", workflow.Jobs["test"].Strategy.Matrix.OS, want)
	}
	for name, j := range workflow.Jobs {
		if j.RunsOn == "" || j.Timeout == 0 || len(j.Steps) == 0 {
			t.Errorf("job %s: runs-on, timeout-minutes or steps is missing", name)
		}
		for i, s := range j.Steps {
			if (s.Uses == "") == (s.Run == "") {
				t.Errorf("job %s, step %d: it must have one of uses and run", name, i+1)
			}
			if s.Uses != "" && !strings.Contains(s.Uses, "@") {
				t.Errorf("job %s, step %d: %s has no version", name, i+1, s.Uses)
			}
		}
	}
}

func TestCallersOfMakeNameTargets(t *testing.T) {
	for _, file := range []string{".github/workflows/ci.yml", ".ci/run", "README.md", "CONTRIBUTING.md"} {
		calls := called.FindAllStringSubmatch(read(t, file), -1)
		if len(calls) == 0 {
			t.Errorf("%s calls no target", file)
		}
		for _, m := range calls {
			if !slices.Contains(targets(t), m[1]) {
				t.Errorf("%s calls make %s, which is no target", file, m[1])
			}
		}
	}
}
