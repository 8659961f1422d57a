package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

type declineOptions struct {
	answererOptions
	note string
}

func newApprovalsDecline(p *program) *cobra.Command {
	o := &declineOptions{}
	c := &cobra.Command{
		Use:     "decline ID",
		Short:   "Decline an approval request",
		Example: "  sippet-mcp approvals decline 3f9a --note 'she asked us not to ring'",
		Args:    oneArg(approvalArg),
		RunE:    func(c *cobra.Command, args []string) error { return runApprovalsDecline(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.note, "note", "", "message to the requester, such as the reason")
	return c
}

func runApprovalsDecline(ctx context.Context, p *program, o *declineOptions, id string) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		r, err := o.find(ctx, l, person, id)
		if err != nil {
			return err
		}
		if err := o.answer(ctx, l, r.ID, person, approval.Reply{Note: o.note}); err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				ID    string               `json:"id"`
				State ledger.ApprovalState `json:"state"`
			}{r.ID, ledger.Declined})
		}
		fmt.Fprintln(p.out, "Declined; nothing runs.")
		return nil
	})
}
