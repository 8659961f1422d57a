package rules

import "slices"

// State is how one rule fared.
type State string

// The states of a rule.
const (
	Matched   State = "matched"
	Exempt    State = "exempt"            // it matched, and an exemption took it away
	Failed    State = "cannot be decided" // its evaluation failed, so that it denies
	NotAction State = "other actions"
	NotCaller State = "other roles"
	NotWhen   State = "condition is false"
)

// Step is one rule that was considered.
type Step struct {
	Rule   string `json:"rule"`
	Policy string `json:"policy"`
	Line   int    `json:"line"`
	State  State  `json:"state"`
	// Does says what the rule does where it matches: a decision, `limit rings` or `redact Contact.dateOfBirth`.
	Does string `json:"does"`
	// Reason is the rule's.
	Reason string `json:"reason"`
	// Detail is the exemption's reason, or what failed.
	Detail string `json:"detail,omitempty"`
}

// Explanation is a verdict and how it came about.
type Explanation struct {
	Verdict
	// Default is the decision before any rule, Because where it comes from.
	Default Decision `json:"default"`
	Because string   `json:"because"`
	// Steps are all rules of the policy, by id.
	Steps []Step `json:"steps"`
}

// Explain decides and tells of each rule whether it matched, or why not.
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
		e.Default, e.Because = plan.base, plan.why
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

func report(see func(Step), b *bound, state State, detail string) {
	if see != nil {
		see(stepOf(b.rule, state, detail))
	}
}

func stepOf(u *rule, state State, detail string) Step {
	return Step{Rule: u.id, Policy: u.file.name, Line: u.at.line, State: state, Does: u.does(), Reason: u.reason, Detail: detail}
}

// does says what a rule does where it matches.
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
