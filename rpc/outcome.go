package rpc

import (
	"fmt"
	"net/http"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// callKind is the kind of a call. It decides what a missing answer means.
type callKind int

const (
	validating callKind = iota
	reading
	writing
)

// errorFor returns the error of a reply that is no success.
func (c *Client) errorFor(rep *reply, r Request, kind callKind) *schemas.Error {
	if rep.fault != nil {
		return rep.fault
	}
	e := &schemas.Error{Err: c.redact.cause(rep.err)}
	switch {
	case rep.verdict == rejected:
		c.fillRejection(e, rep, r, kind)
	case kind == writing && rep.sent:
		// RetryAfter stays empty, because the write must not be repeated.
		e.Outcome = schemas.OutcomeUnknown
		e.Message = fmt.Sprintf("it is unknown whether %s ran: the request was sent to sippet, and %s", r.Action, rep.reason)
		e.Next = "do not repeat it; check first whether it took effect"
		e.Details = c.details(rep.errors)
	case kind == reading && rep.verdict == serverError:
		e.Outcome = schemas.UpstreamError
		e.Message = fmt.Sprintf("sippet failed on %s (HTTP %d)", r.Action, rep.status)
		e.Next = "sippet fails like this on a filter, sort or page that it cannot read: simplify them and call again"
		e.Details = c.details(rep.errors)
	case kind == reading && rep.verdict == tooLong:
		e.Outcome = schemas.UpstreamError
		e.Message = fmt.Sprintf("the answer to %s is longer than %d MiB", r.Action, max(c.max>>20, 1))
		e.Next = "ask for less: fewer fields, a narrower filter, or a page with a limit"
	default:
		e.Outcome = schemas.UpstreamUnavailable
		e.RetryAfter = rep.retryAfter
		e.Next = "nothing ran; try again later"
		switch {
		case kind == validating:
			e.Message = fmt.Sprintf("sippet could not validate %s: %s", r.Action, rep.reason)
			e.Details = c.details(rep.errors)
		case rep.sent:
			e.Message = fmt.Sprintf("sippet returned no usable answer to %s: %s", r.Action, rep.reason)
			e.Next = "nothing was changed; try again later"
		default:
			e.Message = fmt.Sprintf("sippet could not be reached for %s: %s", r.Action, rep.reason)
			e.Next = "nothing was sent; check the network and SIPPET_BASE_URL, then try again"
		}
	}
	return e
}

const (
	adviceForbidden = "this key does not have the permission: use one that has it (SIPPET_SECRET_KEY or --key-file), or do without this call"
	adviceSilent    = "sippet does not say what is wrong; the usual cause is an unknown name or an impossible value in input, filter, sort or page: simplify them and call again"
)

// advice returns what to do about the faults of a rejection: if all are of one type, there is one
// remedy.
func advice(faults []schemas.Detail) string {
	kinds := map[string]int{}
	for _, f := range faults {
		kinds[f.Type]++
	}
	switch len(faults) {
	case kinds["forbidden"]:
		return adviceForbidden
	case kinds["not_found"]:
		return "look up the record again: its id is wrong, or it does not exist any more"
	case kinds["internal_error"] + kinds["unknown_error"] + kinds[untyped]: // the types of unspecific errors
		return adviceSilent
	}
	return "correct the faults named in the details and call again"
}

// fillRejection fills the error with a rejection by Sippet, or by a proxy in front of it.
func (c *Client) fillRejection(e *schemas.Error, rep *reply, r Request, kind callKind) {
	e.Outcome = schemas.UpstreamError
	e.RetryAfter = rep.retryAfter
	e.Details = c.details(rep.errors)
	if rep.envelope {
		if kind == validating {
			e.Outcome = schemas.ValidationFailed
			e.Message = fmt.Sprintf("sippet's validation rejected %s", r.Action)
		} else {
			e.Message = fmt.Sprintf("sippet rejected %s", r.Action)
		}
		switch {
		case string(rep.errors) == "[]":
			e.Message += " without a reason, which means that it is forbidden"
			e.Next = adviceForbidden
		case len(e.Details) == 0:
			e.Message += ", and its reason cannot be read"
			e.Next = adviceSilent
		default:
			e.Next = advice(e.Details)
		}
		e.Message += "; nothing ran"
		return
	}
	switch s := rep.status; s {
	case http.StatusUnauthorized:
		e.Message = fmt.Sprintf("sippet did not accept the secret key for %s (HTTP 401); nothing ran", r.Action)
		e.Next = "check SIPPET_SECRET_KEY or the file of --key-file: the key may be mistyped, revoked or for another environment"
	case http.StatusForbidden:
		e.Message = fmt.Sprintf("sippet does not allow %s with this key (HTTP 403); nothing ran", r.Action)
		e.Next = "use a key with the permission (SIPPET_SECRET_KEY or --key-file), or ask an administrator of the organisation"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		e.Message = fmt.Sprintf("there is no sippet API at the address that %s was sent to (HTTP %d); nothing ran", r.Action, s)
		e.Next = "check SIPPET_BASE_URL; the default is " + DefaultBaseURL
	case http.StatusTooManyRequests:
		e.Message = fmt.Sprintf("sippet rejected %s: too many requests (HTTP 429); nothing ran", r.Action)
		e.Next = "wait before calling again, and then make fewer calls at a time"
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		e.Message = fmt.Sprintf("%s was answered with a redirect (HTTP %d), which is not followed; nothing ran", r.Action, s)
		e.Next = "check SIPPET_BASE_URL: give the address that needs no redirect"
	default:
		e.Message = fmt.Sprintf("sippet rejected %s (HTTP %d); nothing ran", r.Action, s)
		e.Next = "correct the call; the same call will fail again"
	}
}
