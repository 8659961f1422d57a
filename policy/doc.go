// Package policy decides and gates: every call to Sippet passes [Gate.Do].
//
// # Deciding
//
// A [Policy] is a YAML file with a decision for each class of action and for
// single actions, where an action's own line goes before its class's. Decisions
// form a ladder, allow < validate < confirm < approve < deny. Four profiles are
// embedded; [Load] takes their names or a file.
//
// # The road of a call
//
//	decide    what the policy demands of this action
//	stopped?  a person froze everything, or the ledger fails: nothing but reads
//	          and hanging up goes on
//	prior     did the same caller's same call run a moment ago, or may it have run?
//	          Then that is the answer; once more only where a person says so
//	validate  POST /rpc/public/validate with the payload's bytes
//	grant     confirm: is there a person's yes for these very bytes?
//	          No: answer approval_pending with a card and a grant id, and return.
//	commit    spend the yes and write the intent, durable, or refuse (package ledger)
//	run       POST /rpc/public/run with the same bytes, at most once
//	settle    how it ended, durable before the answer leaves
//
// Reads that are allowed outright go straight to run; their record is written
// a moment later and never delays them.
//
// The gate never waits for a person. Whoever asks (an elicitation, the
// terminal) shows the card, records the answer with [Gate.Record] and calls
// the gate again with the grant's id; the gate then decides and validates
// anew. So there is one path to Run, and asking is a loop around it.
//
// A grant is bound to the caller, the organisation, the payload's hash and the
// policy's version, has an expiry and is spent once. Everything fails closed:
// no answer, another payload, an unreachable validate, an unknown decision, a
// ledger that cannot be written: nothing runs.
//
// [Gate.EndCalls] is the one exception, for a person in need: it hangs up what
// rings, past everything above.
package policy
