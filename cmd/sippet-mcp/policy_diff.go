package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
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
		Short: "Compare two policies over recorded calls",
		Long: `Decide the calls in the audit log under two policies, and list those that are
decided differently. OLD and NEW are values for --policy: built-in names or files,
separated by commas. The audit log is only read.

Each call counts once, with the time of the call and the roles of its token. The
audit log does not hold everything:
  - The content of a call is missing if a person was erased or nothing was recorded.
  - Contacts' numbers are missing. A call to contacts is compared, and marked, if both
    policies have the same rules about numbers, or one denies it in any case.
  - What contacts were is missing. A call that depends on it is compared only if
    another rule denies it in any case; --shadow decides new calls with it.
  - Roles are missing if the token was removed. Such a caller counts as without roles.
Calls that cannot be compared are counted by reason. Only decisions and hidden
fields are compared, not what is left of budgets.`,
		Example: `  sippet-mcp policy diff desktop desktop,quiet-hours.yaml
  sippet-mcp policy diff team.yaml team-new.yaml --since 30d | jq '.different'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("two policies are needed, the old and the new, such as: desktop desktop,quiet-hours.yaml")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runPolicyDiff(c.Context(), p, o, args[0], args[1]) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	setDefault(c, "since", "7d")
	return c
}

// policyDiff is the output for a pipe.
type policyDiff struct {
	Old   string     `json:"old"`
	New   string     `json:"new"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
	policy.Comparison
}

func runPolicyDiff(ctx context.Context, p *program, o *policyDiffOptions, oldNames, newNames string) error {
	before, err := rules.Load(policyNames(oldNames)...)
	if err != nil {
		return err
	}
	after, err := rules.Load(policyNames(newNames)...)
	if err != nil {
		return err
	}
	since, until, err := o.times(time.Now())
	if err != nil {
		return err
	}
	out := policyDiff{Old: before.Name(), New: after.Name(), Since: since}
	if !until.IsZero() {
		out.Until = &until
	}
	err = o.reading(ctx, p, func(l *ledger.SQLite) error {
		tokens, err := l.Tokens(ctx)
		if err != nil {
			return err
		}
		out.Comparison, err = policy.Compare(ctx, before, after, tokens, pages(ctx, l, ledger.Filter{Since: since, Until: until, Limit: 1000}))
		return err
	})
	if err != nil {
		return err
	}
	if !p.outTerminal {
		return writeJSON(p.out, out)
	}
	out.show(p)
	return nil
}

// pages reads the records that match the filter, f.Limit at a time. It stops after an error.
func pages(ctx context.Context, l *ledger.SQLite, f ledger.Filter) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for {
			records, err := l.Records(ctx, f)
			if err != nil {
				yield(ledger.Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			if len(records) < f.Limit {
				return
			}
			f.After = records[len(records)-1].Seq
		}
	}
}

// maxShownChanges is how many changed calls a terminal shows: the newest.
const maxShownChanges = 100

func (d *policyDiff) show(p *program) {
	paint, w := painter(p), p.out
	shown := d.Changes[max(0, len(d.Changes)-maxShownChanges):]
	if len(shown) > 0 {
		t := newTable(p, columns("time", "action", "caller", "decision", "rule")...)
		for _, m := range shown {
			mark := ""
			if m.Uncertain {
				mark = " *"
			}
			t.row(shortTime(m.Time, time.Now()), m.Action, orDash(m.Caller, 60), m.Old.String()+" → "+m.New.String(), orDash(m.Rule, 100)+mark)
		}
		t.flush()
		if more := len(d.Changes) - len(shown); more > 0 {
			fmt.Fprintf(w, "and %d earlier calls; pipe the output to see all\n", more)
		}
		if slices.ContainsFunc(shown, func(m policy.DecisionChange) bool { return m.Uncertain }) {
			fmt.Fprintln(w, "* the recipients' numbers are not recorded: a rule about numbers may decide otherwise")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s since %s: %s decided differently by %s than by %s", count(d.Calls, "recorded call"), shortTime(d.Since, time.Now()),
		paint(bold, fmt.Sprint(d.Different)), schemas.Escape(d.New, 200), schemas.Escape(d.Old, 200))
	if d.Different > 0 {
		fmt.Fprintf(w, " (%d stricter, %d milder)", d.Stricter, d.Milder)
	}
	fmt.Fprintf(w, ", %d the same\n", d.Same)
	if d.OtherFields > 0 {
		fmt.Fprintf(w, "%s would return other fields\n", count(d.OtherFields, "call"))
	}
	for _, reason := range sortedNames(d.NotCompared) {
		fmt.Fprintf(w, "%s %s: %s\n", paint(yellow, "not compared:"), count(d.NotCompared[reason], "call"), reason)
	}
	if d.RolesUnknown > 0 {
		fmt.Fprintf(w, "%s %s made with a removed token: compared as if the caller had no roles\n", paint(yellow, "note:"), count(d.RolesUnknown, "call"))
	}
	if d.Unrecorded > 0 {
		fmt.Fprintf(w, "%s %s too fast to be recorded, so not compared\n", paint(yellow, "note:"), count(d.Unrecorded, "event"))
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
