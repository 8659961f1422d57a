// Package policy runs calls to Sippet under control: [Gate.Do] takes a call through the whole call
// lifecycle and returns its outcome, or that a person must approve it first.
//
//	res := gate.Do(ctx, policy.Call{Caller: caller, Payload: payload})
//	if res.Pending != nil { … }   // show res.Pending.Card, record the answer, call Do again with ApprovalID
//
// # The call lifecycle
//
//	check       package schemas made the payload; an emergency stop or a broken ledger ends all but reads and hanging up
//	conflicts   a previous run of the same call answers it, or must be mentioned on the card
//	recipients  resolve whom the call reaches (package recipients)
//	decide      evaluate the policies (package rules): allow < validate < confirm < approve < deny
//	validate    POST /rpc/public/validate with the payload's bytes
//	approval    confirm, approve: without an approval for these very bytes, answer approval_pending and return
//	commit      one durable transaction: the approval is used, budgets are debited, the intent is written
//	run         POST /rpc/public/run with the same bytes, at most once
//	settle      store the outcome before the answer leaves
//
// Reads that are allowed go straight to run. Their audit record is written a moment later and
// delays nothing.
//
// # Approvals
//
// The gate never waits for a person. Whoever asks (an elicitation, the terminal, the inbox) shows
// the card, records the answer, and the call goes through the gate again with the request's id. So
// there is one path to Run. A request is bound to the requester, the organisation, the payload's
// hash, the recipients and the policy's version. It expires, and it is used once.
//
// Requests for the inbox are answered with package approval. An [Executor] runs approved calls. The
// call that asked waits with [Gate.AwaitApproval]; [Gate.ResultOf] returns the outcome later.
//
// # Failing closed
//
// No answer, another payload, an unreachable validate, an unknown decision, a ledger that cannot be
// written: nothing runs. A [PolicySet] replaces all its policies at once when a file changes, and
// keeps the old ones if a file is faulty.
//
// [Gate.EndCalls] is the one exception, for a person in an emergency: it hangs up live calls
// without any of these steps.
package policy
