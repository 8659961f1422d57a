package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

type explainOptions struct {
	connection
	roles                      []string
	caller, person, at, stated string
	json                       bool
}

func newPolicyExplain(p *program) *cobra.Command {
	o := &explainOptions{connection: connection{lifetime: time.Minute, rows: tools.DefaultRows, bytes: tools.DefaultBytes, logLevel: "warn"}}
	c := &cobra.Command{
		Use:   "explain ACTION [ARGUMENTS]",
		Short: "Explain how policies decide a call",
		Long: `Explain how policies decide a call: which rules match and which do not, which
exemptions apply, who would be rung, and what the call takes from budgets. Nothing runs.

It works without a key. Phone numbers are then looked up in the built-in numbering
plans. Contacts are not read, so rules about their numbers cannot be decided: state
the recipients with --recipients, or use a key or --sandbox. Then the contacts are
read as before a call, and Sippet validates the call.

--caller also takes the id of a token. Its roles and its person apply if --as and
--person are not set. If the token has a policy of its own, name it with --policy.`,
		Example: `  sippet-mcp policy explain delete_contact '{"input":{"contactId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"}}' --policy team
  sippet-mcp policy explain start_outbound_call '{"input":{"phoneNumber":"+442079460123"}}' --policy desktop,quiet-hours.yaml --as agent --at 2026-01-07T23:00:00Z
  sippet-mcp policy explain start_bulk_outbound_call '{"input":{"groupId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"}}' --recipients 60`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("name an action, such as list_calls; see `sippet-mcp actions`")
			case len(args) > 2:
				return errors.New("too many arguments: write the arguments of the action as one JSON object in quotes, such as '{\"page\":{\"limit\":5}}'")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runPolicyExplain(c.Context(), p, o, args) },
	}
	f := c.Flags()
	policyFlag(c, &o.policies)
	f.StringSliceVar(&o.roles, "as", nil, "roles of the caller, comma-separated: "+strings.Join(rules.Roles, ", ")+", or your own")
	f.StringVar(&o.caller, "caller", "", "who calls, or a token's id (default: you)")
	f.StringVar(&o.person, "person", "", "the caller's person (default: you)")
	f.StringVar(&o.at, "at", "", "time of the call, such as 2026-01-07T23:00:00Z, or 2026-01-07T23:00 in local time (default: now)")
	f.StringVar(&o.stated, "recipients", "", `recipients: a count, numbers such as +442079460123,+33142685300, or a JSON list such as [{"number":"+442079460123"}]`)
	sandboxFlag(c, &o.sandbox, "read contacts from the simulated organisation, and budgets from its audit log")
	o.simulated.flags(c)
	o.upstreamOptions.flags(c)
	stateDirFlag(c, &o.stateDir)
	f.BoolVar(&o.json, "json", false, "print JSON, also on a terminal")
	return c
}

// explained is the output for a pipe.
type explained struct {
	Action  string        `json:"action"`
	Policy  string        `json:"policy"`
	Version string        `json:"version"`
	At      time.Time     `json:"at"`
	Caller  explainedFor  `json:"caller"`
	Class   schemas.Class `json:"class"`
	// Decision and Why are the policy's decision, Means is the decision as a sentence.
	Decision rules.Decision `json:"decision"`
	Why      string         `json:"why"`
	Means    string         `json:"means"`
	// Uncertain says that rules depend on unknown numbers: the gate may decide otherwise.
	Uncertain bool           `json:"uncertain,omitempty"`
	Default   rules.Decision `json:"default"`
	Because   string         `json:"because"`
	// Recipients is nil if the action rings nobody.
	Recipients *recipients.Overview `json:"recipients,omitempty"`
	Budgets    []explainedBudget    `json:"budgets,omitempty"`
	Hidden     []string             `json:"hidden,omitempty"`
	Exempted   []rules.Exempted     `json:"exempted,omitempty"`
	Rules      []rules.Step         `json:"rules"`
	Notes      []string             `json:"notes,omitempty"`
}

type explainedFor struct {
	ID     string   `json:"id"`
	Person string   `json:"person,omitempty"`
	Roles  []string `json:"roles,omitempty"`
}

type explainedBudget struct {
	Budget string `json:"budget"`
	Key    string `json:"key"`
	// Takes is how many units the call takes; 0 if one for each person in its answer.
	Takes int64 `json:"takes"`
	Holds int64 `json:"holds"`
	// Refill is how many units an approval of a call over it adds; 0 if such a call does not run.
	Refill int64 `json:"refill,omitempty"`
	// Left is what is left now; absent if there is no ledger.
	Left *int64 `json:"left,omitempty"`
	// Full is when the budget is full again.
	Full *time.Time `json:"full,omitempty"`
}

func runPolicyExplain(ctx context.Context, p *program, o *explainOptions, args []string) error {
	pol, err := rules.Load(o.policies...)
	if err != nil {
		return err
	}
	if o.simulated.changed() && !o.sandbox {
		return errors.New("--sandbox-db, -seed, -speed and -scale need --sandbox")
	}
	action, fault := schemas.Find(args[0])
	if fault != nil {
		return errors.New(fault.Message)
	}
	f := rules.Facts{Now: time.Now()}
	if f.Now, err = parseMoment(o.at, f.Now); err != nil {
		return err
	}
	out := explained{Action: action.Name, Class: action.Class, Policy: pol.Name(), Version: pol.Version(), At: f.Now, Notes: pol.ExpiredExemptions()}
	f.Caller = o.callerFor(ctx, p, &out)
	raw := []byte(nil)
	if len(args) > 1 {
		raw = []byte(args[1])
	}
	if f.Payload, fault = action.Check(raw, schemas.Limits{Now: f.Now, Hidden: hiddenFieldsOf(pol, action, f.Caller)}); fault != nil {
		showError(p.err, fault)
		return exitCodes[fault.Outcome]
	}
	if recipients.HasRecipients(action) {
		if f.Recipients, err = o.recipients(ctx, p, pol, &out, f); err != nil {
			return err
		}
	}
	if recipients.HasRelated(action) {
		if f.Related, err = o.related(ctx, p, &out, f); err != nil {
			return err
		}
	}
	f.Callers = &explainedCallers{o, p, &out}
	if action.Safe == schemas.SafeOnOwnCall {
		own := f
		own.OwnCall = true
		out.Notes = append(out.Notes, "for a live call that this caller's work started: "+pol.Decide(own).Decision.String())
	}
	e := pol.Explain(f)
	out.Caller = explainedFor{f.Caller.ID, f.Caller.Person, f.Caller.Roles}
	out.Decision, out.Why, out.Means, out.Default, out.Because = e.Decision, e.Why, means[e.Decision], e.Default, e.Because
	out.Hidden, out.Exempted, out.Rules = e.Hidden, e.Exempted, e.Steps
	o.budgets(ctx, p, &out, pol, e.Verdict)
	if o.json || !p.outTerminal {
		return writeJSON(p.out, out)
	}
	out.show(p)
	return nil
}

// explainedCallers counts the people with a token.
type explainedCallers struct {
	*explainOptions
	p   *program
	out *explained
}

// Callers returns 0 without a ledger.
func (c *explainedCallers) Callers(ctx context.Context) (n int64, _ error) {
	c.readLedger(ctx, c.p, c.out, func(l *ledger.SQLite) (err error) {
		n, err = l.Callers(ctx)
		return err
	})
	return n, nil
}

// means explains each decision to a person.
var means = map[rules.Decision]string{
	rules.Allow:    "it runs at once, without approval",
	rules.Validate: "it runs after Sippet has validated it, without approval",
	rules.Confirm:  "it runs after the caller's person has approved it",
	rules.Approve:  "it runs after another person has approved it",
	rules.Deny:     "it does not run, and nobody can approve it",
}

func parseMoment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if t, err := time.ParseInLocation("2006-01-02T15:04", s, time.Local); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return now, fmt.Errorf("--at: %q is not a time: write one such as 2026-01-07T23:00:00Z, or 2026-01-07T23:00 in local time", s)
}

// hiddenFieldsOf returns the fields of the action's records that the caller must not see.
func hiddenFieldsOf(pol *rules.Policy, a *schemas.Action, c rules.Caller) map[string]bool {
	out := map[string]bool{}
	for _, h := range pol.HiddenFields(a, c) {
		if resource, field, _ := strings.Cut(h, "."); a.Resource != nil && resource == a.Resource.Name {
			out[field] = true
		}
	}
	return out
}

// callerFor returns the caller. The roles and the person of a token apply to its id.
func (o *explainOptions) callerFor(ctx context.Context, p *program, out *explained) rules.Caller {
	c := rules.Caller{ID: o.caller, Person: o.person, Roles: o.roles}
	if c.ID == "" {
		c.ID = me()
		if c.Person == "" {
			c.Person = me()
		}
	}
	o.readLedger(ctx, p, out, func(l *ledger.SQLite) error {
		all, err := l.Tokens(ctx)
		for _, t := range all {
			if t.ID != o.caller {
				continue
			}
			if c.Person == "" {
				c.Person = t.Person
			}
			if c.Roles == nil {
				c.Roles = t.Roles
			}
			if t.Policy != "" {
				out.Notes = append(out.Notes, "the token has a policy of its own, which also applies: "+t.Policy+"; name it with --policy")
			}
			if !t.Live(time.Now()) {
				out.Notes = append(out.Notes, "the token is expired or revoked, so it cannot be used")
			}
		}
		out.noteStop(ctx, l, c)
		return err
	})
	return c
}

// noteStop notes an emergency stop that covers the call.
func (out *explained) noteStop(ctx context.Context, l *ledger.SQLite, c rules.Caller) {
	action, fault := schemas.Find(out.Action)
	stops, err := l.CurrentStops(ctx)
	if fault != nil || err != nil || action.Class == schemas.Read || action.Name == ledger.HangUp {
		return
	}
	if stop := ledger.FindStop(stops, ledger.Actor{Name: cmp.Or(c.Person, c.ID)}, action.EffectKind); stop != nil {
		out.Notes = append(out.Notes, fmt.Sprintf("emergency stop of %s by %s: %s until it is resumed, whatever the policy decides", stop.StopScope, stop.By, stop.Continues()))
	}
}

// readLedger reads the ledger if there is one. An error becomes a note, since the policy can be
// explained without it.
func (o *explainOptions) readLedger(ctx context.Context, p *program, out *explained, do func(*ledger.SQLite) error) bool {
	at := ledgerOptions{o.stateDir, o.sandbox}
	if !at.exists() {
		return false
	}
	if err := at.reading(ctx, p, do); err != nil {
		out.Notes = append(out.Notes, "the ledger could not be read: "+err.Error())
		return false
	}
	return true
}

// exists reports whether there is a ledger. It creates nothing.
func (o *ledgerOptions) exists() bool {
	dir := o.stateDir
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return false
		}
		dir = filepath.Join(base, "sippet-mcp")
	}
	return hasLedger(ledgerDir(dir, o.sandbox))
}

func (o *explainOptions) budgets(ctx context.Context, p *program, out *explained, pol *rules.Policy, v rules.Verdict) {
	debits := slices.Concat(v.Debits, v.Reading)
	for _, d := range debits {
		out.Budgets = append(out.Budgets, explainedBudget{Budget: d.Budget, Key: d.Key, Takes: d.Cost, Holds: d.Burst, Refill: d.Refill})
		if d.Cost > d.Burst && d.Refill == 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("the call takes %[3]d from the budget %[1]s, which holds at most %[2]d: it never runs", d.Budget, d.Burst, d.Cost))
		}
	}
	if debits == nil {
		return
	}
	found := o.readLedger(ctx, p, out, func(l *ledger.SQLite) error {
		for i, d := range debits {
			left, refill, err := l.BudgetLeft(ctx, ledger.Debit(d))
			if err != nil {
				return err
			}
			b := &out.Budgets[i]
			b.Left = &left
			if refill > 0 {
				full := time.Now().Add(refill).Round(time.Second)
				b.Full = &full
			}
			if d.Cost == 0 && left == 0 {
				out.Notes = append(out.Notes, fmt.Sprintf("the persons that the call shows are taken from the budget %s, which has 0 left: it does not run now", d.Budget))
			}
			switch {
			case left >= d.Cost:
			case d.Refill > 0:
				v = pol.Over(v, d.Budget)
				out.Decision, out.Why, out.Means = v.Decision, v.Why, means[v.Decision]
				out.Notes = append(out.Notes, fmt.Sprintf("the call takes %[3]d from the budget %[1]s, which has %[2]d left: a person must approve it, and their approval adds %[4]d", d.Budget, left, d.Cost, d.Refill))
			case d.Cost <= d.Burst:
				out.Notes = append(out.Notes, fmt.Sprintf("the call takes %[3]d from the budget %[1]s, which has %[2]d left: it does not run now", d.Budget, left, d.Cost))
			}
		}
		return nil
	})
	if found && o.at != "" {
		out.Notes = append(out.Notes, "budgets show what is left now, not at the time of --at")
	}
}

// hasKey reports whether there is a key for a live organisation.
func (o *explainOptions) hasKey(p *program) bool {
	return o.keyFile != "" || rpc.Key(p.env("SIPPET_SECRET_KEY")) != ""
}
