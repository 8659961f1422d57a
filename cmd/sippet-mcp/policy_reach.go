package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// recipients says whom the call would ring: as it was stated, as the gate finds out, or as far as the arguments tell.
func (o *explainOptions) recipients(ctx context.Context, p *program, pol *rules.Policy, out *explained, f rules.Facts) (*recipients.Set, error) {
	if o.dest != "" {
		s, known, err := statedRecipients(ctx, o.dest)
		if err != nil {
			return nil, err
		}
		out.Recipients = showRecipients(s, known)
		if asks := len(pol.RecipientConditions(f.Payload.Action)) > 0; !known && asks {
			out.Uncertain = true
			out.Notes = append(out.Notes, "only how many people it would ring was stated, and rules ask about their numbers: with these it may be decided otherwise. Of a group nobody knows more than how many they are; so then this is right")
		}
		return s, nil
	}
	s, fault, unknown := resolveRecipients(ctx, f.Payload)
	switch {
	case fault != nil:
		out.Notes = append(out.Notes, "the call would be refused before anything is decided: "+sentence(fault))
		return s, nil
	case !unknown:
		out.Recipients = showRecipients(s, true)
		return s, nil
	case !o.sandbox && !o.hasKey(p):
		out.Recipients = showRecipients(s, false)
		note := "the contacts were not looked up, and no rule asks for their numbers"
		if out.Uncertain = len(pol.RecipientConditions(f.Payload.Action)) > 0; out.Uncertain {
			note = "the contacts were not looked up, and rules ask for their numbers: with these it may be decided otherwise. Give a key or --sandbox, or state whom it rings with --recipients"
		}
		out.Notes = append(out.Notes, note)
		return s, nil
	}
	found, note, uncertain, err := o.asTheGate(ctx, p, f)
	if err != nil {
		return nil, err
	}
	if out.Uncertain = uncertain; note != "" {
		out.Notes = append(out.Notes, note)
	}
	if found != nil {
		out.Recipients = showRecipients(found, true)
		return found, nil
	}
	out.Recipients = showRecipients(s, false)
	return s, nil
}

// notAsked says that contacts are not looked up.
var notAsked = &schemas.Error{Outcome: schemas.Unavailable, Message: "contacts are not looked up here"}

// resolveRecipients gives whom a call rings as far as its arguments tell. unknown says that contacts are named: of them it gives the
// ids. A fault says why the call cannot ring anybody.
func resolveRecipients(ctx context.Context, p *schemas.Payload) (s *recipients.Set, fault *schemas.Error, unknown bool) {
	asked := false
	s, fault = recipients.Resolve(ctx, p, func(context.Context, *schemas.Payload) (json.RawMessage, *schemas.Error) {
		asked = true
		return nil, notAsked
	})
	if !asked {
		return s, fault, false
	}
	in, _ := p.Args["input"].(map[string]any)
	s = &recipients.Set{}
	for _, target := range p.Action.Targets {
		ids, many := in[target].([]any)
		if !many && in[target] != nil {
			ids = []any{in[target]}
		}
		for _, v := range ids {
			id, _ := v.(string)
			s.List = append(s.List, recipients.Recipient{Contact: strings.ToLower(id)})
		}
	}
	s.Count = len(s.List)
	if n, ok := in["contactLimit"].(json.Number); ok {
		if most, err := n.Int64(); err == nil && most > 0 {
			s.Count = int(min(most, int64(s.Count)))
		}
	}
	return s, nil, true
}

// statedRecipients reads --recipients. known says that numbers were stated.
func statedRecipients(ctx context.Context, text string) (s *recipients.Set, known bool, err error) {
	text = strings.TrimSpace(text)
	if n, err := strconv.Atoi(text); err == nil && !strings.HasPrefix(text, "+") {
		if n < 0 || n > recipients.Max {
			return nil, false, fmt.Errorf("--recipients: %d is no number of people from 0 to %d", n, recipients.Max)
		}
		return &recipients.Set{Group: "stated", Count: n}, false, nil
	}
	var list []recipients.Recipient
	if strings.HasPrefix(text, "[") {
		if list, err = recipientList([]byte(text)); err != nil {
			return nil, false, err
		}
	} else {
		for number := range strings.SplitSeq(text, ",") {
			list = append(list, recipients.Recipient{Number: strings.TrimSpace(number)})
		}
	}
	for i := range list {
		d := &list[i]
		if d.Kind != "" && !slices.Contains(recipients.Kinds, d.Kind) {
			return nil, false, fmt.Errorf("--recipients: unknown kind of number %q, valid: %s", d.Kind, join(recipients.Kinds))
		}
		if d.Number == "" || d.Kind != "" {
			continue
		}
		found, err := parseRecipient(ctx, d.Number)
		if err != nil {
			return nil, false, err
		}
		if d.Kind = found.Kind; d.Country == "" {
			d.Country = found.Country
		}
	}
	return &recipients.Set{List: list, Count: len(list)}, true, nil
}

// recipientList reads a JSON list of records, or of numbers.
func recipientList(text []byte) ([]recipients.Recipient, error) {
	var numbers []string
	if json.Unmarshal(text, &numbers) == nil {
		var list []recipients.Recipient
		for _, n := range numbers {
			list = append(list, recipients.Recipient{Number: n})
		}
		return list, nil
	}
	var list []recipients.Recipient
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || d.More() {
		return nil, errors.New(`--recipients: give a list such as [{"number":"+442079460123","country":"GB","kind":"fixed_line"}]; contact and name are the other keys`)
	}
	return list, nil
}

// parseRecipient looks a number up as the gate does.
func parseRecipient(ctx context.Context, number string) (d recipients.Recipient, err error) {
	a, fault := schemas.Find("start_outbound_call")
	if fault != nil {
		return d, fault
	}
	args, _ := json.Marshal(map[string]any{"input": map[string]any{"phoneNumber": number}})
	p, fault := a.Check(args, schemas.Limits{})
	if fault == nil {
		var s *recipients.Set
		if s, fault, _ = resolveRecipients(ctx, p); fault == nil {
			return s.List[0], nil
		}
	}
	return d, fmt.Errorf("--recipients: %s: %s", schemas.Escape(number, 30), sentence(fault))
}

// sentence is an error with its first detail, or without.
func sentence(e *schemas.Error) string {
	if len(e.Details) > 0 && !strings.Contains(e.Message, e.Details[0].Message) {
		return e.Message + " (" + strings.TrimPrefix(e.Details[0].Path+": ", ": ") + e.Details[0].Message + ")"
	}
	return e.Message
}

// asTheGate resolves contacts over the connection, by the gate's own road. nil where that says nothing of whom it rings;
// uncertain where it should have.
func (o *explainOptions) asTheGate(ctx context.Context, p *program, f rules.Facts) (s *recipients.Set, note string, uncertain bool, err error) {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return nil, "", true, err
	}
	c, err := o.open(ctx, p, log)
	if err != nil {
		return nil, "", true, err
	}
	defer c.close()
	gate := c.runner.Gate
	gate.Now = func() time.Time { return f.Now }
	// The reads are this person's, on whosever behalf it is asked.
	who := local("terminal")
	who.ID, who.Person, who.Roles = f.Caller.ID, f.Caller.Person, f.Caller.Roles
	e := gate.Explain(ctx, policy.Call{Caller: who, Payload: f.Payload})
	switch {
	case e.Fault == nil || e.Fault.Outcome == schemas.Denied && e.Recipients != nil:
		return e.Recipients, "", false, nil
	case e.Recipients != nil:
		return e.Recipients, "Sippet refuses the call: " + sentence(e.Fault), false, nil
	case e.Verdict.Decision == rules.Deny:
		return nil, "the contacts were not looked up: the call is denied whoever they are", false, nil
	case e.Fault.Outcome == schemas.Stopped:
		return nil, "the contacts were not looked up: everything is stopped", true, nil
	}
	return nil, "whom it would ring could not be found out: " + sentence(e.Fault), true, nil
}

func showRecipients(s *recipients.Set, known bool) *explainedRecipients {
	out := &explainedRecipients{Known: known, Count: s.Count, Group: s.Group, List: s.List}
	switch {
	case known:
		out.Summary, out.lines = s.Summary(), s.Lines(10)
	case s.Group == "stated":
		out.Group, out.Summary = "", count(int64(s.Count), "destination")+", as stated"
	default:
		out.Summary = count(int64(s.Count), "contact") + ", not looked up"
	}
	return out
}
