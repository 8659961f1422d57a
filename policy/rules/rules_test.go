package rules_test

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

// TestProfilesTestThemselves: each profile's own tests pass, and each of its rules fires in one.
func TestProfilesTestThemselves(t *testing.T) {
	for _, name := range rules.Profiles {
		p, err := rules.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		r := rules.RunTests(p)
		for _, c := range r.Results {
			if !c.Passed {
				t.Errorf("%s:%d: %s: %s", c.Policy, c.Line, c.Name, c.Why)
			}
		}
		if len(r.Unfired) > 0 || len(r.Results) == 0 {
			t.Errorf("%s: rules that no test fires: %v", name, r.Unfired)
		}
	}
}
