package rules

import (
	"fmt"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// RecipientConditions gives what the policy asks about the people whom a call of the action
// would ring, beyond how many they are: each rule that does, in full. Two
// policies that give the same ask the same. Empty where nothing depends on who they are.
func (p *Policy) RecipientConditions(a *schemas.Action) []string {
	var out []string
	plan := p.plans[a.Name]
	if plan == nil {
		return nil
	}
	for _, b := range plan.rules {
		var text strings.Builder
		asks := false
		add := func(e *expr) {
			if e != nil {
				asks = asks || e.readsRecipients
				fmt.Fprintf(&text, " %q", e.text)
			}
		}
		add(b.rule.when)
		if b.limit != nil {
			add(b.limit.cost)
		}
		for _, x := range b.rule.exempt {
			fmt.Fprint(&text, x.until)
			add(x.when)
		}
		if asks {
			out = append(out, fmt.Sprintf("%s %s %v%s %v", b.id, b.does(), b.match.roles, &text, b.file.lists))
		}
	}
	return unique(out)
}
