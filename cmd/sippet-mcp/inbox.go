package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newInbox(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "inbox",
		Short: "Let people into the page on which they answer what an AI asks",
		Long: `The inbox is a page on which people answer what an AI asks: what will happen, to
whom, what it replaces, who asks and why; yes or no. "sippet-mcp http" serves it at
/inbox. Beside "sippet-mcp stdio" it opens by itself when something is asked, on a
port of this machine that stays the same for a state directory.

Nobody sees it without logging in: with the token of an approver or an admin
("sippet-mcp tokens create"), or with a link of "sippet-mcp inbox login".

With SIPPET_NOTIFY_URL and SIPPET_NOTIFY_SECRET in the environment, whatever serves
an AI also tells a program of yours, by a signed POST to that address, that
something is asked and that it has ended; it names nobody.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newInboxLogin(p), newInboxServe(p))
	return c
}

type loginOptions struct {
	ledgerOptions
	url string
}

func newInboxLogin(p *program) *cobra.Command {
	o := &loginOptions{}
	c := &cobra.Command{
		Use:   "login [PERSON]",
		Short: "Print a link, and a code for a phone, that lets somebody in once",
		Long: `Print a link that lets somebody into the inbox once, within ten minutes, and on a
terminal the same as a code that a phone can scan. That browser then stays logged
in for 30 days; what cannot be undone asks who it is again.

Without PERSON it is you, at this machine: you answer what programs ask that you
started here, and you may stop everything. With PERSON it is somebody who has a
token; they may do what the roles of their tokens say (approver: answer what
others ask; admin: stop everything).

A phone reaches a server beyond this machine by its name: give it with --url.`,
		Example: `  sippet-mcp inbox login
  sippet-mcp inbox login ada --url https://mcp.example.com`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("name one person, in quotes where the name has blanks")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			person := ""
			if len(args) == 1 {
				person = args[0]
			}
			return runInboxLogin(c.Context(), p, o, person)
		},
	}
	o.ledgerOptions.flags(c)
	c.Flags().StringVar(&o.url, "url", "", "where the inbox is served, such as https://mcp.example.com (default: this machine's own)")
	return c
}

func runInboxLogin(ctx context.Context, p *program, o *loginOptions, person string) error {
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		base, err := o.base(ctx, p, l)
		if err != nil {
			return err
		}
		login := ledger.Login{Kind: ledger.LinkCode, Person: person, Expires: time.Now().Add(inbox.LinkFor)}
		if person == "" {
			login.Person, login.Local = me(), true
		} else if err := hasToken(ctx, l, person, o.same()); err != nil {
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
		fmt.Fprintf(p.out, "This lets %s in once, until %s:\n\n  %s\n\n", schemas.Escape(login.Person, 64), login.Expires.Format("15:04"), link)
		qrterminal.GenerateHalfBlock(link, qrterminal.L, p.out)
		if strings.HasPrefix(base, "http://127.") {
			fmt.Fprintln(p.out, "It is for a browser on this machine: a phone needs a server that it can reach, see --url.")
		}
		return nil
	})
}

// base is where the inbox of the ledger is served.
func (o *loginOptions) base(ctx context.Context, p *program, l *ledger.SQLite) (string, error) {
	if o.url != "" {
		u, err := url.Parse(strings.TrimSuffix(strings.TrimSuffix(o.url, "/"), inbox.Path))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery+u.Fragment != "" {
			return "", fmt.Errorf("--url: %q is no address of a server: give one such as https://mcp.example.com", schemas.Escape(o.url, 80))
		}
		if u.Scheme == "http" && !onThisMachine(u.Hostname()) {
			return "", errors.New("--url: beyond this machine the inbox is reached by https only: whoever is between could read the code")
		}
		return u.Scheme + "://" + u.Host, nil
	}
	fixed, err := os.ReadFile(filepath.Join(l.Dir(), addressFile))
	if err != nil {
		return "", errors.New("no inbox was served on this machine yet: it opens by itself when something is asked, `sippet-mcp inbox serve` serves it now, and a server's is named by --url")
	}
	base := "http://" + strings.TrimSpace(string(fixed))
	switch _, err := checkOwner(ctx, l, base); {
	case errors.Is(err, errNotOurs):
		return "", fmt.Errorf("another program is at %s now, and must not be given a code: `sippet-mcp inbox serve%s` serves the inbox elsewhere", base, o.same())
	case err != nil:
		// Whoever takes the port next would be given the code.
		return "", fmt.Errorf("nobody serves the inbox at %s now: it opens by itself when something is asked, and `sippet-mcp inbox serve%s` serves it", base, o.same())
	}
	return base, nil
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func hasToken(ctx context.Context, l *ledger.SQLite, person, same string) error {
	all, err := l.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Person == person && t.Live(time.Now()) {
			return nil
		}
	}
	return fmt.Errorf("%q has no token that is good, so there is nothing that they may do; see `sippet-mcp tokens list%s`", schemas.Escape(person, 64), same)
}

type inboxServeOptions struct {
	connection
}

func newInboxServe(p *program) *cobra.Command {
	o := &inboxServeOptions{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the inbox of this machine until you end it",
		Long: `Serve the inbox of the state directory on its own port of this machine, whether
something is asked or not, for a page that stays open all day. It needs no key:
what is agreed to is run by the program that asked, which must still be there.
Live calls cannot be seen or ended from it. It opens the browser, logged in,
unless --no-browser.`,
		Example: "  sippet-mcp inbox serve",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runInboxServe(c.Context(), p, o) },
	}
	f := c.Flags()
	f.StringVar(&o.stateDir, "state-dir", "", stateDirHelp)
	f.BoolVar(&o.sandbox, "sandbox", false, "serve the sandbox's inbox")
	f.BoolVar(&o.noBrowser, "no-browser", false, "print where it is, and do not open the browser")
	f.StringVar(&o.logLevel, "log-level", "info", logLevelHelp)
	return c
}

func runInboxServe(ctx context.Context, p *program, o *inboxServeOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	store, err := openLedger(ctx, o.stateDir, o.sandbox, o.keep, log)
	if err != nil {
		return damaged(err)
	}
	defer store.Close()
	l, err := o.newInboxHost(p, store, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	l.requestServing()
	go func() {
		if l.link("") == "" || ctx.Err() != nil {
			return
		}
		if _, err := l.reachablePages(); err == nil && l.inbox.Open != nil {
			if err := l.open(inbox.Path+"/enter/", ""); err == nil {
				return
			}
		}
		fmt.Fprintf(p.out, "The inbox is at %s%s; log in with: sippet-mcp inbox login%s\n", *l.public.Load(), inbox.Path, l.same)
	}()
	l.run(ctx)
	return nil
}
