// Package rules decides what a call needs before it runs, by policy files.
//
// # A file
//
//	apiVersion: sippet.policy/v1
//	defaults:                       # what an action needs where no rule says more
//	  class: {read: allow, write: validate, outbound: confirm, destructive: approve, credential: deny}
//	  action: {end_call: confirm}   # goes before the class's line
//	unrecordedReads: true           # reads go on while the audit cannot be written
//	lists: {dialable: ["+44", "+353"]}
//	budgets:
//	  rings: {key: caller, rate: 20/h, burst: 5, cost: recipients.size()}
//	rules:
//	  - id: only-our-countries
//	    match: {actions: ["start_*"], roles: ["!admin"]}
//	    when: "!recipients.all(r, lists.dialable.exists(p, r.number.startsWith(p)))"
//	    decision: deny
//	    reason: We ring numbers in the UK and Ireland only.
//	  - {id: ring-budget, match: {actions: ["start_*"]}, limit: rings, reason: Twenty people an hour.}
//	  - {id: hide-birthdays, match: {roles: [agent]}, redact: [Contact.dateOfBirth], reason: Not needed.}
//	exempt:
//	  - {rule: only-our-countries, when: caller.id == 'oncall', until: 2027-01-31, reason: Incident line}
//	tests:
//	  - {name: France, call: {action: start_outbound_call, input: {phoneNumber: "+33142685300"}}, expect: {decision: deny}}
//
// The files in profiles/ are written to be read as examples, and docs has a
// JSON Schema for editors.
//
// # What it means
//
// Decisions form a ladder, allow < validate < confirm < approve < deny. The
// default and all rules that match are looked at, and the strictest wins: the
// order of rules means nothing, and adding one never loosens anything. A rule
// does exactly one thing. It demands a decision, or takes from a budget, or
// hides fields of the answer from the callers that it matches.
//
// match takes names with globs, where ! negates; a rule is about a call that
// fits one of the names and none of the negated, in each list that is there.
// What match does not mention may be anything.
//
// Only an exemption takes a rule away: it stands in the file of its rule, says
// until which day (included, UTC) and why, and is named in the verdict.
//
// Everything fails closed. A rule that cannot be evaluated denies. An
// exemption that cannot be evaluated does not apply. An action of which no file
// speaks is denied. And whatever files say, what is no read is at least
// validated, and a credential is issued only where another person approves.
//
// Several files compose to their union ([Load]): all their rules, and for each
// action the strictest default of the files that have one. A rule sees the
// lists and budgets of its own file. A file that is the only one to speak of a
// class is what that class gets; so one that is meant to be added to others does well to have no defaults.
//
// # Expressions
//
// when and cost are CEL, type-checked for each action that the rule matches,
// against that action's schema. A misspelt field, a wrong type, an unknown
// list or time zone and an expression that could run for long are errors at
// load, with the place, a caret and the nearest name. They can read
//
//	action        the action's name
//	input         its typed input, where it has one
//	identity, filter, fields
//	recipients  whom it would ring, for calls that ring somebody: a list of
//	              records with contact, name, number, country and kind
//	caller        id, person, roles
//	now           a timestamp
//	lists         lists.name, a list of this file
//
// and call, beside the standard functions, workday(t, zone) and
// between(t, zone, 'HH:MM', 'HH:MM'), which also works across midnight.
//
// A field of the input that may be left out must be asked for before it is
// read: has(input.email) && input.email.endsWith('@example.com'). A field that
// is set to null is there. The members of a group, whom nobody can list, are as
// many recipients without any field: has(d.number) is false, and to read
// d.number fails, and so denies.
//
// # Looking at a policy
//
// [Policy.Decide] is for the gate, [Policy.Mildest] and [Policy.Hidden] for
// listing tools and showing answers. [Policy.Explain] tells of each rule why it
// did or did not match, [Policy.Lint] finds rules that do nothing and roles
// that look misspelt, and [RunTests] runs the tests that the files bring along.
// A test expects a decision, rules that match, and rules that do not (without).
package rules
