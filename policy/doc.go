// Package policy decides and gates: every call to Sippet passes [Gate.Do].
//
// # The road of a call
//
//	stopped?  a person froze everything, or the ledger fails: nothing but reads
//	          and hanging up goes on
//	prior     did the same caller's same call run a moment ago, or may it have run?
//	          Then that is the answer; once more only where a person says so
//	earlier   was the same asked in the inbox, and has the caller not heard what
//	          came of it? Then it hears that now
//	reach     whom would it ring? Contacts are looked up (package reach)
//	decide    what the policies demand of this call by this caller (package
//	          rules): allow < validate < confirm < approve < deny
//	validate  POST /rpc/public/validate with the payload's bytes
//	grant     confirm, approve: is there a person's yes for these very bytes?
//	          No: answer approval_pending with a card and a grant id, and return.
//	commit    spend the yes, debit the budgets and write the intent, durable, or
//	          refuse (package ledger)
//	run       POST /rpc/public/run with the same bytes, at most once
//	settle    how it ended, durable before the answer leaves
//
// Reads that are allowed outright go straight to run; their record is written
// a moment later and never delays them.
//
// Which policies hold is the [Book]'s to say: the server's own, those of
// callers who showed a token, and one that is only watched. It changes them
// all at once when a file does.
//
// The gate never waits for a person. Whoever asks (an elicitation, the
// terminal) shows the card, records the answer with [Gate.Record] and calls
// the gate again with the grant's id; the gate then decides and validates
// anew. So there is one path to Run, and asking is a loop around it.
//
// What nobody can be asked at once, and what another person must approve, waits
// in the inbox. A [Desk] takes the answers, and is the one place that says who
// may give which; an [Executor] runs what was agreed to, by calling the gate
// again with the sealed payload. The call that asked waits with [Gate.Await],
// and [Gate.Became] says later what came of it. [Watch] tells all of them when
// there is news.
//
// A grant is bound to the caller, the organisation, the payload's hash, whom it
// reaches and the policy's version, has an expiry and is spent once. Everything fails closed:
// no answer, another payload, an unreachable validate, an unknown decision, a
// ledger that cannot be written: nothing runs.
//
// [Gate.EndCalls] is the one exception, for a person in need: it hangs up what
// rings, past everything above.
package policy
