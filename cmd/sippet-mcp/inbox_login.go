package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type inboxLoginOptions struct {
	ledgerOptions
	url string
}

func newInboxLogin(p *program) *cobra.Command {
	o := &inboxLoginOptions{}
	c := &cobra.Command{
		Use:   "login [PERSON]",
		Short: "Print a link that logs in to the inbox once",
		Long: `Print a link that logs in to the inbox once, within ten minutes; on a terminal also
as a QR code for a phone. The browser then stays logged in for 30 days, or for 12
hours over plain HTTP. Approving what cannot be undone needs a login of the last 15
minutes.

Without PERSON the link is for you, at this machine: you answer the requests of
programs that run here under your name, and may make the emergency stop. With PERSON
it is for a person who has a token; the roles of their tokens decide what they may do.

A phone needs the address of a server that it can reach: give it with --url. It is
the value of --public-url of a server that has one.`,
		Example: "  sippet-mcp inbox login",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("give one person's name, in quotes if it has blanks")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return runInboxLogin(c.Context(), p, o, strings.Join(args, ""))
		},
	}
	o.ledgerOptions.flags(c)
	c.Flags().StringVar(&o.url, "url", "", "address of the server of the inbox, such as https://mcp.example.com (default: this machine's own inbox)")
	return c
}

func runInboxLogin(ctx context.Context, p *program, o *inboxLoginOptions, person string) error {
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		base, err := o.base(ctx, l)
		if err != nil {
			return err
		}
		login := ledger.Login{Kind: ledger.LinkCode, Person: person, Expires: time.Now().Add(inbox.LinkFor)}
		if person == "" {
			login.Person, login.Local = me(), true
		} else if err := requireToken(ctx, l, person, o.same()); err != nil {
			return err
		}
		code, err := l.CreateLogin(ctx, login, operator())
		if err != nil {
			return err
		}
		link := base + inbox.Path + "/enter/" + code
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				Link    string    `json:"link"`
				Person  string    `json:"person"`
				Expires time.Time `json:"expires"`
			}{link, login.Person, login.Expires.UTC()})
		}
		fmt.Fprintf(p.out, "This logs %s in once, until %s:\n\n  %s\n\n", schemas.Escape(login.Person, 64), login.Expires.Format("15:04"), link)
		qrterminal.GenerateHalfBlock(link, qrterminal.L, p.out)
		if strings.HasPrefix(base, "http://127.") {
			fmt.Fprintln(p.out, "It is for a browser on this machine; for a phone give the address of a server with --url.")
		}
		return nil
	})
}

// base returns the base URL of the inbox.
func (o *inboxLoginOptions) base(ctx context.Context, l *ledger.SQLite) (string, error) {
	if o.url != "" {
		u, err := parseServerURL("--url", o.url)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	}
	base, err := inbox.LocalURL(l.Dir())
	if err != nil {
		return "", fmt.Errorf("this machine has not served an inbox yet: `sippet-mcp inbox serve%s` serves it; "+
			"for the inbox of a server give its address with --url", o.same())
	}
	switch _, err := inbox.CheckOwner(ctx, l, base); {
	case errors.Is(err, inbox.ErrNotOwner):
		return "", fmt.Errorf("another program is at %s now, and must not get a login code: "+
			"`sippet-mcp inbox serve%s` serves the inbox elsewhere", base, o.same())
	case err != nil:
		// The next program on that port would get the code.
		return "", fmt.Errorf("the inbox is not served at %s now: `sippet-mcp inbox serve%s` serves it", base, o.same())
	}
	return base, nil
}

// requireToken returns an error unless the person has a valid token.
func requireToken(ctx context.Context, l *ledger.SQLite, person, same string) error {
	all, err := l.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Person == person && t.Live(time.Now()) {
			return nil
		}
	}
	return fmt.Errorf("%q has no valid token, so there is nothing that they may do; see `sippet-mcp tokens list%s`", schemas.Escape(person, 64), same)
}
