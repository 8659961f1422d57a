package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func newOrganisations(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "organisations",
		Short: "Keep an organisation's record when its key changes",
		Long: `Keep an organisation's record when its key changes. The ledger has an id for each
organisation of Sippet, to which secret keys are attached. A key that is new to the
ledger gets an organisation of its own: Sippet does not say which one it belongs to.
Attach a key that replaces another, so that calls with an unknown outcome and
approvals are not forgotten.`,
		Example: "  sippet-mcp organisations list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newOrganisationsList(p), newOrganisationsAttach(p))
	return c
}

func newOrganisationsList(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List the organisations and the names of their keys",
		Long: `List the organisations of this state directory, oldest first, with the names of
their keys. A key's name is the host and a fingerprint; the key itself is not stored.
UNRESOLVED counts the calls that are in flight or have an unknown outcome.`,
		Example: "  sippet-mcp organisations list",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runOrganisationsList(c.Context(), p, o) },
	}
	stateDirFlag(c, &o.stateDir)
	return c
}

// listedOrganisation is an organisation as a pipe gets it.
type listedOrganisation struct {
	ID         string      `json:"id"`
	Keys       []listedKey `json:"keys"`
	Unresolved int         `json:"unresolved"`
}

type listedKey struct {
	Name     string       `json:"name"`
	Attached time.Time    `json:"attached"`
	By       ledger.Actor `json:"by,omitzero"`
}

func runOrganisationsList(ctx context.Context, p *program, o *ledgerOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Organisations(ctx)
		if err != nil {
			return err
		}
		table := newTable(p, columns("organisation", "key", "attached", "by", "unresolved")...)
		for _, one := range all {
			listed := listedOrganisation{ID: one.ID, Keys: []listedKey{}, Unresolved: one.Unresolved}
			for _, k := range one.Keys {
				listed.Keys = append(listed.Keys, listedKey(k))
				table.row(one.ID, k.Name, k.Attached.Local().Format("2006-01-02 15:04"), orDash(k.By.String(), 64), fmt.Sprint(one.Unresolved))
			}
			if len(one.Keys) == 0 {
				table.row(one.ID, "-", "-", "-", fmt.Sprint(one.Unresolved))
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, listed); err != nil {
					return err
				}
			}
		}
		if p.outTerminal {
			table.flush()
		}
		return nil
	})
}
