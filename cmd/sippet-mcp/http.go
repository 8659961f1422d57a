package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/tools"
)

type httpOptions struct {
	serverOptions
	tlsOptions
	addr string
	auth string
	// policyChosen is true if --policy was given, or its variable.
	policyChosen bool
}

// The values of --auth.
const (
	authAuto     = "auto"
	authRequired = "required"
)

func newHTTP(p *program) *cobra.Command {
	o := &httpOptions{}
	c := &cobra.Command{
		Use:   "http",
		Short: "Serve MCP and the inbox over HTTP",
		Long: `Serve MCP over streamable HTTP at /mcp, the inbox at /inbox, and health at
/healthz.

Callers. As soon as the state directory has a token (see "sippet-mcp tokens"), every
request to /mcp needs a valid one, from this machine too. That also applies to a
server that is already running. Before the first token, the server answers this
machine only, and every program here can use the key; --auth required prevents that.
A state directory that had a token always requires one.

Other machines. The server listens beyond loopback only with one of
  --tls-cert FILE --tls-key FILE   TLS 1.2 or later; the files may be replaced while
                                   the server runs
  --trusted-proxy CIDR             a proxy that ends TLS: only it may connect, and
                                   the last address of its X-Forwarded-For counts
                                   for the limit below
Name the server's host names with --host; requests for others are rejected, because
a web page could have made them up. Give --public-url URL if clients and people reach
the server at another port, or below a path such as https://ops.example.com/sippet;
its host needs no --host.

After ten invalid tokens in a minute from one address, further ones get status 429.
A valid token is never delayed.`,
		Example: `  sippet-mcp http --sandbox`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.policyChosen = c.Flag("policy").Changed
			return runHTTP(c.Context(), p, o)
		},
	}
	o.serverOptions.flags(c)
	o.tlsOptions.flags(c)
	c.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8765", "address to listen on")
	c.Flags().StringVar(&o.auth, "auth", authAuto, "auto: tokens are required beyond this machine, and once there is one; required: always")
	bindVariables(c, "addr", "auth")
	publicURLFlag(c, &o.connection)
	return c
}

func runHTTP(ctx context.Context, p *program, o *httpOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	if o.auth != authAuto && o.auth != authRequired {
		return fmt.Errorf("--auth: unknown value %q: use %s or %s", o.auth, authAuto, authRequired)
	}
	var c *connected // opened after the port
	authenticate := func(ctx context.Context, secret string) (tools.Caller, error) {
		return c.auth.authenticate(ctx, secret)
	}
	h := &serve.HTTP{Log: log, Authenticate: authenticate, Strict: o.auth == authRequired,
		Caller: tools.Caller{Caller: local("http")}, // any program here can send a reply, so none counts
		Health: map[string]any{"version": version(), "simulated": o.sandbox}}
	if err := o.tlsOptions.apply(h, log); err != nil {
		return err
	}
	if h.Public, err = o.public(); err != nil {
		return err
	}
	ln, err := h.Listen(o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	if !o.policyChosen {
		o.named = []string{"team"} // once callers have names, another person can approve what one asks for
	}
	s, opened, err := o.open(ctx, p, log)
	if err != nil {
		return err
	}
	c = opened
	defer c.close()
	h.Server = s
	c.host.serveOn(h, ln)
	defer c.background(true)()
	all, err := c.auth.ledger.Tokens(ctx)
	if err != nil {
		return err
	}
	o.banner(p.out, h, ln, all)
	// The sandbox and the client stay up until the calls in flight are done.
	return h.Serve(ctx, ln)
}

// banner prints the addresses, the policy, the callers, and what to paste into a client.
func (o *httpOptions) banner(w io.Writer, h *serve.HTTP, ln net.Listener, all []ledger.Token) {
	base, headers := baseOf(h, ln), ""
	url := base + "/mcp"
	what := "Sippet at " + o.baseURL
	if o.sandbox {
		what = "the sandbox: a simulated organisation, no phone rings"
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
	callers := "everybody on this machine, until the first token is created"
	switch same := (&ledgerOptions{o.stateDir, o.sandbox}).same(); {
	case live > 0:
		callers = fmt.Sprintf("those with a token; %s in use", count(live, "token"))
	case strict:
		callers = "nobody yet, because no token is in use; create one with: sippet-mcp tokens create NAME --roles agent" + same
	}
	if strict {
		headers = `, "headers": {"Authorization": "Bearer YOUR-TOKEN"}`
	}
	login := "sippet-mcp inbox login"
	if strict {
		login += " NAME"
	}
	fmt.Fprintf(w, `Serving %s
  %s   (policy %s; end with Ctrl-C)
  callers: %s
  inbox: %s/inbox   (log in with: %s --url %s%s)

Paste into a client:
  {"mcpServers": {"sippet": {"type": "http", "url": %q%s}}}
`, what, url, strings.Join(policies, ","), callers, base, login, base, (&ledgerOptions{o.stateDir, o.sandbox}).same(), url, headers)
}

// baseOf returns the base URL of the server for its clients.
func baseOf(h *serve.HTTP, ln net.Listener) string {
	switch {
	case h.Public != nil:
		return h.Public.String()
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
