package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Roles are those that this program gives a meaning; a file may name others.
var Roles = []string{"agent", "operator", "approver", "admin"}

// named gives the roles that a rule names, its exemptions' too.
func (u *rule) named() []named {
	out := slices.Clone(u.match.named)
	if u.when != nil {
		out = append(out, u.when.roles...)
	}
	for _, x := range u.exempt {
		if x.when != nil {
			out = append(out, x.when.roles...)
		}
	}
	return out
}

// unknownNames finds roles that are none of ours, and that no other rule and no test names: most often they are misspelt,
// and then the rule is about nobody.
func (p *Policy) unknownNames() (out []Finding) {
	tested := slices.Clone(Roles)
	for _, f := range p.files {
		for _, t := range f.cases {
			tested = append(tested, t.facts.Caller.Roles...)
		}
	}
	for _, u := range p.rules {
		known := slices.Clone(tested)
		for _, other := range p.rules {
			if other != u {
				for _, n := range other.named() {
					known = append(known, n.role)
				}
			}
		}
		var seen []string
		for _, n := range u.named() {
			if slices.ContainsFunc(known, func(k string) bool { return glob(n.role, k) }) || slices.Contains(seen, n.role) {
				continue
			}
			seen = append(seen, n.role)
			m := fmt.Sprintf("the rule %s names the role %s, which nothing else does", u.id, quote(n.role))
			if near := schemas.Nearest(n.role, known); near != "" {
				m += ", did you mean " + near + "?"
			} else {
				m += fmt.Sprintf(": it is none of %s; where it is a role of your own, name it in a test", strings.Join(Roles, ", "))
			}
			out = append(out, Finding{u.file.name, n.at.line, n.at.col, u.id, m})
		}
	}
	return out
}
