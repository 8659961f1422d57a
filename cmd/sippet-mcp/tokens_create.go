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

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type tokensCreateOptions struct {
	ledgerOptions
	roles           []string
	interactive     bool
	policy, keyFile string
	expires         string
	keep            keeping
}

func newTokensCreate(p *program) *cobra.Command {
	o := &tokensCreateOptions{}
	c := &cobra.Command{
		Use:   "create PERSON --roles ROLE[,ROLE]",
		Short: "Create a token, and show its secret once",
		Long: `Create a token for a program of PERSON, and show its secret, which is not stored.
Give each program its own token, so that you can revoke one without the others.
Tokens with the same name belong to the same person. That matters where another
person must approve.

Roles are for policies, and decide what the person may do in the inbox:
  agent      an AI assistant
  operator   a person who works, with or without an AI
  approver   a person who answers other people's approval requests, and may stop
             everything in an emergency
  admin      a person who may stop everything, and resume
Other roles are for rules of your own. A token with the role agent belongs to a
program: it does not log in to the inbox, whatever other roles it has.

Add --interactive if a person uses the program, so that the program can ask them.
Leave it out for programs that run unattended.`,
		Example: "  sippet-mcp tokens create ada --roles agent,operator --interactive",
		Args:    oneArg("the person's name, such as ada"),
		RunE:    func(c *cobra.Command, args []string) error { return runTokensCreate(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	f := c.Flags()
	f.StringSliceVar(&o.roles, "roles", nil, "roles of the person: "+strings.Join(knownRoles, ", ")+", or your own")
	f.BoolVar(&o.interactive, "interactive", false, "a person uses the program, and can approve in it")
	f.StringVar(&o.policy, "policy", "", "policy that also decides on its calls, built-in or a file; it can only be stricter than the server's")
	f.StringVar(&o.keyFile, "key-file", "", "file with the secret key of its organisation (default: the server's organisation)")
	f.StringVar(&o.expires, "expires", "90d", "until when it is valid: an age such as 90d or 12h, the last day such as 2027-01-31, or never")
	f.BoolVar(&o.keep.keychain, "keychain", false, "if this creates the ledger: keep its master key in the system's keychain, as the server must too")
	bindVariables(c, "keychain")
	return c
}

// createdToken is a new token as a pipe gets it.
type createdToken struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
	shownToken
}

func runTokensCreate(ctx context.Context, p *program, o *tokensCreateOptions, person string) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	want, err := o.token(p, log, person)
	if err != nil {
		return err
	}
	// A token may be the first thing in a state directory.
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
		return writeJSON(p.out, createdToken{t.ID, secret, showToken(t)})
	}
	fmt.Fprintf(p.out, `Token %s of %s (%s), %s:

  %s

It is shown only once. Put it where the program keeps secrets. The program sends it
in a header:

  Authorization: Bearer %[5]s

For example
  {"mcpServers": {"sippet": {"type": "http", "url": "http://127.0.0.1:8765/mcp",
    "headers": {"Authorization": "Bearer %[5]s"}}}}

Revoke it with: sippet-mcp tokens revoke %[1]s%[6]s
`, t.ID, t.Person, strings.Join(t.Roles, ", "), validUntil(t), secret, o.same())
	if len(before) == 0 {
		fmt.Fprintln(p.out, "It is the first token: from now on servers with this state directory reject calls without one.")
	}
	return nil
}

// token returns the token that the flags ask for.
func (o *tokensCreateOptions) token(p *program, log *slog.Logger, person string) (ledger.Token, error) {
	t := ledger.Token{Person: person, Interactive: o.interactive, Policy: o.policy}
	for _, role := range o.roles {
		role = strings.TrimSpace(role)
		t.Roles = append(t.Roles, role)
		if !slices.Contains(knownRoles, role) {
			log.Warn("unknown role: it has a meaning only if a policy of yours names it", "role", role, "known", strings.Join(knownRoles, ", "))
		}
	}
	answers := slices.Contains(t.Roles, approval.RoleApprover) || slices.Contains(t.Roles, approval.RoleAdmin)
	if answers && slices.Contains(t.Roles, approval.RoleAgent) {
		log.Warn("a token with the role agent does not log in to the inbox; create another token to answer with", "roles", strings.Join(t.Roles, ", "))
	}
	if len(t.Roles) == 0 {
		return t, fmt.Errorf("no role for %s: give --roles: %s, or roles of your own", schemas.Escape(person, 80), strings.Join(knownRoles, ", "))
	}
	var err error
	if t.Expires, err = parseExpiry(o.expires, time.Now()); err != nil {
		return t, err
	}
	if o.policy != "" {
		if !slices.Contains(rules.Profiles, o.policy) {
			t.Policy = absolute(o.policy)
		}
		if _, err := rules.Load(t.Policy); err != nil {
			return t, fmt.Errorf("--policy: %w", err)
		}
	}
	if o.keyFile != "" {
		if o.sandbox {
			return t, errors.New("--key-file needs a live organisation: leave --key-file or --sandbox out")
		}
		t.KeyFile = absolute(o.keyFile)
		if _, err := (&upstreamOptions{keyFile: t.KeyFile}).key(p, log); err != nil {
			log.Warn("the key file cannot be used; calls with this token fail until the server can read it", "cause", err)
		}
	}
	return t, nil
}

// parseExpiry returns the end of a token; the zero time for never.
func parseExpiry(s string, now time.Time) (time.Time, error) {
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
		return end, fmt.Errorf("--expires: %q is not an end: give an age such as 90d or 12h, the last day such as 2027-01-31, or never", s)
	}
	if !end.After(now) {
		return end, fmt.Errorf("--expires: %s is in the past", s)
	}
	return end, nil
}

func validUntil(t ledger.Token) string {
	if t.Expires.IsZero() {
		return "valid until it is revoked"
	}
	return "valid until " + t.Expires.Local().Format("2 Jan 2006 15:04")
}
