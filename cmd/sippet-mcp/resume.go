package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newResume(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "resume",
		Short: "End the emergency stop",
		Long: `End the emergency stop of every sippet-mcp with the same state directory. Approval
requests that the stop revoked stay revoked: the AI must ask again.`,
		Example: "  sippet-mcp resume",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runResume(c.Context(), p, o) },
	}
	o.flags(c)
	return c
}

// resumed is what resume did, as a pipe gets it.
type resumed struct {
	Resumed bool         `json:"resumed"`
	By      ledger.Actor `json:"by"`
	// StoppedBy, Since and Note describe the stop that ended; empty if there was none.
	StoppedBy ledger.Actor `json:"stoppedBy,omitzero"`
	Since     *time.Time   `json:"since,omitempty"`
	Note      string       `json:"note,omitempty"`
}

func runResume(ctx context.Context, p *program, o *ledgerOptions) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		stop, err := l.CurrentStop(ctx)
		if err != nil {
			return err
		}
		ended, err := l.Resume(ctx, operator())
		if err != nil {
			return err
		}
		if !p.outTerminal {
			r := resumed{Resumed: ended, By: operator()}
			if ended && stop != nil {
				r.StoppedBy, r.Since, r.Note = stop.By, &stop.At, stop.Note
			}
			return writeJSON(p.out, r)
		}
		switch {
		case !ended:
			fmt.Fprintln(p.out, "There was no emergency stop.")
		case stop == nil:
			fmt.Fprintln(p.out, "Resumed.")
		default:
			fmt.Fprintf(p.out, "Resumed. The stop was made by %s %s%s.\n", schemas.Escape(stop.By.String(), 80), sinceText(stop.At), noteSuffix(stop.Note))
		}
		return nil
	})
}
