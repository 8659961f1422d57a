package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type policyDiffOptions struct {
	ledgerOptions
	period
}

func newPolicyDiff(p *program) *cobra.Command {
	o := &policyDiffOptions{}
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say which recorded calls another policy would decide otherwise",
		Long: `Take the calls that are in the audit, decide each under two policies, and list
those that come out differently. OLD and NEW are what --policy takes: built-in
names or files, several separated by commas. The audit is only read.

Each call counts once, with the time at which it was made and the roles that its
token has. Not known is
  - what a call asked for, where somebody was erased or nothing was kept
  - the numbers of contacts: a call to contacts is compared, and marked, where both
    policies ask the same about numbers or one denies it whatever they are
  - the roles of a caller whose token is gone: none are assumed
What was not compared is counted, with the reason. What is left of budgets is not
looked at: only decisions are compared, and which fields would be hidden.`,
		Example: `  sippet-mcp policy diff desktop desktop,quiet-hours.yaml
  sippet-mcp policy diff team.yaml team-new.yaml --since 30d | jq '.different'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("give two policies, the old and the new, such as: desktop desktop,quiet-hours.yaml")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runPolicyDiff(c.Context(), p, o, args[0], args[1]) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	_ = c.Flags().Set("since", "7d")
	c.Flag("since").DefValue = "7d"
	c.Flag("since").Changed = false
	return c
}

// policyDiff is how two policies compare, as a pipe gets it.
type policyDiff struct {
	Old   string     `json:"old"`
	New   string     `json:"new"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
	// Calls is how many were recorded: Same + Different + all of NotCompared.
	Calls     int `json:"calls"`
	Same      int `json:"same"`
	Different int `json:"different"`
	Stricter  int `json:"stricter"`
	Milder    int `json:"milder"`
	// OtherFields is how many reads would show other fields.
	OtherFields int            `json:"otherFields,omitempty"`
	NotCompared map[string]int `json:"notCompared,omitempty"`
	// RolesUnknown is how many of those compared were made with a token that is gone.
	RolesUnknown int `json:"rolesUnknown,omitempty"`
	// Unrecorded is how many events came too fast to be written, and are in none of the numbers above.
	Unrecorded int64        `json:"unrecorded,omitempty"`
	Changes    []policyMove `json:"changes"`
}

// policyMove is one call that is decided otherwise.
type policyMove struct {
	Seq    int64          `json:"seq"`
	Time   time.Time      `json:"time"`
	Action string         `json:"action"`
	Caller string         `json:"caller"`
	Old    rules.Decision `json:"old"`
	New    rules.Decision `json:"new"`
	// Rule is what makes the difference: the rule that decides under the stricter of the two, with its policy, or the default.
	Rule   string `json:"rule"`
	OldWhy string `json:"oldWhy"`
	NewWhy string `json:"newWhy"`
	// Uncertain says that it holds unless a rule about numbers decides, and the numbers are not known.
	Uncertain bool `json:"uncertain,omitempty"`
}

func runPolicyDiff(ctx context.Context, p *program, o *policyDiffOptions, before, after string) error {
	d := &differ{}
	var err error
	if d.before, err = rules.Load(policyNames(before)...); err != nil {
		return err
	}
	if d.after, err = rules.Load(policyNames(after)...); err != nil {
		return err
	}
	since, until, err := o.times(time.Now())
	if err != nil {
		return err
	}
	d.out = policyDiff{Old: d.before.Name(), New: d.after.Name(), Since: since, NotCompared: map[string]int{}, Changes: []policyMove{}}
	if !until.IsZero() {
		d.out.Until = &until
	}
	err = o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Tokens(ctx)
		if err != nil {
			return err
		}
		d.tokens = map[string]ledger.Token{}
		for _, t := range all {
			d.tokens[t.ID] = t
		}
		d.seen = map[string]bool{}
		f := ledger.Filter{Since: since, Until: until, Limit: 1000}
		for {
			records, err := l.Records(ctx, f)
			if err != nil {
				return err
			}
			for i := range records {
				d.record(ctx, &records[i])
			}
			if len(records) < f.Limit {
				return nil
			}
			f.After = records[len(records)-1].Seq
		}
	})
	if err != nil {
		return err
	}
	if !p.outTerminal {
		return writeJSON(p.out, d.out)
	}
	d.out.show(p)
	return nil
}

// differ decides recorded calls under two policies.
type differ struct {
	before, after *rules.Policy
	tokens        map[string]ledger.Token
	seen          map[string]bool // grants and requests whose call was counted
	out           policyDiff
}

// Why a call is not compared.
const (
	notErased     = "what it asked for is erased"
	notKept       = "what it asked for was not kept"
	notSound      = "the record is not as the ledger wrote it"
	notFit        = "its arguments do not fit the action any more"
	notRung       = "it names nobody who can be rung, so no policy was asked"
	notRecipients = "it rings contacts, whose numbers are not kept"
)

// call reports whether a record is where a call begins in the audit. What a person was asked is not counted again when it
// runs or when they say no; nor is what the gate looks up by itself, which no policy decides about.
func (d *differ) call(r *ledger.Record) bool {
	if r.Prefetch {
		return false
	}
	switch r.Phase {
	case ledger.PhaseRequested, ledger.PhasePrepared, ledger.PhaseRead:
	case ledger.PhaseRejected:
		// Without a request it only says that a question was withdrawn.
		if r.Outcome == schemas.Declined || r.Request == "" {
			return false
		}
	default:
		return false
	}
	again := false
	for _, key := range []string{"grant " + r.ApprovalID, "request " + r.Request + " " + r.Action} {
		if strings.HasPrefix(key, "grant ") && r.ApprovalID == "" || strings.HasPrefix(key, "request  ") {
			continue
		}
		again = again || d.seen[key]
		d.seen[key] = true
	}
	return !again
}

func (d *differ) record(ctx context.Context, r *ledger.Record) {
	if r.Phase == ledger.PhaseDropped {
		d.out.Unrecorded += r.Count
	}
	if !d.call(r) {
		return
	}
	d.out.Calls++
	f, reason := d.facts(r)
	uncertain, alike := false, true
	if reason == "" {
		uncertain, alike, reason = d.compareRecipients(ctx, &f)
	}
	before, after := d.before.Explain(f), d.after.Explain(f)
	if uncertain && (undecided(before) || undecided(after) || !alike && before.Decision < rules.Deny && after.Decision < rules.Deny) {
		reason = notRecipients
	}
	if reason != "" {
		d.out.NotCompared[reason]++
		return
	}
	if _, there := d.tokens[r.Credential]; r.Credential != "" && !there {
		d.out.RolesUnknown++
	}
	if !slices.Equal(before.Hidden, after.Hidden) {
		d.out.OtherFields++
	}
	if before.Decision == after.Decision {
		d.out.Same++
		return
	}
	d.out.Different++
	m := policyMove{Seq: r.Seq, Time: r.Time, Action: r.Action, Caller: r.Principal, Old: before.Decision, New: after.Decision,
		OldWhy: before.Why, NewWhy: after.Why, Uncertain: uncertain}
	if after.Decision > before.Decision {
		d.out.Stricter++
		m.Rule = decider(after)
	} else {
		d.out.Milder++
		m.Rule = decider(before)
	}
	d.out.Changes = append(d.out.Changes, m)
}

// facts are what is known of a recorded call; reason says why too little is.
func (d *differ) facts(r *ledger.Record) (f rules.Facts, reason string) {
	switch {
	case r.Fault != "":
		return f, notSound
	case erased(r):
		return f, notErased
	case r.Private == nil || r.Private.Payload == nil:
		return f, notKept
	}
	a, fault := schemas.Find(r.Action)
	if fault != nil {
		return f, notFit
	}
	if f.Payload, fault = a.Check(argumentsOf(r.Private.Payload), schemas.Limits{Now: r.Time}); fault != nil {
		return f, notFit
	}
	f.Now, f.Caller = r.Time, d.caller(r)
	return f, ""
}

// argumentsOf takes the action's name out of a recorded body.
func argumentsOf(body []byte) []byte {
	out := []byte{'{'}
	schemas.EachJSON(body, func(k, v []byte) {
		if schemas.DecodeString(k) == "action" {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, k...), ':'), v...)
	})
	return append(out, '}')
}

// caller is who made a call, as rules saw them.
func (d *differ) caller(r *ledger.Record) rules.Caller {
	if t, ok := d.tokens[r.Credential]; ok && r.Credential != "" {
		return rules.Caller{ID: t.ID, Person: t.Person, Roles: t.Roles}
	}
	name, _, _ := strings.Cut(r.Principal, " (")
	if r.Credential != "" {
		return rules.Caller{ID: r.Credential, Person: name}
	}
	return rules.Caller{ID: name, Person: name} // at this machine, without roles
}

// compareRecipients finds out whom a call would ring, as far as that can be known without asking anybody. It is uncertain where rules
// ask for numbers that are not known; alike says that those of both policies ask the same.
func (d *differ) compareRecipients(ctx context.Context, f *rules.Facts) (uncertain, alike bool, reason string) {
	s, fault, unknown := resolveRecipients(ctx, f.Payload)
	f.Recipients = s
	switch {
	case fault != nil:
		return false, true, notRung
	case !unknown:
		return false, true, ""
	}
	before, after := d.before.RecipientConditions(f.Payload.Action), d.after.RecipientConditions(f.Payload.Action)
	return len(before)+len(after) > 0, slices.Equal(before, after), ""
}

func undecided(e rules.Explanation) bool {
	return slices.ContainsFunc(e.Steps, func(s rules.Step) bool { return s.State == rules.Failed })
}

// decider is the rule that decided, or the default.
func decider(e rules.Explanation) string {
	for _, s := range e.Steps {
		if s.State == rules.Matched && s.Does == e.Decision.String() || s.State == rules.Failed {
			return s.Policy + ": " + s.Rule
		}
	}
	return "default"
}

// mostMoves is how many changed calls a terminal shows, the newest.
const mostMoves = 100

func (d *policyDiff) show(p *program) {
	paint, w := painter(p), p.out
	shown := d.Changes[max(0, len(d.Changes)-mostMoves):]
	if len(shown) > 0 {
		t := newTable("time", "action", "caller", "decision", "rule")
		for _, m := range shown {
			mark := ""
			if m.Uncertain {
				mark = " *"
			}
			t.row(localTime(m.Time, time.Now()), m.Action, or(m.Caller, 60), m.Old.String()+" → "+m.New.String(), or(m.Rule, 100)+mark)
		}
		t.write(w, p.env("NO_COLOR") == "")
		if more := len(d.Changes) - len(shown); more > 0 {
			fmt.Fprintf(w, "and %d earlier ones; a pipe gets all\n", more)
		}
		if slices.ContainsFunc(shown, func(m policyMove) bool { return m.Uncertain }) {
			fmt.Fprintln(w, "* it rings contacts, whose numbers are not kept: so it is, unless a rule about numbers decides")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s since %s: %s decided otherwise under %s than under %s", count(int64(d.Calls), "recorded call"), localTime(d.Since, time.Now()),
		paint(bold, fmt.Sprint(d.Different)), schemas.Escape(d.New, 200), schemas.Escape(d.Old, 200))
	if d.Different > 0 {
		fmt.Fprintf(w, " (%d stricter, %d milder)", d.Stricter, d.Milder)
	}
	fmt.Fprintf(w, ", %d the same\n", d.Same)
	if d.OtherFields > 0 {
		fmt.Fprintf(w, "%s would show other fields\n", count(int64(d.OtherFields), "call"))
	}
	for _, reason := range sortedNames(d.NotCompared) {
		fmt.Fprintf(w, "%s %s: %s\n", paint(yellow, "not compared:"), count(int64(d.NotCompared[reason]), "call"), reason)
	}
	if d.RolesUnknown > 0 {
		fmt.Fprintf(w, "%s %s made with a token that is gone: compared as if the caller had no roles\n", paint(yellow, "note:"), count(int64(d.RolesUnknown), "call"))
	}
	if d.Unrecorded > 0 {
		fmt.Fprintf(w, "%s %s came too fast to be written, and cannot be compared\n", paint(yellow, "note:"), count(d.Unrecorded, "event"))
	}
}

func sortedNames(m map[string]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
