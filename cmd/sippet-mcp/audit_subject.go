package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newAuditSubject(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "subject CONTACT",
		Short: "List what was read and changed about one person",
		Long: `List what was read and changed about one person, oldest first. CONTACT is a
contact's id, a phone number with its country code, or an email address.

These are three separate subjects. A call to a number is listed under the
number, unless its contact was known. An erased person has no records.`,
		Example: "  sippet-mcp audit subject +447700900900",
		Args:    oneArg("a contact's id, a phone number such as +447700900900, or an email address"),
		RunE:    func(c *cobra.Command, args []string) error { return runSubject(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runSubject(ctx context.Context, p *program, o *ledgerOptions, contact string) error {
	subject, err := schemas.ParseSubject(contact)
	if err != nil {
		return err
	}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Records(ctx, ledger.Filter{Subject: subject})
		if err != nil {
			return err
		}
		if len(all) == 0 && p.outTerminal {
			fmt.Fprintf(p.out, "nothing is recorded about %s, or it was erased\n", schemas.Escape(subject, 100))
		}
		return recordWriter(p)(all)
	})
}
