// Package rpc speaks to Sippet: two endpoints, one envelope, and every way in
// which an answer can fail to come.
//
//	POST {base}/rpc/public/validate   checks a payload, changes nothing
//	POST {base}/rpc/public/run        runs it
//
// It decides nothing about policy. It is given a payload that somebody else
// has built, sends these very bytes, and says how that ended: with data, or
// with a *schemas.Error whose outcome is one of the closed set.
//
//	c, err := rpc.New(rpc.Config{BaseURL: rpc.DefaultBaseURL, Key: key})
//	res, err := c.Run(ctx, rpc.Request{Action: "who_am_i", Body: payload, Read: true})
//
// # At most once
//
// Sippet has no idempotency key, so a write that is sent twice may happen
// twice. Run therefore sends a write once, and says in Result.Sent whether any
// byte of the request may have left this process: see trace.go for how it
// knows. From there everything follows:
//
//	nothing was sent          upstream_unavailable   it did not run
//	sent, and refused         upstream_error         it did not run
//	sent, and no clear answer outcome_unknown        nobody knows
//
// Reads, and every Validate, change nothing. They are repeated where a repeat
// can help (retry.go), and failing that are upstream_unavailable.
//
// # What comes back
//
// Nearly all answers, refusals included, are HTTP 200 with an envelope:
// {"success":true,"data":…} or {"success":false,"errors":[…]}. Data is handed
// on as the bytes that came, so 64-bit integers survive. Entries of errors
// become schemas.Detail: templates filled, lengths bounded, the place named as
// a path in the tool's arguments. A Detail made here always has a Type, which
// marks its Message as text from outside; Message and Next of the error itself
// are always our own words, never Sippet's and never a proxy's.
//
// # The key
//
// It travels in x-api-key, to the configured origin only: redirects are never
// followed. It appears in no error, no log line and no Result, even where the
// other side echoes it.
package rpc
