package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// serverOptions are those of both transports.
type serverOptions struct {
	connection
	toolsets, tools []string
	readOnly        bool
}

func (o *serverOptions) flags(c *cobra.Command) {
	o.connection.flags(c)
	o.keep.flags(c)
	f := c.Flags()
	f.StringSliceVar(&o.toolsets, "toolsets", nil,
		"show only these toolsets, comma-separated: calls, queue, outbound, conversations, contacts, email, operators, agents")
	f.StringSliceVar(&o.tools, "tools", nil, "also show these tools, comma-separated; without --toolsets only these")
	f.BoolVar(&o.readOnly, "read-only", false, "show only tools that read")
	bindVariables(c, "toolsets", "tools", "read-only")
}

// open returns an MCP server over the connection.
func (o *serverOptions) open(ctx context.Context, p *program, log *slog.Logger) (*tools.Server, *connected, error) {
	c, err := o.connection.open(ctx, p, log)
	if err != nil {
		return nil, nil, err
	}
	s, err := tools.NewServer(tools.Options{Version: version(), Runner: c.runner, Log: log,
		Select: tools.Selection{Toolsets: o.toolsets, Tools: o.tools, ReadOnly: o.readOnly}})
	if err != nil {
		c.close()
		return nil, nil, err
	}
	go reloadPolicies(c.auth.policies, ctx.Done(), log)
	return s, c, nil
}

func newStdio(p *program) *cobra.Command {
	o := &serverOptions{}
	c := &cobra.Command{
		Use:   "stdio",
		Short: "Serve a desktop client over stdin and stdout",
		Long: `Serve one MCP client over stdin and stdout. Desktop clients start the command
themselves. Their configuration:

  {"mcpServers": {"sippet": {"command": "sippet-mcp", "args": ["stdio", "--sandbox"]}}}

For a live organisation, leave --sandbox out and set SIPPET_SECRET_KEY in "env".

If a call needs an approval, the request is in the inbox at once. A client that can ask
its person does so too. If it cannot, or nobody has answered after --inbox-after, the
browser opens with the card: see "sippet-mcp inbox". The log says where that page is.`,
		Example: "  sippet-mcp stdio --sandbox",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runStdio(c.Context(), p, o) },
	}
	o.flags(c)
	inboxAddrFlag(c, &o.connection)
	publicURLFlag(c, &o.connection)
	return c
}

func runStdio(ctx context.Context, p *program, o *serverOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	s, c, err := o.open(ctx, p, log)
	if err != nil {
		return err
	}
	defer c.close()
	defer c.background(false)()
	log.Info("serving on stdio", "sandbox", o.sandbox, "policy", strings.Join(o.policies, ","), "version", version())
	c.host.announce(ctx, &o.connection, log)
	return serve.Stdio(ctx, s, tools.Caller{Caller: local(approval.ViaStdio), Interactive: true}, p.in, p.out, log)
}
