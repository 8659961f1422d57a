// Package rpc sends payloads to Sippet's two endpoints and reports how each call ended.
//
//	POST {base}/rpc/public/validate   checks a payload and changes nothing
//	POST {base}/rpc/public/run        runs it
//
// To run a payload:
//
//	c, err := rpc.New(rpc.Config{BaseURL: rpc.DefaultBaseURL, Key: key})
//	res, fault := c.Run(ctx, rpc.Request{Action: "who_am_i", Body: payload, Read: true})
//
// The payload's bytes are sent as they are. A call ends with data, or with a [schemas.Error] of one
// of the outcomes below. The package makes no decisions about policy.
//
// # At most once
//
// Sippet has no idempotency key, so a write that is sent twice may happen twice. [Client.Run] sends
// a write once, and again only if nothing was sent, or if HTTP 429 says that it did not run.
// [Result].Sent reports whether any byte of the request may have left this process; trace.go says how
// that is known. The outcome follows from it:
//
//	nothing was sent            upstream_unavailable   it did not run
//	sent, and rejected          upstream_error         it did not run
//	sent, and no clear answer   outcome_unknown        it may have run
//
// Reads and validations change nothing. They are repeated where a repeat can help (retry.go). If no
// attempt succeeds, the outcome is upstream_unavailable.
//
// # Turns
//
// A client, or several that share turns, has 64 requests at a time. Others wait for their turn, for half of their deadline at most,
// so that they have time to run; queue.go says in which order. One that did not get its turn ends with
// upstream_unavailable, one of a caller with too many that wait with limit_exceeded; nothing was sent.
//
// After an HTTP 429 all requests pause, for as long as it asks for but 30 seconds at most. Sippet did
// not run what it rejected so. It is sent once more after the pause if half of its time is left then,
// a write too. Hanging up does not wait for the end of a pause.
//
// # Answers
//
// Nearly all answers, rejections included, are HTTP 200 with an envelope: {"success":true,"data":…}
// or {"success":false,"errors":[…]}. Data is returned byte for byte, so 64-bit integers stay exact.
// Each entry of errors becomes a [schemas.Detail]: with its template filled, its length bounded, and
// its path in the tool's arguments. Details that are made here always have a Type, which marks their
// Message as untrusted text. Message and Next of the error itself are never Sippet's or a proxy's.
//
// # The key
//
// The key is sent in x-api-key, to the configured origin only: redirects are never followed. It is
// in no error, no log line and no Result, even if the other side repeats it.
package rpc
