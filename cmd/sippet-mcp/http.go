package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/serve"
	"github.com/sippet-ai/sippet-mcp/tools"
)

type httpOptions struct {
	serverOptions
	addr string
}

func newHTTP(p *program) *cobra.Command {
	o := &httpOptions{}
	c := &cobra.Command{
		Use:   "http",
		Short: "Serve streamable HTTP on this machine",
		Long: `Serve MCP over streamable HTTP at /mcp, and health at /healthz, for clients on
this machine. Callers are not authenticated yet, so nothing but loopback can be
listened on: whoever can reach the port can use the key.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runHTTP(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8765", "address to listen on")
	return c
}

func runHTTP(ctx context.Context, p *program, o *httpOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	ln, err := serve.Listen(o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	s, c, err := o.open(ctx, p, log)
	if err != nil {
		return err
	}
	defer c.close()
	url := "http://" + ln.Addr().String() + "/mcp"
	what := "Sippet at " + o.baseURL
	if o.sandbox {
		what = "the sandbox: a simulated organisation, nobody's phone rings"
	}
	fmt.Fprintf(p.out, `Serving %s
  %s   (policy %s; stop with Ctrl-C)

Paste into a client:
  {"mcpServers": {"sippet": {"type": "http", "url": %q}}}
`, what, url, o.policy, url)
	h := &serve.HTTP{Server: s, Log: log, Caller: tools.Caller{Caller: policy.Caller{Principal: me() + " (http)"}, Interactive: true},
		Health: map[string]any{"version": version(), "simulated": o.sandbox}}
	// The sandbox and the client stay up until the calls in flight are done.
	return h.Serve(ctx, ln)
}
