package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func newApprovalsShow(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show the card of an approval request",
		Example: "  sippet-mcp approvals show 3f9a",
		Args:    oneArg(approvalArg),
		RunE:    func(c *cobra.Command, args []string) error { return runApprovalsShow(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runApprovalsShow(ctx context.Context, p *program, o *answererOptions, id string) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		r, err := o.find(ctx, l, person, id)
		if err != nil {
			return err
		}
		a, err := readApproval(ctx, l, r.ID)
		if err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, a)
		}
		a.show(p)
		return nil
	})
}
