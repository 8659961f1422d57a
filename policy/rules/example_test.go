package rules_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const exampleFile = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm}
rules:
  - id: our-country
    match: {actions: ["start_*"]}
    when: "!recipients.all(r, has(r.number) && r.number.startsWith('+44'))"
    decision: deny
    reason: We call numbers in the UK only.
  - id: quiet-hours
    match: {actions: ["start_*"]}
    when: "!between(now, 'Europe/London', '08:00', '20:00')"
    decision: approve
    reason: Calls at night need another person.
`

// callTo returns the facts of a call to one number.
func callTo(number string, now time.Time) rules.Facts {
	action, fault := schemas.Find("start_outbound_call")
	if fault != nil {
		panic(fault)
	}
	payload, fault := action.Check(fmt.Appendf(nil, `{"input":{"phoneNumber":%q}}`, number), schemas.Limits{Now: now})
	if fault != nil {
		panic(fault)
	}
	set, fault := recipients.Resolve(context.Background(), payload, nil)
	if fault != nil {
		panic(fault)
	}
	return rules.Facts{Payload: payload, Recipients: set, Caller: rules.Caller{ID: "ada"}, Now: now}
}

func ExamplePolicy_Decide() {
	p, err := rules.Parse("ours.yaml", []byte(exampleFile))
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC)
	for _, f := range []rules.Facts{callTo("+442079460123", at), callTo("+442079460123", at.Add(11*time.Hour)), callTo("+33142685300", at)} {
		v := p.Decide(f)
		fmt.Printf("%s: %s\n", v.Decision, v.Why)
	}
	// Output:
	// confirm: policy ours.yaml: default for outbound actions is confirm
	// approve: policy ours.yaml: rule quiet-hours: Calls at night need another person
	// deny: policy ours.yaml: rule our-country: We call numbers in the UK only
}

// An error has the position, a caret and the nearest valid name.
func ExampleParse() {
	_, err := rules.Parse("ours.yaml", []byte(`apiVersion: sippet.policy/v1
rules:
  - id: our-country
    match: {actions: ["start_*"]}
    when: recipients.exists(r, r.numbr == '112')
    decision: deny
    reason: No emergency calls.
`))
	fmt.Println(err)
	// Output:
	// policy ours.yaml:5:34: when of the rule our-country, for start_outbound_call: unknown field of a recipient "numbr", did you mean number?
	//     recipients.exists(r, r.numbr == '112')
	//                            ^
}

func ExamplePolicy_Explain() {
	p, err := rules.Parse("ours.yaml", []byte(exampleFile))
	if err != nil {
		fmt.Println(err)
		return
	}
	e := p.Explain(callTo("+33142685300", time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC)))
	fmt.Printf("default %s, decision %s\n", e.Default, e.Decision)
	for _, s := range e.Steps {
		fmt.Printf("%s (line %d): %s\n", s.Rule, s.Line, s.State)
	}
	// Output:
	// default confirm, decision deny
	// our-country (line 5): matched
	// quiet-hours (line 10): condition is false
}
