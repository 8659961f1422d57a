package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type resumeOptions struct {
	ledgerOptions
	scope scopeOptions
}

func newResume(p *program) *cobra.Command {
	o := &resumeOptions{}
	c := &cobra.Command{
		Use:   "resume",
		Short: "End the emergency stops",
		Long: `End the emergency stops of every sippet-mcp with the same state directory: all of
them, or with --scope one. Approval requests that a stop revoked stay revoked: the
AI must ask again.`,
		Example: "  sippet-mcp resume",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runResume(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.scope.flags(c, "", "end only the stop of that: everything, ringing or assistant (default: all stops)")
	return c
}

// resumed is what resume did, as a pipe gets it.
type resumed struct {
	Resumed bool         `json:"resumed"`
	By      ledger.Actor `json:"by"`
	// Stops are the stops that ended, Remaining those that are still in force.
	Stops     []shownStop `json:"stops"`
	Remaining []shownStop `json:"remaining"`
}

func runResume(ctx context.Context, p *program, o *resumeOptions) error {
	scope, err := o.scope.scope()
	if err != nil {
		return err
	}
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		ended, err := l.Resume(ctx, scope, operator())
		if err != nil {
			return err
		}
		remaining, err := l.CurrentStops(ctx)
		if err != nil {
			return err
		}
		if !p.outTerminal {
			r := resumed{Resumed: len(ended) > 0, By: operator(), Stops: []shownStop{}, Remaining: []shownStop{}}
			for _, s := range ended {
				r.Stops = append(r.Stops, showStop(s))
			}
			for _, s := range remaining {
				r.Remaining = append(r.Remaining, showStop(s))
			}
			return writeJSON(p.out, r)
		}
		switch {
		case len(ended) > 0:
		case scope == (ledger.StopScope{}):
			fmt.Fprintln(p.out, "There was no emergency stop.")
		default:
			fmt.Fprintf(p.out, "There was no emergency stop of %s.\n", scope)
		}
		for _, s := range ended {
			fmt.Fprintf(p.out, "Resumed %s. The stop was made by %s %s%s.\n", s.StopScope, schemas.Escape(s.By.String(), 80), sinceText(s.At), noteSuffix(s.Note))
		}
		for _, s := range remaining {
			fmt.Fprintf(p.out, "Still stopped: %s. Resume with: sippet-mcp resume%s%s\n", s.StopScope, o.same(), o.scope.args(s.StopScope))
		}
		return nil
	})
}
