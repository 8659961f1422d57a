package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
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
replaces an earlier one of the same organisation. The key is read from
SIPPET_SECRET_KEY or the file of --key-file. It is not stored. Sippet is asked whether
the key sees one of the contacts that calls of the organisation were about; a key
that sees none belongs to another one and is rejected.

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
	defer client.Close()
	key := client.KeyName()
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		if organisation == "new" {
			organisation = ""
		} else if host, _, _ := strings.Cut(organisation, " "); !strings.HasPrefix(key, host+" ") {
			// AttachKey rejects it. Another host is not told the contacts.
		} else if err := checkContacts(ctx, l, &policy.Gate{Upstream: client, Now: time.Now, Log: log}, organisation); err != nil {
			return err
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

const (
	// contactRecords is how many of the last records are searched for contacts, maxContacts how many
	// contacts Sippet is asked for.
	contactRecords = 5000
	maxContacts    = 100
)

// checkContacts returns an error unless the key sees one of the contacts that calls of the
// organisation were about: attached to another organisation's history, it would run what was
// approved for that one. Without such contacts there is nothing to ask, and the person's word
// counts.
func checkContacts(ctx context.Context, l *ledger.SQLite, g *policy.Gate, organisation string) error {
	last, err := l.Records(ctx, ledger.Filter{Outcome: schemas.Done, Last: true, Limit: contactRecords})
	if err != nil {
		return err
	}
	var contacts []string
	for _, r := range slices.Backward(last) {
		for _, subject := range r.SubjectNames {
			id, ok := strings.CutPrefix(subject, "contact:")
			if ok && r.Organisation == organisation && len(contacts) < maxContacts && !slices.Contains(contacts, id) {
				contacts = append(contacts, id)
			}
		}
	}
	if len(contacts) == 0 {
		return nil
	}
	sees, fault := g.SeesContact(ctx, contacts)
	switch {
	case fault != nil:
		return fmt.Errorf("nothing was attached, because Sippet could not be asked whether the key belongs to that organisation: %s", fault.Message)
	case !sees:
		return fmt.Errorf("nothing was attached: of the contacts that calls of %s were about, the key sees none (%d asked), so it belongs to another organisation",
			schemas.Escape(organisation, 80), len(contacts))
	}
	return nil
}
