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
		Short: "List records, newest last",
		Long: `List records, newest last. A call that was approved leaves four of them:
requested, answered, prepared (about to be sent) and settled.

Give the number or the id of a record to "audit show" for the whole call. A pipe
gets one JSON object per record: its stored fields without the sealed part, and
the persons it concerns by name.`,
		Example: "  sippet-mcp audit list --since 2h --caller ada",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runList(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	f := c.Flags()
	f.StringVar(&o.action, "action", "", "only this action, such as start_outbound_call")
	f.StringVar(&o.caller, "caller", "", "only calls by the caller with this name, such as ada")
	f.StringVar(&o.outcome, "outcome", "", "only this outcome, such as denied or outcome_unknown")
	f.StringVar(&o.phase, "phase", "", "only this phase, one of\n"+join(ledger.Phases[:7])+",\n"+join(ledger.Phases[7:14])+",\n"+join(ledger.Phases[14:]))
	f.IntVar(&o.limit, "limit", 50, "at most this many, the newest; 0 lists all")
	f.BoolVarP(&o.follow, "follow", "f", false, "keep listing new records until stopped with Ctrl-C")
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
		return f, errors.New("--follow lists new records, so it cannot be used with --until")
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
		write := recordWriter(p)
		if err := write(all); err != nil {
			return err
		}
		if !o.follow {
			if len(all) == 0 && p.outTerminal {
				fmt.Fprintln(p.out, "no records found")
			}
			return nil
		}
		f.After, f.Limit, f.Last = newest, 0, false
		if len(all) > 0 {
			f.After = max(newest, all[len(all)-1].Seq)
		}
		return follow(ctx, l, f, write)
	})
}

// followInterval is how often the ledger is polled for new records.
const followInterval = 500 * time.Millisecond

// follow writes the records after f.After as they are recorded. It returns nil when the context
// ends.
func follow(ctx context.Context, l *ledger.SQLite, f ledger.Filter, write func([]ledger.Record) error) error {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// Records that the filter leaves out need not be read again.
		newest, err := newestAfter(ctx, l, f.After)
		if err == nil && newest > f.After {
			var more []ledger.Record
			if more, err = l.Records(ctx, f); err == nil {
				f.After = newest
				if len(more) > 0 {
					f.After = max(newest, more[len(more)-1].Seq)
					err = write(more)
				}
			}
		}
		var store *ledger.StoreError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &store) && store.Kind == ledger.Locked: // passes by itself
		case err != nil:
			return err
		}
	}
}

// newestAfter returns the number of the last record; after if there is none behind it.
func newestAfter(ctx context.Context, l *ledger.SQLite, after int64) (int64, error) {
	last, err := l.Records(ctx, ledger.Filter{After: after, Limit: 1, Last: true})
	if err != nil || len(last) == 0 {
		return after, err
	}
	return last[0].Seq, nil
}

// recordWriter returns the function that writes records: as JSON lines, or as rows of one table.
func recordWriter(p *program) func([]ledger.Record) error {
	if !p.outTerminal {
		return func(all []ledger.Record) error {
			for i := range all {
				if err := writeJSON(p.out, all[i].View()); err != nil {
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
	{name: "summary", rest: true},
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
