package rules

import (
	"fmt"
	"slices"
	"strings"
)

// TestResult is the result of one test of a policy.
type TestResult struct {
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// Why says what differs from the expectation; empty if the test passed.
	Why     string  `json:"why,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Report is the result of all tests of a policy.
type Report struct {
	Results []TestResult `json:"results"`
	// Rules is the number of rules. Unfired are the ids of those that no test fires.
	Rules   int      `json:"rules"`
	Unfired []string `json:"unfired,omitempty"`
}

// RunTests runs the tests of each file of the policy. It tests each file alone, since the tests of
// a file must not depend on other files.
func RunTests(p *Policy) Report {
	out := Report{Rules: len(p.rules)}
	fired := map[*rule]bool{}
	for _, f := range p.files {
		alone, err := compose([]*file{f})
		if err != nil {
			continue // a single file always composes
		}
		for _, t := range f.cases {
			e := alone.Explain(t.facts)
			for _, b := range t.usedUp {
				if slices.ContainsFunc(e.Debits, func(d Debit) bool { return d.Budget == b.title }) {
					e.Verdict = alone.Over(e.Verdict, b.title)
				}
			}
			for _, u := range f.rules {
				if s := e.step(u.id); s.State == Matched || s.State == Failed || s.State == Exempt {
					fired[u] = true
				}
			}
			r := TestResult{Policy: f.name, Line: t.at.line, Name: t.name, Verdict: e.Verdict}
			r.Why = t.failure(e)
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

// failure returns what differs from the test's expectation; empty if nothing does.
func (t *testCase) failure(e Explanation) string {
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
		wrong = append(wrong, fmt.Sprintf("expected that %s; matching rules: %s", strings.Join(missing, " and "), joinOrNone(v.Rules)))
	}
	for _, id := range t.without {
		if s := e.step(id); slices.Contains(v.Rules, id) {
			m := "expected that " + id + " does not match, but it does"
			if s.State == Failed {
				m = "expected that " + id + " does not match, but it " + string(Failed) + ": " + s.Detail
			}
			wrong = append(wrong, m)
		}
	}
	return strings.Join(wrong, "; ")
}

// step returns the step of the rule.
func (e *Explanation) step(id string) Step {
	i := slices.IndexFunc(e.Steps, func(s Step) bool { return s.Rule == id })
	if i < 0 {
		return Step{}
	}
	return e.Steps[i]
}

func joinOrNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
