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
	// Rules is how many rules there are, Unfired those that matched in no test, by id.
	Rules   int      `json:"rules"`
	Unfired []string `json:"unfired,omitempty"`
}

// Passed reports whether all tests passed.
func (r Report) Passed() bool {
	return !slices.ContainsFunc(r.Results, func(t TestResult) bool { return !t.Passed })
}

// RunTests runs the tests of each of the policy's files, against that file
// alone: what a file promises must not depend on what it is composed with.
func RunTests(p *Policy) Report {
	out := Report{Rules: len(p.rules)}
	fired := map[*rule]bool{}
	for _, f := range p.files {
		alone, err := compose([]*file{f})
		if err != nil {
			continue // one file composes with itself
		}
		for _, t := range f.cases {
			e := alone.Explain(t.facts)
			for _, u := range f.rules {
				if s := e.step(u.id); s.State == Matched || s.State == Failed || s.State == Exempt {
					fired[u] = true
				}
			}
			r := TestResult{Policy: f.name, Line: t.at.line, Name: t.name, Verdict: e.Verdict}
			r.Why = t.judge(e)
			r.Passed = r.Why == ""
			out.Results = append(out.Results, r)
		}
	}
	for _, u := range p.rules {
		if !fired[u] {
			out.Unfired = append(out.Unfired, u.id)
		}
	}
	return out
}

// judge says what is not as the test expects.
func (t *testCase) judge(e Explanation) string {
	v := e.Verdict
	var wrong []string
	if t.decision != 0 && v.Decision != t.decision {
		wrong = append(wrong, fmt.Sprintf("expected %s, got %s (%s)", t.decision, v.Decision, v.Why))
	}
	var missing []string
	for _, id := range t.rules {
		if !slices.Contains(v.Rules, id) {
			missing = append(missing, fmt.Sprintf("%s matches (%s)", id, e.step(id).State))
		}
	}
	if missing != nil {
		wrong = append(wrong, fmt.Sprintf("expected that %s; what matched: %s", strings.Join(missing, " and "), orNone(v.Rules)))
	}
	for _, id := range t.without {
		if s := e.step(id); slices.Contains(v.Rules, id) {
			m := "expected that " + id + " does not match, and it does"
			if s.State == Failed {
				m = "expected that " + id + " does not match, and it " + string(Failed) + ": " + s.Detail
			}
			wrong = append(wrong, m)
		}
	}
	return strings.Join(wrong, "; ")
}

// step is how the rule of that id fared.
func (e *Explanation) step(id string) Step {
	i := slices.IndexFunc(e.Steps, func(s Step) bool { return s.Rule == id })
	if i < 0 {
		return Step{}
	}
	return e.Steps[i]
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
