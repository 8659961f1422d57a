package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type organisationsAttachOptions struct {
	ledgerOptions
	upstreamOptions
}

func newOrganisationsAttach(p *program) *cobra.Command {
	o := &organisationsAttachOptions{}
	c := &cobra.Command{
		Use:   "attach ORGANISATION|new",
		Short: "Attach a new secret key to its organisation",
		Long: `Attach a secret key to an organisation of this state directory. Do so when the key
replaces an earlier one of the same organisation; nothing else can tell that it does.
The key is read from SIPPET_SECRET_KEY or the file of --key-file. It is not stored.

Attach the key before a program uses it. If one did, stop it first: its pending
requests and unused approvals are revoked, and its calls must all have a known
outcome. ORGANISATION is as in "sippet-mcp organisations list". With "new" the key gets
an organisation of its own: it replaces none, or was attached by mistake.`,
		Example: "  sippet-mcp organisations attach 'api.sippet.ai 3f0a7c21d9e4' --key-file new.key",
		Args:    oneArg("the organisation; see `sippet-mcp organisations list`"),
		RunE:    func(c *cobra.Command, args []string) error { return runOrganisationsAttach(c.Context(), p, o, args[0]) },
	}
	stateDirFlag(c, &o.stateDir)
	o.upstreamOptions.flags(c)
	return c
}

func runOrganisationsAttach(ctx context.Context, p *program, o *organisationsAttachOptions, organisation string) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	client, err := o.client(p, log)
	if err != nil {
		return err
	}
	key := client.KeyName()
	client.Close()
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		if organisation == "new" {
			organisation = ""
		}
		revoked, err := l.AttachKey(ctx, key, organisation, operator())
		var unresolved *ledger.UnresolvedError
		switch {
		case errors.Is(err, ledger.ErrNoOrganisation):
			return fmt.Errorf("there is no organisation %q here; see `sippet-mcp organisations list%s`", schemas.Escape(organisation, 80), o.same())
		case errors.Is(err, ledger.ErrOtherHost):
			return fmt.Errorf("the key %s is for another host than the organisation %s; see --base-url", key, schemas.Escape(organisation, 80))
		case errors.As(err, &unresolved):
			return fmt.Errorf("%s that ran under this key have no known outcome; resolve them first, see `sippet-mcp audit intents%s`",
				count(unresolved.Intents, "call"), o.same())
		case err != nil:
			return err
		}
		if organisation, _, err = l.OpenOrganisation(ctx, key); err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				Key          string `json:"key"`
				Organisation string `json:"organisation"`
				Revoked      int    `json:"revoked"`
			}{key, organisation, revoked})
		}
		fmt.Fprintf(p.out, "The key %s is attached to the organisation %s.\n", key, organisation)
		if revoked > 0 {
			fmt.Fprintf(p.out, "Revoked: %s.\n", count(revoked, "approval request"))
		}
		fmt.Fprintln(p.out, "Start the programs that use it again.")
		return nil
	})
}
