package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Mildest is the mildest verdict that any payload of the action could get for
// the caller: rules without a condition count, unless an exemption may take
// them away; those with one may only make it stricter.
func (p *Policy) Mildest(a *schemas.Action, c Caller) Verdict {
	plan := p.plans[a.Name]
	if plan == nil {
		return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s does not know %s", p.name, a.Name)}
	}
	v, now := Verdict{Decision: max(plan.base, least(a.Class)), Why: plan.why}, time.Now()
	for _, b := range plan.rules {
		if b.rule.when == nil && b.decision > v.Decision && b.match.caller(c) && !slices.ContainsFunc(b.exempt, func(x boundExemption) bool { return !x.over(now) }) {
			v.Decision, v.Rules = b.decision, []string{b.id}
			v.Why = fmt.Sprintf("policy %s: rule %s: %s", b.file.name, b.id, strings.TrimSuffix(b.reason, "."))
		}
	}
	return v
}
