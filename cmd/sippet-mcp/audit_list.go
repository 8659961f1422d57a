package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type listOptions struct {
	ledgerOptions
	period
	action, caller, outcome, phase string
	limit                          int
	follow                         bool
}

func newAuditList(p *program) *cobra.Command {
	o := &listOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List what happened, the newest last",
		Long: `List the records, the newest last. A call that a person agreed to leaves four:
asked, answered, prepared (it is about to be sent), settled. The phases are
  ` + join(ledger.Phases[:7]) + `,
  ` + join(ledger.Phases[7:14]) + `,
  ` + join(ledger.Phases[14:]) + `

The number in front, or the id, is for "audit show". In a pipe each record is
one JSON object, as in the chain, with the people it concerns in the clear and
without what is sealed.`,
		Example: `  sippet-mcp audit list --since 2h --phase settled
  sippet-mcp audit list --outcome outcome_unknown --limit 0
  sippet-mcp audit list -f | jq -r 'select(.phase == "refused") | .why'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runList(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	f := c.Flags()
	f.StringVar(&o.action, "action", "", "only this action, such as start_outbound_call")
	f.StringVar(&o.caller, "caller", "", "only this caller, written as in the list")
	f.StringVar(&o.outcome, "outcome", "", "only this outcome, such as denied or outcome_unknown")
	f.StringVar(&o.phase, "phase", "", "only this phase")
	f.IntVar(&o.limit, "limit", 50, "the newest so many; 0: all")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what is recorded from now on, until stopped with Ctrl-C")
	return c
}

func join[T ~string](all []T) string {
	var s []string
	for _, e := range all {
		s = append(s, string(e))
	}
	return strings.Join(s, ", ")
}

func (o *listOptions) filter(now time.Time) (f ledger.Filter, err error) {
	f = ledger.Filter{Phase: ledger.Phase(o.phase), Action: o.action, Caller: o.caller, Outcome: schemas.Outcome(o.outcome), Limit: o.limit, Last: true}
	switch {
	case o.limit < 0:
		return f, errors.New("--limit must not be negative; 0 lists all")
	case o.phase != "" && !slices.Contains(ledger.Phases, f.Phase):
		return f, fmt.Errorf("unknown phase %q, valid: %s", o.phase, join(ledger.Phases))
	case o.outcome != "" && !slices.Contains(schemas.Outcomes, f.Outcome):
		return f, fmt.Errorf("unknown outcome %q, valid: %s", o.outcome, join(schemas.Outcomes))
	case o.follow && o.until != "":
		return f, errors.New("--follow goes on from now, so it cannot be used with --until")
	}
	if o.action != "" {
		if _, fault := schemas.Find(o.action); fault != nil {
			return f, fmt.Errorf("--action: %s", fault.Message)
		}
	}
	f.Since, f.Until, err = o.times(now)
	return f, err
}

func runList(ctx context.Context, p *program, o *listOptions) error {
	f, err := o.filter(time.Now())
	if err != nil {
		return err
	}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		newest, err := newestAfter(ctx, l, 0)
		if err != nil {
			return err
		}
		all, err := l.Records(ctx, f)
		if err != nil {
			return err
		}
		show := shower(p)
		if err := show(all); err != nil {
			return err
		}
		if !o.follow {
			if len(all) == 0 && p.outTerminal {
				fmt.Fprintln(p.out, "nothing found")
			}
			return nil
		}
		f.After, f.Limit, f.Last = newest, 0, false
		if len(all) > 0 {
			f.After = max(newest, all[len(all)-1].Seq)
		}
		return follow(ctx, l, f, show)
	})
}

// followEvery is how often the ledger is asked for what is new.
const followEvery = 500 * time.Millisecond

// follow shows what comes after f.After until the context ends, which is no error.
func follow(ctx context.Context, l *ledger.SQLite, f ledger.Filter, show func([]ledger.Record) error) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// What was there before the look need not be read again, found or not.
		newest, err := newestAfter(ctx, l, f.After)
		if err == nil && newest > f.After {
			var more []ledger.Record
			if more, err = l.Records(ctx, f); err == nil {
				f.After = newest
				if len(more) > 0 {
					f.After = max(newest, more[len(more)-1].Seq)
					err = show(more)
				}
			}
		}
		var t *ledger.StoreError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &t) && t.Kind == ledger.Locked: // it passes
		case err != nil:
			return err
		}
	}
}

// newestAfter is the number of the last record, or after where none follows that one.
func newestAfter(ctx context.Context, l *ledger.SQLite, after int64) (int64, error) {
	last, err := l.Records(ctx, ledger.Filter{After: after, Limit: 1, Last: true})
	if err != nil || len(last) == 0 {
		return after, err
	}
	return last[0].Seq, nil
}

// shower gives the function that writes records: lines of JSON, or rows of one table.
func shower(p *program) func([]ledger.Record) error {
	if !p.outTerminal {
		return func(all []ledger.Record) error {
			for _, r := range all {
				if err := writeJSON(p.out, r.View()); err != nil {
					return err
				}
			}
			return nil
		}
	}
	t, now := newTable(p, recordColumns...), time.Now()
	return func(all []ledger.Record) error {
		for i := range all {
			t.row(recordCells(&all[i], now)...)
		}
		t.flush()
		return nil
	}
}

var recordColumns = []column{
	{name: "nr", least: 3, most: 12},
	{name: "time", least: 8, most: 16},
	{name: "phase", least: 9, most: 9},
	{name: "action", least: 12, most: 36},
	{name: "caller", least: 6, most: 28, drop: 3},
	{name: "outcome", least: 7, most: 20, colour: outcomeColour},
	{name: "decision", least: 8, most: 8, drop: 2},
	{name: "id", least: 32, most: 32, drop: 1},
	{name: "what", rest: true},
}

func recordCells(r *ledger.Record, now time.Time) []string {
	return []string{strconv.FormatInt(r.Seq, 10), shortTime(r.Time, now), orDash(string(r.Phase), 9), orDash(r.Action, 60), orDash(r.Caller.String(), 60),
		orDash(string(r.Outcome), 20), orDash(r.Decision, 20), orDash(r.CallID(), 40), r.Summary()}
}

// outcomeColour returns the colour of an outcome in a table; none for a dash.
func outcomeColour(cell string) string {
	switch outcome := schemas.Outcome(cell); {
	case !slices.Contains(schemas.Outcomes, outcome):
		return ""
	case outcome.Ran():
		return green
	case outcome == schemas.OutcomeUnknown:
		return yellow
	}
	return red
}
