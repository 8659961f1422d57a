package rules_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const threatsPath = "../../docs/threats.md"

// The table stands between these lines. Everything else on the page is written by hand.
const (
	threatsBegin = "<!-- `make docs` writes what follows. -->\n"
	threatsEnd   = "<!-- The end of what `make docs` writes. -->\n"
)

// TestThreatsPage compares the table in docs with the decisions of the built-in policies.
func TestThreatsPage(t *testing.T) {
	raw, err := os.ReadFile(threatsPath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), threatsBegin)
	_, after, closed := strings.Cut(rest, threatsEnd)
	if !found || !closed {
		t.Fatalf("docs/threats.md lacks the line %q or %q", threatsBegin, threatsEnd)
	}
	want := before + threatsBegin + threatsTable(t) + threatsEnd + after
	if *update {
		if err := os.WriteFile(threatsPath, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(raw) != want {
		t.Error("docs/threats.md is outdated, update it with: make docs")
	}
}

// threatsTable returns the table: a row for each sink, a column for each profile.
func threatsTable(t *testing.T) string {
	var b strings.Builder
	policies := loadProfiles(t)
	for _, g := range sinks {
		fmt.Fprintf(&b, "\n### %s\n\n| what the call does | action | %s |\n|---|---|%s\n", g.title, strings.Join(rules.Profiles, " | "), strings.Repeat("---|", len(policies)))
		for _, s := range g.sinks {
			fmt.Fprintf(&b, "| %s | `%s` |", s.does, s.action)
			for _, p := range policies {
				fmt.Fprintf(&b, " %s |", cell(p.Explain(s.facts(t))))
			}
			b.WriteByte('\n')
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// cell returns the decision and the rules that make it, or the default.
func cell(e rules.Explanation) string {
	var ids []string
	for _, s := range e.Steps {
		if s.State == rules.Matched && s.Does == e.Decision.String() {
			ids = append(ids, "`"+s.Rule+"`")
		}
	}
	if ids == nil {
		ids = []string{"default"}
	}
	return "**" + e.Decision.String() + "** · " + strings.Join(ids, ", ")
}

func loadProfiles(t *testing.T) (out []*rules.Policy) {
	t.Helper()
	for _, name := range rules.Profiles {
		p, err := rules.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestSinks: every action that is no read is in the table, every rule that decides makes a decision
// in it, and no rule fails.
func TestSinks(t *testing.T) {
	seen, fired := map[string]bool{}, map[string]bool{}
	policies := loadProfiles(t)
	for _, g := range sinks {
		for _, s := range g.sinks {
			if seen[s.does] {
				t.Errorf("two rows are named %q", s.does)
			}
			seen[s.does], seen[s.action] = true, true
			for i, p := range policies {
				e := p.Explain(s.facts(t))
				for _, step := range e.Steps {
					if step.State == rules.Failed {
						t.Errorf("%s: %s: rule %s failed: %s", s.does, rules.Profiles[i], step.Rule, step.Detail)
					}
				}
				for _, id := range e.Rules {
					fired[rules.Profiles[i]+" "+id] = true
				}
			}
		}
	}
	for _, a := range schemas.Actions() {
		if a.Class != schemas.Read && !seen[a.Name] {
			t.Errorf("%s is in no row", a.Name)
		}
	}
	for i, p := range policies {
		read := p.Explain(rules.Facts{Payload: payload(t, "list_calls", `{}`), Now: noon})
		for _, id := range read.Rules {
			fired[rules.Profiles[i]+" "+id] = true
		}
		for _, s := range read.Steps { // all rules
			if !fired[rules.Profiles[i]+" "+s.Rule] {
				t.Errorf("%s: the rule %s matches no row", rules.Profiles[i], s.Rule)
			}
		}
	}
}
