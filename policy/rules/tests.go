package rules

import (
	"fmt"
	"slices"
	"strings"
)

// TestResult is how one of a policy's own tests went.
type TestResult struct {
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// Why says what was expected and what came, and why; empty where it passed.
	Why     string  `json:"why,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Report is how all tests went.
type Report struct {
	Results []TestResult `json:"results"`
	// Unfired are the rules that matched in no test, by id.
	Unfired []string `json:"unfired,omitempty"`
}

// Passed reports whether all tests passed.
func (r Report) Passed() bool {
	return !slices.ContainsFunc(r.Results, func(t TestResult) bool { return !t.Passed })
}

// RunTests runs the tests of each of the policy's files, against that file
// alone: what a file promises must not depend on what it is composed with.
func RunTests(p *Policy) Report {
	var out Report
	fired := map[string]bool{}
	for _, f := range p.files {
		alone, err := compose([]*file{f})
		if err != nil {
			continue // one file composes with itself
		}
		for _, t := range f.trials {
			v := alone.Decide(t.facts)
			for _, id := range v.Rules {
				fired[id] = true
			}
			for _, x := range v.Exempted {
				fired[x.Rule] = true
			}
			r := TestResult{Policy: f.name, Line: t.at.line, Name: t.name, Verdict: v}
			r.Why = t.judge(v)
			r.Passed = r.Why == ""
			out.Results = append(out.Results, r)
		}
	}
	for _, u := range p.rules {
		if !fired[u.id] {
			out.Unfired = append(out.Unfired, u.id)
		}
	}
	return out
}

// judge says what is not as the test expects.
func (t *trial) judge(v Verdict) string {
	var missing []string
	for _, id := range t.rules {
		if !slices.Contains(v.Rules, id) {
			missing = append(missing, id)
		}
	}
	switch {
	case t.decision != 0 && v.Decision != t.decision:
		return fmt.Sprintf("expected %s, got %s (%s)", t.decision, v.Decision, v.Why)
	case missing != nil:
		return fmt.Sprintf("expected that %s matches; what matched: %s", strings.Join(missing, ", "), orNone(v.Rules))
	}
	return ""
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
