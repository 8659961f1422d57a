package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newPeople(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:     "people",
		Short:   "Revoke a person's access",
		Example: "  sippet-mcp people remove ada",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPeopleRemove(p))
	return c
}

func newPeopleRemove(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Revoke a person's tokens, requests and unused approvals",
		Long: `Revoke all tokens of a person, their pending approval requests, and the approvals
that they gave and that are not used yet. Servers with this state directory reject
their tokens within a second. The audit log keeps what they did.`,
		Example: "  sippet-mcp people remove ada",
		Args:    oneArg("the person's name, as in `sippet-mcp tokens list`"),
		RunE:    func(c *cobra.Command, args []string) error { return runPeopleRemove(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runPeopleRemove(ctx context.Context, p *program, o *ledgerOptions, name string) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		tokens, approvals, err := l.RemovePerson(ctx, name, operator())
		if errors.Is(err, ledger.ErrNoPerson) {
			return fmt.Errorf("nobody called %q ever had a token here; see `sippet-mcp tokens list --all%s`", schemas.Escape(name, 80), o.same())
		}
		if err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				Person    string `json:"person"`
				Tokens    int    `json:"tokens"`
				Approvals int    `json:"approvals"`
			}{name, tokens, approvals})
		}
		fmt.Fprintf(p.out, "%s is removed: %s and %s revoked.\n", schemas.Escape(name, 80), count(tokens, "token"), count(approvals, "approval request"))
		return nil
	})
}
