package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// knownRoles are the roles with a meaning in this program; policies may use others.
var knownRoles = []string{approval.RoleAgent, "operator", approval.RoleApprover, approval.RoleAdmin}

const tokenArg = "the id of a token; see `sippet-mcp tokens list`"

func newTokens(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "tokens",
		Short: "Manage access tokens for HTTP clients",
		Long: `Manage access tokens for HTTP clients. A token belongs to a person, and has roles
that policies can refer to. The audit log names the person for each call. As soon as a
state directory has a token, "sippet-mcp http" rejects calls without one.

The secret of a token is shown once, when it is created. Only its hash is stored.`,
		Example: "  sippet-mcp tokens create ada --roles agent,operator --interactive",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTokensCreate(p), newTokensList(p), newTokensRevoke(p))
	return c
}

// shownToken is a token as a pipe gets it, without its secret.
type shownToken struct {
	Person      string       `json:"person"`
	Roles       []string     `json:"roles"`
	Interactive bool         `json:"interactive,omitempty"`
	Policy      string       `json:"policy,omitempty"`
	KeyFile     string       `json:"keyFile,omitempty"`
	Created     time.Time    `json:"created"`
	Expires     *time.Time   `json:"expires,omitempty"`
	Revoked     *time.Time   `json:"revoked,omitempty"`
	By          ledger.Actor `json:"by"`
}

func showToken(t ledger.Token) shownToken {
	s := shownToken{Person: t.Person, Roles: t.Roles, Interactive: t.Interactive, Policy: t.Policy, KeyFile: t.KeyFile, Created: t.Created, By: t.By}
	if !t.Expires.IsZero() {
		s.Expires = &t.Expires
	}
	if !t.Revoked.IsZero() {
		s.Revoked = &t.Revoked
	}
	return s
}
