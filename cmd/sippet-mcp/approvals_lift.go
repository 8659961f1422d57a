package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newApprovalsLift(p *program) *cobra.Command {
	o := &answererOptions{}
	c := &cobra.Command{
		Use:   "lift ID",
		Short: "Let a caller ask again for what was declined",
		Long: `End the pause of new approval requests, for the caller and the action of a request that
was declined. After three declines of one action within ten minutes a caller cannot
ask for that action for five minutes. "sippet-mcp approvals list" shows the pauses.`,
		Example: "  sippet-mcp approvals lift 3f9a",
		Args:    oneArg(approvalArg),
		RunE:    func(c *cobra.Command, args []string) error { return runApprovalsLift(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runApprovalsLift(ctx context.Context, p *program, o *answererOptions, id string) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		person, err := o.person(ctx, p, l)
		if err != nil {
			return err
		}
		r, err := o.find(ctx, l, person, id)
		if err != nil {
			return err
		}
		if fault := answersOn(l).LiftPause(ctx, r.ID, person); fault != nil {
			return errors.New(fault.Message)
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				Requester ledger.Actor `json:"requester"`
				Action    string       `json:"action"`
				Lifted    bool         `json:"lifted"`
			}{r.Requester, r.Action, true})
		}
		fmt.Fprintf(p.out, "%s may ask for %s again.\n", schemas.Escape(r.Requester.String(), 80), r.Action)
		return nil
	})
}
