// Package rules decides what a call needs before it runs, by policy files in YAML:
//
//	p, err := rules.Load("desktop", "quiet-hours.yaml")
//	v := p.Decide(rules.Facts{Payload: payload, Caller: caller, Recipients: set, Now: now})
//
// # A policy file
//
//	apiVersion: sippet.policy/v1
//	defaults:                       # the decision without a stricter rule
//	  class:
//	    {read: allow, write: validate, outbound: confirm, destructive: approve, credential: deny}
//	  action: {end_call: confirm}   # replaces the default of its class
//	unrecordedReads: true           # allow reads for five minutes while the audit log cannot be written
//	lists: {dialable: ["+44", "+353"]}
//	budgets:
//	  rings: {key: caller, rate: 20/h, burst: 5, cost: recipients.size()}
//	rules:
//	  - id: only-our-countries
//	    match: {actions: ["start_*"], roles: ["!admin"]}
//	    when: "!recipients.all(r, lists.dialable.exists(p, r.number.startsWith(p)))"
//	    decision: deny
//	    reason: We ring numbers in the UK and Ireland only.
//	  - {id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: 20 people an hour.}
//	  - {id: hide-birthdays, match: {roles: [agent]}, redact: [Contact.dateOfBirth], reason: Why.}
//	exempt:
//	  - {rule: ring-budget, when: caller.id == 'oncall', until: 2027-01-31, reason: Incidents}
//	tests:
//	  - name: France
//	    call: {action: start_outbound_call, input: {phoneNumber: "+33142685300"}}
//	    expect: {decision: deny}
//
// The files in profiles/ are examples. docs/policy.schema.json is a JSON Schema for editors.
//
// # Decisions
//
// Decisions are ordered: allow < validate < confirm < approve < deny. The default and all matching
// rules count, and the strictest decides. The order of rules is irrelevant, and a rule never makes
// a policy milder. A rule has exactly one effect: it demands a decision, takes from a budget, or
// hides fields of the answer.
//
// match holds names with globs; ! negates. A rule matches a call that has one of the names and none
// of the negated names, in each list of match. A missing list matches everything.
//
// Only an exemption disables a rule. It is in the file of its rule, has a last day (included, UTC)
// and a reason, and is named in the verdict.
//
// Errors deny. A rule that cannot be evaluated denies. An exemption that cannot be evaluated does
// not apply. An action without a default is denied. No file can set a milder decision than validate
// for an action that is not a read, or than approve for one that issues a credential.
//
// [Load] composes several files to their union: all rules, and for each action the strictest
// default of the files that have one. A rule uses the lists and budgets of its own file. If only
// one file has a default for a class, that default applies. A file that is meant to be added to
// others should have no defaults.
//
// # Expressions
//
// when and cost are CEL expressions. They are type-checked for each matching action, against its
// schema. A wrong field, type, list or time zone, and an expression that could run too long, is an
// error at load, with the position, a caret and the nearest name. The variables are
//
//	action        the action's name
//	input         its typed input, if it has one
//	identity, filter, fields
//	recipients    for calls that ring somebody, a list of
//	              records with contact, name, number, country and kind
//	caller        id, person, roles
//	now           a timestamp
//	lists         lists.name, a list of this file
//
// Beside CEL's standard functions there are workday(t, zone) and between(t, zone, 'HH:MM',
// 'HH:MM'), which may span midnight.
//
// An optional field of the input must be tested before it is read: has(input.email) &&
// input.email.endsWith('@example.com'). A field that is null is present. Sippet cannot list the
// members of a group, so they are recipients without fields: has(r.number) is false, and reading
// r.number fails and denies.
//
// # Inspecting a policy
//
// [Policy.Mildest] and [Policy.HiddenFields] serve lists of tools and answers. [Policy.Explain]
// returns why each rule matched or did not. [Policy.Lint] finds rules without effect and roles that
// look misspelt. [RunTests] runs the tests in the files.
package rules
