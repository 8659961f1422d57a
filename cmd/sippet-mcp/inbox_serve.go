package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

type inboxServeOptions struct {
	connection
}

func newInboxServe(p *program) *cobra.Command {
	o := &inboxServeOptions{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve this machine's inbox until you end it",
		Long: `Serve the inbox of the state directory on its own port of this machine, for a page
that stays open all day. It needs no key: the program that made a request runs the
approved call, and must still be running; what nobody can run any more is revoked.
Live calls cannot be listed or ended from this page. The browser opens, logged in,
unless --no-browser is given.

In a container, or behind a proxy, --inbox-addr is the address to listen at, and
--public-url the one that people open: --inbox-addr 0.0.0.0:8766
--public-url https://ops.example.com/sippet`,
		Example: "  sippet-mcp inbox serve",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runInboxServe(c.Context(), p, o) },
	}
	stateDirFlag(c, &o.stateDir)
	sandboxFlag(c, &o.sandbox, "serve the sandbox's inbox")
	c.Flags().BoolVar(&o.noBrowser, "no-browser", false, "print the address instead of opening the browser")
	bindVariables(c, "no-browser")
	inboxAddrFlag(c, &o.connection)
	publicURLFlag(c, &o.connection)
	logLevelFlag(c, &o.logLevel)
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
	host, err := o.newInboxHost(p, store, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	host.Need()
	go func() {
		if host.Link("") == "" || ctx.Err() != nil || host.OpenPage() == nil {
			return
		}
		fmt.Fprintf(p.out, "The inbox is at %s; log in with: %s\n", host.URL(), host.inbox.LoginCommand)
	}()
	// It runs nothing, but revokes what nobody can run any more.
	orphans := &policy.Executor{Ledger: store, Watch: host.inbox.Watch, Log: log,
		GateFor: func(context.Context, ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
			return nil, policy.Caller{}, policy.ErrElsewhere
		}}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { orphans.Run(ctx) })
	host.Run(ctx)
	return nil
}
