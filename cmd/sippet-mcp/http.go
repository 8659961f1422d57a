package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

type httpOptions struct {
	serverOptions
	outsideOptions
	addr string
	auth string
	// chosen says that somebody named the policies.
	chosen bool
}

// The ways in which callers are told apart.
const (
	authAuto     = "auto"
	authRequired = "required"
)

func newHTTP(p *program) *cobra.Command {
	o := &httpOptions{}
	c := &cobra.Command{
		Use:   "http",
		Short: "Serve streamable HTTP, on this machine or to callers with tokens",
		Long: `Serve MCP over streamable HTTP at /mcp, the inbox at /inbox, and health at
/healthz.

Who may call. Once the state directory has had a token (see "sippet-mcp tokens"),
every request to /mcp must show one that is good, on this machine too; that also holds for
a server that is running already. Before, it answers this machine alone, and
whoever can reach the port can use the key; --auth required refuses that. There
is no way back but another state directory.

From other machines. An address beyond loopback is only listened on where every
caller shows a token and nobody between can read it, by one of
  --tls-cert FILE --tls-key FILE   TLS of its own, 1.2 or later; the files may be
                                   replaced while they are in use
  --trusted-proxy CIDR             a proxy ends TLS: only it may connect, and the
                                   last address of its X-Forwarded-For is taken for
                                   the limit below, for nothing else
Names that clients call it by are given with --host; others are turned away,
because a web page could have made them up.

An address that sends ten bad tokens a minute is told to wait (429). That never
holds up a good token, also not from the same address.`,
		Example: `  sippet-mcp http --sandbox
  sippet-mcp http --addr :8443 --tls-cert mcp.crt --tls-key mcp.key --host mcp.example.com
  sippet-mcp http --trusted-proxy 127.0.0.1 --host mcp.example.com`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.chosen = c.Flag("policy").Changed
			return runHTTP(c.Context(), p, o)
		},
	}
	o.serverOptions.flags(c)
	o.outsideOptions.flags(c)
	c.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8765", "address to listen on")
	c.Flags().StringVar(&o.auth, "auth", authAuto, "auto: tokens are needed beyond this machine, and once there was one; required: always")
	return c
}

func runHTTP(ctx context.Context, p *program, o *httpOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	if o.auth != authAuto && o.auth != authRequired {
		return fmt.Errorf("--auth: %q is neither %s nor %s", o.auth, authAuto, authRequired)
	}
	var who authenticator
	h := &serve.HTTP{Log: log, Authenticate: who.authenticate, Strict: o.auth == authRequired,
		Caller: tools.Caller{Caller: local("http"), Interactive: true},
		Health: map[string]any{"version": version(), "simulated": o.sandbox}}
	if err := o.outsideOptions.apply(h, log); err != nil {
		return err
	}
	ln, err := h.Listen(o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	if !o.chosen {
		o.named = []string{"team"} // once callers have names, what one asks for another can approve
	}
	s, c, err := o.open(ctx, p, log)
	if err != nil {
		return err
	}
	defer c.close()
	h.Server = s
	c.host.serveOn(h, ln)
	defer c.work(true)()
	who.ledger, who.runnerFor, who.book = c.runner.Gate.Ledger, c.runnerFor, c.book
	all, err := who.ledger.Tokens(ctx)
	if err != nil {
		return err
	}
	o.banner(p.out, h, ln, all)
	// The sandbox and the client stay up until the calls in flight are done.
	return h.Serve(ctx, ln)
}

// banner says what is served, where, and to whom.
func (o *httpOptions) banner(w io.Writer, h *serve.HTTP, ln net.Listener, all []ledger.Token) {
	base, headers := baseOf(h, ln), ""
	url := base + "/mcp"
	what := "Sippet at " + o.baseURL
	if o.sandbox {
		what = "the sandbox: a simulated organisation, nobody's phone rings"
	}
	live := 0
	for _, t := range all {
		if t.Live(time.Now()) {
			live++
		}
	}
	strict, policies := !h.Open(ln) || len(all) > 0, o.policies
	if strict && len(o.named) > 0 {
		policies = o.named
	}
	who := "callers: everybody on this machine, until the first token is created"
	switch same := (&ledgerOptions{o.stateDir, o.sandbox}).same(); {
	case live > 0:
		who = fmt.Sprintf("callers: who shows a token; %s in use", count(live, "token"))
	case strict:
		who = "callers: nobody yet, for no token is in use; create one with: sippet-mcp tokens create NAME --roles agent" + same
	}
	if strict {
		headers = `, "headers": {"Authorization": "Bearer YOUR-TOKEN"}`
	}
	login := "sippet-mcp inbox login"
	if strict {
		login += " NAME"
	}
	fmt.Fprintf(w, `Serving %s
  %s   (policy %s; stop with Ctrl-C)
  %s
  inbox: %s/inbox   (log in with: %s --url %s%s)

Paste into a client:
  {"mcpServers": {"sippet": {"type": "http", "url": %q%s}}}
`, what, url, strings.Join(policies, ","), who, base, login, base, (&ledgerOptions{o.stateDir, o.sandbox}).same(), url, headers)
}

// baseOf is the address by which others reach the server.
func baseOf(h *serve.HTTP, ln net.Listener) string {
	switch {
	case h.Certificate != nil && len(h.Hosts) > 0:
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		return "https://" + net.JoinHostPort(h.Hosts[0], port)
	case h.Certificate != nil:
		return "https://" + ln.Addr().String()
	case len(h.Proxies) > 0 && len(h.Hosts) > 0:
		return "https://" + h.Hosts[0]
	}
	return "http://" + ln.Addr().String()
}

// authenticator knows who shows which token.
type authenticator struct {
	ledger    ledger.Ledger
	book      *policy.PolicySet
	runnerFor func(keyFile string) (*tools.Runner, error)
}

// authenticate says whose the secret is. Its error is for the log, and does not hold the secret.
func (c *authenticator) authenticate(ctx context.Context, secret string) (tools.Caller, error) {
	t, err := c.ledger.Authenticate(ctx, secret)
	switch {
	case errors.Is(err, ledger.ErrNoTokens):
		return tools.Caller{}, fmt.Errorf("%w: %w", serve.ErrNoTokens, err)
	case errors.Is(err, ledger.ErrTokenUnknown):
		return tools.Caller{}, fmt.Errorf("%w: %w", serve.ErrUnauthorized, err)
	case errors.Is(err, ledger.ErrTokenExpired), errors.Is(err, ledger.ErrTokenRevoked):
		return tools.Caller{}, fmt.Errorf("%w: %w (%s of %s)", serve.ErrUnauthorized, err, t.ID, t.Person)
	case err != nil:
		return tools.Caller{}, err
	}
	return c.caller(t)
}

// caller makes the caller that a token stands for.
func (c *authenticator) caller(t ledger.Token) (tools.Caller, error) {
	who := tools.Caller{Interactive: t.Interactive, Caller: policy.Caller{Actor: ledger.Actor{Name: t.Person, Via: "token " + t.ID}, ID: t.ID, Person: t.Person,
		Roles: t.Roles, Policy: t.Policy, Credential: t.ID}}
	if t.Policy != "" {
		if err := c.book.Add(t.Policy); err != nil {
			return who, fmt.Errorf("the policy of token %s of %s: %w", t.ID, t.Person, err)
		}
	}
	if t.KeyFile != "" {
		r, err := c.runnerFor(t.KeyFile)
		if err != nil {
			return who, fmt.Errorf("the key file of token %s of %s: %w", t.ID, t.Person, err)
		}
		who.Runner = r
	}
	return who, nil
}
