package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// knownRoles are those that this program gives a meaning; policies may know others.
var knownRoles = []string{approval.RoleAgent, "operator", approval.RoleApprover, approval.RoleAdmin}

const tokenArg = "the id of a token; see `sippet-mcp tokens list`"

func newTokens(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "tokens",
		Short: "Give callers over HTTP a name, and take it from them",
		Long: `Give callers over HTTP a name. A token is a person's, has roles that policies go
by, and lets one program in: whatever it does stands in the audit under that
name. Once a state directory has had a token, "sippet-mcp http" answers nobody
who shows none, on this machine neither.

A secret is shown once, when it is created, and kept nowhere: only its hash is.`,
		Example: `  sippet-mcp tokens create ada --roles agent,operator --interactive
  sippet-mcp tokens list
  sippet-mcp tokens revoke 3f9a0c5d1e77
  sippet-mcp people remove ada`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTokensCreate(p), newTokensList(p), newTokensRevoke(p))
	return c
}

type createOptions struct {
	ledgerOptions
	roles           []string
	interactive     bool
	policy, keyFile string
	expires         string
	keep            keeping
}

func newTokensCreate(p *program) *cobra.Command {
	o := &createOptions{}
	c := &cobra.Command{
		Use:   "create PERSON --roles ROLE[,ROLE]",
		Short: "Create a token for a person's program, and show its secret once",
		Long: `Create a token for a program of PERSON's, and show its secret, which is kept
nowhere: who loses it gets another one. Give each program a token of its own, so
that one can be revoked without the others; all of the same name are the same
person's, which matters where somebody else must agree to what a person asks.

Roles are what policies go by:
  agent      an AI that works
  operator   a person who works, with or without an AI
  approver   a person who answers, in the inbox, what others ask
  admin      a person who stops everything and resumes it
Others are taken too, for rules of your own. A token with the role agent is a
program's: it lets nobody into the inbox, whatever other roles it has.

With --interactive a person sits behind the program, so that a yes in its window
counts as theirs. Leave it out for programs that run by themselves.`,
		Example: `  sippet-mcp tokens create ada --roles agent,operator --interactive
  sippet-mcp tokens create night-shift --roles agent --policy unattended --expires 30d
  sippet-mcp tokens create ada --roles agent --key-file /etc/sippet/branch.key | jq -r .secret`,
		Args: oneArg("the person's name, such as ada"),
		RunE: func(c *cobra.Command, args []string) error { return runTokensCreate(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	f := c.Flags()
	f.StringSliceVar(&o.roles, "roles", nil, "what the person may be: "+strings.Join(knownRoles, ", ")+", or roles of your own")
	f.BoolVar(&o.interactive, "interactive", false, "the person sits behind the program, so a yes in its window counts")
	f.StringVar(&o.policy, "policy", "", "a policy that also decides on its calls, a built-in one or a file; it can only make the server's stricter")
	f.StringVar(&o.keyFile, "key-file", "", "file with the secret key of the organisation that it works in (default: the server's)")
	f.StringVar(&o.expires, "expires", "90d", "until when it is good: an age such as 90d or 12h, the last day such as 2027-01-31, or never")
	f.BoolVar(&o.keep.keychain, "keychain", false, "where this makes the ledger: keep its master key in the system's keychain, as the server is told to")
	return c
}

// checkPolicy says what is wrong with a policy that a token names.
func checkPolicy(name string) error {
	_, err := rules.Load(name)
	return err
}

// newToken is a token that was just created, as a pipe gets it.
type newToken struct {
	ID string `json:"id"`
	// Secret is shown here and never again.
	Secret string `json:"secret"`
	tokenFields
}

// tokenFields are what may be shown of a token at any time.
type tokenFields struct {
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

func fieldsOf(t ledger.Token) tokenFields {
	f := tokenFields{Person: t.Person, Roles: t.Roles, Interactive: t.Interactive, Policy: t.Policy, KeyFile: t.KeyFile, Created: t.Created, By: t.By}
	if !t.Expires.IsZero() {
		f.Expires = &t.Expires
	}
	if !t.Revoked.IsZero() {
		f.Revoked = &t.Revoked
	}
	return f
}

func runTokensCreate(ctx context.Context, p *program, o *createOptions, person string) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	want, err := o.token(p, log, person)
	if err != nil {
		return err
	}
	// A token may be the first thing that a state directory holds.
	l, err := openLedger(ctx, o.stateDir, o.sandbox, o.keep, log)
	if err != nil {
		return damaged(err)
	}
	defer l.Close()
	before, err := l.Tokens(ctx)
	if err != nil {
		return damaged(err)
	}
	secret, t, err := l.CreateToken(ctx, want, operator())
	if err != nil {
		return damaged(err)
	}
	if !p.outTerminal {
		return writeJSON(p.out, newToken{t.ID, secret, fieldsOf(t)})
	}
	fmt.Fprintf(p.out, `Token %s of %s (%s), %s:

  %s

It is shown this once and kept nowhere: put it where the program keeps secrets.
A client shows it in a header:

  Authorization: Bearer %[5]s

such as
  {"mcpServers": {"sippet": {"type": "http", "url": "http://127.0.0.1:8765/mcp",
    "headers": {"Authorization": "Bearer %[5]s"}}}}

Take it back with: sippet-mcp tokens revoke %[1]s%[6]s
`, t.ID, t.Person, strings.Join(t.Roles, ", "), goodUntil(t), secret, o.same())
	if len(before) == 0 {
		fmt.Fprintln(p.out, "It is the first one: from now on every server with this state directory answers nobody without a token.")
	}
	return nil
}

func (o *createOptions) token(p *program, log *slog.Logger, person string) (ledger.Token, error) {
	t := ledger.Token{Person: person, Interactive: o.interactive, Policy: o.policy}
	for _, role := range o.roles {
		role = strings.TrimSpace(role)
		t.Roles = append(t.Roles, role)
		if !slices.Contains(knownRoles, role) {
			log.Warn("this role is none of the known ones, so it means only what a policy of yours says", "role", role, "known", strings.Join(knownRoles, ", "))
		}
	}
	if slices.Contains(t.Roles, approval.RoleAgent) && (slices.Contains(t.Roles, approval.RoleApprover) || slices.Contains(t.Roles, approval.RoleAdmin)) {
		log.Warn("a program's token (role agent) does not let its person into the inbox; give them another one to answer with", "roles", strings.Join(t.Roles, ", "))
	}
	if len(t.Roles) == 0 {
		return t, fmt.Errorf("say what %s may be with --roles: %s, or roles of your own", schemas.Escape(person, 80), strings.Join(knownRoles, ", "))
	}
	var err error
	if t.Expires, err = parseExpiry(o.expires, time.Now()); err != nil {
		return t, err
	}
	if o.policy != "" {
		if !slices.Contains(rules.Profiles, o.policy) {
			t.Policy = absolute(o.policy)
		}
		if err := checkPolicy(t.Policy); err != nil {
			return t, fmt.Errorf("--policy: %w", err)
		}
	}
	if o.keyFile != "" {
		if o.sandbox {
			return t, errors.New("--key-file is for a live organisation; leave it or --sandbox out")
		}
		t.KeyFile = absolute(o.keyFile)
		if _, err := (&upstreamOptions{keyFile: t.KeyFile}).key(p, log); err != nil {
			log.Warn("the key file cannot be used as it is; calls with this token fail until the server can read it", "cause", err)
		}
	}
	return t, nil
}

// parseExpiry gives when a token ends; the zero time is never.
func parseExpiry(s string, now time.Time) (time.Time, error) {
	wrong := fmt.Errorf("--expires: %q is no end: give an age such as 90d or 12h, the last day such as 2027-01-31, or never", s)
	end := time.Time{}
	if s == "never" {
		return end, nil
	}
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		if m[2] == "w" {
			n *= 7
		}
		end = now.AddDate(0, 0, n)
	} else if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		end = t.AddDate(0, 0, 1)
	} else if t, err := time.Parse(time.RFC3339, s); err == nil {
		end = t
	} else if d, err := time.ParseDuration(s); err == nil {
		end = now.Add(d)
	} else {
		return end, wrong
	}
	if !end.After(now) {
		return end, fmt.Errorf("--expires: %s is over already", s)
	}
	return end, nil
}

func goodUntil(t ledger.Token) string {
	if t.Expires.IsZero() {
		return "good until it is revoked"
	}
	return "good until " + t.Expires.Local().Format("2 Jan 2006 15:04")
}

type tokensListOptions struct {
	ledgerOptions
	all bool
}

func newTokensList(p *program) *cobra.Command {
	o := &tokensListOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List the tokens, without their secrets",
		Long: `List the tokens that are in use, oldest first; with --all also those that have
expired or were revoked. Secrets are not listed: they are kept nowhere.`,
		Example: `  sippet-mcp tokens list
  sippet-mcp tokens list --all | jq -r 'select(.person == "ada") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runTokensList(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.all, "all", false, "also those that have expired or were revoked")
	return c
}

// listedToken is a token as a pipe gets it.
type listedToken struct {
	ID string `json:"id"`
	// State is live, expired or revoked.
	State string `json:"state"`
	tokenFields
}

func runTokensList(ctx context.Context, p *program, o *tokensListOptions) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Tokens(ctx)
		if err != nil {
			return err
		}
		now, over := time.Now(), 0
		table := newTable(p, columns("id", "person", "roles", "state", "until", "behind it", "policy", "key file")...)
		for _, t := range all {
			state, until := "live", t.Expires
			switch {
			case !t.Revoked.IsZero():
				state, until = "revoked", t.Revoked
			case !t.Live(now):
				state = "expired"
			}
			if state != "live" && !o.all {
				over++
				continue
			}
			if !p.outTerminal {
				if err := writeJSON(p.out, listedToken{t.ID, state, fieldsOf(t)}); err != nil {
					return err
				}
				continue
			}
			who, end := "a program", "-"
			if t.Interactive {
				who = "a person"
			}
			if !until.IsZero() {
				end = until.Local().Format("2006-01-02 15:04")
			}
			table.row(t.ID, orDash(t.Person, 64), orDash(strings.Join(t.Roles, ","), 80), state, end, who, orDash(t.Policy, 80), orDash(t.KeyFile, 80))
		}
		if !p.outTerminal {
			return nil
		}
		if len(table.rows) > 0 {
			table.flush()
		} else {
			fmt.Fprintln(p.out, "no token is in use; create one with `sippet-mcp tokens create`")
		}
		if over > 0 {
			fmt.Fprintf(p.out, "%s expired or revoked; see them with --all\n", count(over, "token"))
		}
		return nil
	})
}

func newTokensRevoke(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "revoke ID",
		Short: "Take a token back, on every server within a second",
		Long: `Take a token back: within a second no server with this state directory lets
anybody in with it, its listening streams end, and its open questions and unused
yeses are void. A call that is under way is not cut off. It cannot be undone;
create another one instead.`,
		Example: "  sippet-mcp tokens revoke 3f9a0c5d1e77",
		Args:    oneArg(tokenArg),
		RunE:    func(c *cobra.Command, args []string) error { return runTokensRevoke(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runTokensRevoke(ctx context.Context, p *program, o *ledgerOptions, arg string) error {
	// Who is in a hurry may paste the whole secret; it is not repeated.
	id := ledger.TokenID(strings.TrimSpace(arg))
	if id == "" {
		return errors.New("that is not " + tokenArg)
	}
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		err := l.RevokeToken(ctx, id, operator())
		already := errors.Is(err, ledger.ErrTokenRevoked)
		switch {
		case errors.Is(err, ledger.ErrTokenUnknown):
			return fmt.Errorf("%s is no token of this state directory; see `sippet-mcp tokens list --all%s`", id, o.same())
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
			fmt.Fprintf(p.out, "Token %s was revoked before.\n", id)
			return nil
		}
		fmt.Fprintf(p.out, "Token %s is revoked: within a second it lets nobody in.\n", id)
		return nil
	})
}
