package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// recipients returns the recipients of the call: those that --recipients states, those that the
// gate resolves, or those that the arguments tell. It notes in out what is unknown.
func (o *explainOptions) recipients(ctx context.Context, p *program, pol *rules.Policy, out *explained, f rules.Facts) (*recipients.Set, error) {
	depends := len(pol.RecipientConditions(f.Payload.Action)) > 0 // on more than the count
	if o.stated != "" {
		s, known, err := recipients.FromText(o.stated)
		if err != nil {
			return nil, fmt.Errorf("--recipients: %w", err)
		}
		out.Recipients = s.Overview(known)
		if !known && depends {
			out.Uncertain = true
			out.Notes = append(out.Notes, "rules depend on the recipients' numbers, and only their count was stated: the numbers may change the decision. The decision is right for a group, since the numbers of its members are never known")
		}
		return s, nil
	}
	s, known, fault := recipients.FromArguments(ctx, f.Payload)
	switch {
	case fault != nil:
		out.Notes = append(out.Notes, "the call would be rejected before the policy decides: "+sentence(fault))
		return s, nil
	case known:
		out.Recipients = s.Overview(true)
		return s, nil
	case !o.sandbox && !o.hasKey(p):
		out.Recipients = s.Overview(false)
		note := "the contacts were not read, and no rule depends on their numbers"
		if out.Uncertain = depends; depends {
			note = "the contacts were not read, and rules depend on their numbers: the numbers may change the decision. Set a key, use --sandbox, or state the recipients with --recipients"
		}
		out.Notes = append(out.Notes, note)
		return s, nil
	}
	found, note, uncertain, err := o.resolveRecipients(ctx, p, f)
	if err != nil {
		return nil, err
	}
	if out.Uncertain = uncertain; note != "" {
		out.Notes = append(out.Notes, note)
	}
	if found != nil {
		out.Recipients = found.Overview(true)
		return found, nil
	}
	out.Recipients = s.Overview(false)
	return s, nil
}

// related returns what the gate reads about the contact that the call writes, or what the arguments
// tell. It notes in out what is unknown.
func (o *explainOptions) related(ctx context.Context, p *program, out *explained, f rules.Facts) (*recipients.Related, error) {
	stated, known := recipients.RelatedFromArguments(f.Payload)
	if known {
		return stated, nil
	}
	if !o.sandbox && !o.hasKey(p) {
		out.Uncertain = true
		out.Notes = append(out.Notes, "the contacts were not read: the contact's name and metadata, and contacts that share something with it, may change the decision. Set a key or use --sandbox")
		return stated, nil
	}
	e, err := o.explainByGate(ctx, p, f)
	switch {
	case err != nil:
		return nil, err
	case e.Related != nil:
		return e.Related, nil
	case e.Verdict.Decision == rules.Deny:
		return stated, nil
	}
	out.Uncertain = true
	out.Notes = append(out.Notes, "the contacts could not be read: "+sentence(e.Fault))
	return stated, nil
}

// resolveRecipients reads the contacts with the gate, as before a call. The set is nil if they were
// not read; uncertain says that the decision may depend on them.
func (o *explainOptions) resolveRecipients(ctx context.Context, p *program, f rules.Facts) (s *recipients.Set, note string, uncertain bool, err error) {
	e, err := o.explainByGate(ctx, p, f)
	switch {
	case err != nil:
		return nil, "", true, err
	case e.Fault == nil || e.Fault.Outcome == schemas.Denied && e.Recipients != nil:
		return e.Recipients, "", false, nil
	case e.Recipients != nil:
		return e.Recipients, "Sippet rejects the call: " + sentence(e.Fault), false, nil
	case e.Verdict.Decision == rules.Deny:
		return nil, "the contacts were not read: the call is denied for all recipients", false, nil
	case e.Fault.Outcome == schemas.Stopped:
		return nil, "the contacts were not read: an emergency stop is active", true, nil
	}
	return nil, "the recipients could not be resolved: " + sentence(e.Fault), true, nil
}

// explainByGate takes the call through the gate as far as its decision.
func (o *explainOptions) explainByGate(ctx context.Context, p *program, f rules.Facts) (e policy.Explanation, err error) {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return e, err
	}
	c, err := o.open(ctx, p, log)
	if err != nil {
		return e, err
	}
	defer c.close()
	gate := c.runner.Gate
	gate.Now = func() time.Time { return f.Now }
	// The reads are recorded for the local person, whoever --caller names.
	caller := local("terminal")
	caller.ID, caller.Person, caller.Roles = f.Caller.ID, f.Caller.Person, f.Caller.Roles
	return gate.Explain(ctx, policy.Call{Caller: caller, Payload: f.Payload}), nil
}

// sentence returns an error's message with its first detail.
func sentence(e *schemas.Error) string {
	if len(e.Details) > 0 && !strings.Contains(e.Message, e.Details[0].Message) {
		return e.Message + " (" + strings.TrimPrefix(e.Details[0].Path+": ", ": ") + e.Details[0].Message + ")"
	}
	return e.Message
}
