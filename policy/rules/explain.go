package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// State is the result of one rule.
type State string

// The states of a rule.
const (
	Matched   State = "matched"
	Exempt    State = "exempt"              // it matched, and an exemption disabled it
	Failed    State = "cannot be evaluated" // its evaluation failed, so it denies
	NotAction State = "other actions"
	NotCaller State = "other roles"
	NotWhen   State = "condition is false"
)

// Step is one rule of an explanation.
type Step struct {
	Rule   string `json:"rule"`
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	State  State  `json:"state"`
	// Does is the effect of the rule: a decision, `limit rings` or `redact Contact.dateOfBirth`.
	Does string `json:"does"`
	// Reason is the rule's.
	Reason string `json:"reason"`
	// Detail is the exemption's reason, or the error.
	Detail string `json:"detail,omitempty"`
}

// Explanation is a verdict and all its steps.
type Explanation struct {
	Verdict
	// Default is the decision without any rule, Because says which default it is.
	Default Decision `json:"default"`
	Because string   `json:"because"`
	// Steps are all rules of the policy, by id.
	Steps []Step `json:"steps"`
}

// Explain decides, and returns for each rule whether it matched or why not.
func (p *Policy) Explain(f Facts) Explanation {
	var e Explanation
	seen := map[string]bool{} // by policy and rule
	e.Verdict = p.decide(&f, func(s Step) {
		e.Steps = append(e.Steps, s)
		seen[s.Policy+"/"+s.Rule] = true
	})
	e.Default, e.Because = e.Decision, e.Why
	if f.Payload != nil && f.Payload.Action != nil && p.plans[f.Payload.Action.Name] != nil {
		plan := p.plans[f.Payload.Action.Name]
		e.Default, e.Because = plan.defaultDecision, plan.why
		if f.Safe() {
			e.Default, e.Because = plan.safeDecision, plan.safeWhy
		}
	}
	for _, u := range p.rules {
		if !seen[u.file.name+"/"+u.id] {
			e.Steps = append(e.Steps, stepOf(u, NotAction, ""))
		}
	}
	slices.SortFunc(e.Steps, func(a, b Step) int {
		if a.Rule < b.Rule {
			return -1
		}
		return 1
	})
	return e
}

func report(see func(Step), b *boundRule, state State, detail string) {
	if see != nil {
		see(stepOf(b.rule, state, detail))
	}
}

func stepOf(u *rule, state State, detail string) Step {
	return Step{Rule: u.id, Policy: u.file.name, Line: u.at.line, State: state, Does: u.does(), Reason: u.reason, Detail: detail}
}

// does returns the effect of the rule.
func (u *rule) does() string {
	switch {
	case u.limit != nil:
		return "limit " + u.limit.name
	case u.redact != nil:
		s := "redact"
		for _, g := range u.redact {
			s += " " + g
		}
		return s
	}
	return u.decision.String()
}

// RecipientConditions returns the rules of the action that depend on more of the recipients than
// their count, with all that they depend on. If two policies return equal lists, they treat the
// recipients alike. It returns nil if no rule does.
func (p *Policy) RecipientConditions(a *schemas.Action) []string {
	var out []string
	plan := p.plans[a.Name]
	if plan == nil {
		return nil
	}
	for _, b := range plan.rules {
		var text strings.Builder
		depends := false
		add := func(e *expr) {
			if e != nil {
				depends = depends || e.readsRecipients
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
		if depends {
			out = append(out, fmt.Sprintf("%s %s %v%s %v", b.id, b.does(), b.match.roles, &text, b.file.lists))
		}
	}
	return unique(out)
}
