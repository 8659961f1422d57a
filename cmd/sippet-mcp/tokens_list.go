package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

type tokensListOptions struct {
	ledgerOptions
	all bool
}

func newTokensList(p *program) *cobra.Command {
	o := &tokensListOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets",
		Long: `List the valid tokens, oldest first; with --all also the expired and revoked ones.
Secrets are not listed, because they are not stored.`,
		Example: `  sippet-mcp tokens list --all | jq -r 'select(.person == "ada") | .id'`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runTokensList(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.all, "all", false, "also list expired and revoked tokens")
	return c
}

// listedToken is a token of the list as a pipe gets it.
type listedToken struct {
	ID    string     `json:"id"`
	State tokenState `json:"state"`
	shownToken
}

type tokenState string

const (
	tokenLive    tokenState = "live"
	tokenExpired tokenState = "expired"
	tokenRevoked tokenState = "revoked"
)

// stateOfToken returns a token's state and the end of its validity; the zero time if it has none.
func stateOfToken(t ledger.Token, now time.Time) (tokenState, time.Time) {
	switch {
	case !t.Revoked.IsZero():
		return tokenRevoked, t.Revoked
	case !t.Live(now):
		return tokenExpired, t.Expires
	}
	return tokenLive, t.Expires
}

func runTokensList(ctx context.Context, p *program, o *tokensListOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Tokens(ctx)
		if err != nil {
			return err
		}
		now, hidden := time.Now(), 0
		table := newTable(p, columns("id", "person", "roles", "state", "until", "used by", "policy", "key file")...)
		for _, t := range all {
			state, end := stateOfToken(t, now)
			if state != tokenLive && !o.all {
				hidden++
				continue
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, listedToken{t.ID, state, showToken(t)}); err != nil {
					return err
				}
				continue
			}
			user, until := "a program", "-"
			if t.Interactive {
				user = "a person"
			}
			if !end.IsZero() {
				until = end.Local().Format("2006-01-02 15:04")
			}
			table.row(t.ID, orDash(t.Person, 64), orDash(strings.Join(t.Roles, ","), 80), string(state), until, user,
				orDash(t.Policy, 80), orDash(t.KeyFile, 80))
		}
		if !p.outTerminal {
			return nil
		}
		if len(table.rows) == 0 {
			fmt.Fprintln(p.out, "no token is in use; create one with `sippet-mcp tokens create`")
		}
		table.flush()
		if hidden > 0 {
			fmt.Fprintf(p.out, "%s expired or revoked; list them with --all\n", count(hidden, "token"))
		}
		return nil
	})
}
