package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

type approvalsListOptions struct {
	answererOptions
	all bool
}

func newApprovalsList(p *program) *cobra.Command {
	o := &approvalsListOptions{}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List pending approval requests, oldest first",
		Example: "  sippet-mcp approvals list --all | jq -r 'select(.quick) | .id'",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runApprovalsList(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.all, "all", false, "also list the last requests that are not pending any more")
	return c
}

// endedApprovals is how many requests that are not pending any more are read.
const endedApprovals = 50

func runApprovalsList(ctx context.Context, p *program, o *approvalsListOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		all, err := l.Approvals(ctx, ledger.ApprovalFilter{Open: true})
		if err == nil && o.all {
			var ended []ledger.ApprovalRequest
			ended, err = l.Approvals(ctx, ledger.ApprovalFilter{Ended: true, Limit: endedApprovals})
			all = append(ended, all...)
		}
		if err != nil {
			return err
		}
		table := newTable(p, columns("id", "what", "requester", "needs", "state", "until")...)
		for i := range all {
			if !person.MaySee(&all[i], time.Now()) {
				continue
			}
			a, err := readApproval(ctx, l, all[i].ID)
			if err != nil {
				return err
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, a); err != nil {
					return err
				}
				continue
			}
			what := a.Action
			if a.Card != nil {
				what = a.Card.Title
				if a.Erased > 0 {
					what = ledger.ErasedText(a.Erased) + ": " + what
				}
			}
			table.row(a.ID[:8], orDash(what, 70), orDash(a.Requester.String(), 40), a.Needs, a.Status, a.Expires.Local().Format("2 Jan 15:04"))
		}
		if p.outTerminal && len(table.rows) == 0 {
			fmt.Fprintln(p.out, "no request is pending")
		}
		table.flush()
		return nil
	})
}
