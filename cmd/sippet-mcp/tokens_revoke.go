package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func newTokensRevoke(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a token on every server within a second",
		Long: `Revoke a token. Within a second every server with this state directory rejects it and
ends its listening streams. Its pending approval requests and unused approvals are
revoked too. Calls in progress are not cut off. It cannot be undone: create another
token instead.`,
		Example: "  sippet-mcp tokens revoke 3f9a0c5d1e77",
		Args:    oneArg(tokenArg),
		RunE:    func(c *cobra.Command, args []string) error { return runTokensRevoke(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runTokensRevoke(ctx context.Context, p *program, o *ledgerOptions, arg string) error {
	// In a hurry people paste the whole secret. It is accepted, and never repeated.
	id := ledger.TokenID(strings.TrimSpace(arg))
	if id == "" {
		return errors.New("that is not " + tokenArg)
	}
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		err := l.RevokeToken(ctx, id, operator())
		already := errors.Is(err, ledger.ErrTokenRevoked)
		switch {
		case errors.Is(err, ledger.ErrTokenUnknown):
			return fmt.Errorf("there is no token %s in this state directory; see `sippet-mcp tokens list --all%s`", id, o.same())
		case err != nil && !already:
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				ID      string `json:"id"`
				Revoked bool   `json:"revoked"`
				Already bool   `json:"already,omitempty"`
			}{id, true, already})
		}
		if already {
			fmt.Fprintf(p.out, "Token %s was revoked earlier.\n", id)
			return nil
		}
		fmt.Fprintf(p.out, "Token %s is revoked: within a second every server rejects it.\n", id)
		return nil
	})
}
