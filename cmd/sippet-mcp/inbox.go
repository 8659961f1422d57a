package main

import "github.com/spf13/cobra"

func newInbox(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "inbox",
		Short: "Log in to the inbox, the page for approval requests",
		Long: `The inbox is a page where people approve or decline calls. A card shows what will
happen, who is reached, what is replaced, who asks and why. "sippet-mcp http" serves
the page at /inbox. With "sippet-mcp stdio" it opens when a request is made, on a port
of this machine that a state directory keeps.

The page needs a login: with the token of an approver or an admin ("sippet-mcp tokens
create"), or with a link of "sippet-mcp inbox login".

With SIPPET_NOTIFY_URL and SIPPET_NOTIFY_SECRET in the environment, servers also send
a signed POST to that address when a request is made and when it ends. It names
nobody.`,
		Example: "  sippet-mcp inbox login",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newInboxLogin(p), newInboxServe(p))
	return c
}
