// Package policy runs calls to Sippet under control: [Gate.Do] takes a call through the whole call
// lifecycle, and returns its result or that a person must approve it first.
//
//	res := gate.Do(ctx, policy.Call{Caller: caller, Payload: payload})
//	if res.Pending != nil { … } // show its Card, record the answer, call Do with its ApprovalID
//
// # The call lifecycle
//
//	check       package schemas has checked the payload; an emergency stop or a store error ends
//	            all calls but reads and the safe direction
//	conflicts   a previous run of the same call answers it, or is mentioned on the card
//	recipients  resolve the people whom the call reaches (package recipients)
//	decide      evaluate the policies (package rules): allow < validate < confirm < approve < deny
//	validate    POST /rpc/public/validate with the payload's bytes
//	approval    confirm, approve: without an approval of these bytes, return approval_pending
//	commit      one durable transaction: use the approval, debit budgets, write the intent
//	run         POST /rpc/public/run with the same bytes, at most once
//	settle      store the outcome before the answer leaves
//
// Reads that are allowed go straight to run. Their audit record is written a moment later and
// delays nothing.
//
// # Approvals
//
// The gate never waits for a person. Whatever asks (an elicitation, the terminal, the inbox) shows
// the card and records the answer, and an [Executor] takes the call through the gate again with the
// request's id. So there is one path to Run. A request is bound to the requester, the organisation,
// the payload's hash and the recipients. It expires, and it is used once. The policy is not bound: it
// decides again when the call runs, and the approval holds unless the decision is stricter by then.
// [Executor] also takes over, or revokes, requests whose program has ended (orphan.go).
//
// Package approval records the answers of the inbox, [Gate.RecordReply] those of clients. The call
// that made the request waits with [Gate.AwaitApproval]; [Gate.ResultOf] returns the outcome later.
//
// # Failing closed
//
// No answer, another payload, an unreachable validate, an unknown decision, a ledger that cannot be
// written: nothing runs. A [PolicySet] replaces all its policies at once when a file changes, and
// keeps the previous ones if a file is faulty.
//
// [Gate.EndCalls] is the one exception, for a person in an emergency: it hangs up live calls
// without any of these steps.
package policy
