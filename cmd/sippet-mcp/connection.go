package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// connection names an organisation, the policies that decide, and how people are asked.
type connection struct {
	sandbox   bool
	simulated sandboxOptions
	upstreamOptions
	stateDir string
	keep     keeping
	policies []string
	named    []string // the policies for callers with tokens; empty: policies
	shadow   string
	// lifetime is how long most approval requests stay open, approvalWait how long a call waits for
	// the answer, inboxAfter how long a request that a client asks about is not shown to approvers.
	lifetime, approvalWait, inboxAfter time.Duration
	noBrowser                          bool
	inboxAddr, publicURL               string
	rows, bytes                        int
	logLevel                           string
}

func (o *connection) flags(c *cobra.Command) {
	f := c.Flags()
	sandboxFlag(c, &o.sandbox, "use a simulated organisation in this program, which needs no key")
	o.simulated.flags(c)
	o.upstreamOptions.flags(c)
	stateDirFlag(c, &o.stateDir)
	policyFlag(c, &o.policies)
	f.StringVar(&o.shadow, "shadow", "", "policy file that does not decide; the audit log records what it would decide")
	f.DurationVar(&o.lifetime, "approval-lifetime", 15*time.Minute,
		"how long an approval request stays open; 5m at most for a live call, 24h at least for deleting")
	f.DurationVar(&o.approvalWait, "approval-wait", tools.MaxWait,
		"how long a call waits for an answer before it returns approval_pending; at most 45s")
	f.DurationVar(&o.inboxAfter, "inbox-after", 15*time.Second,
		"how long a client asks its person alone before approvers see the request and the browser opens")
	f.BoolVar(&o.noBrowser, "no-browser", false, "print the address of an approval request instead of opening the browser")
	f.IntVar(&o.rows, "max-rows", tools.DefaultRows, "maximum rows of a result")
	f.IntVar(&o.bytes, "max-bytes", tools.DefaultBytes, "maximum bytes of a result")
	bindVariables(c, "shadow", "approval-lifetime", "approval-wait", "inbox-after", "no-browser", "max-rows", "max-bytes")
	logLevelFlag(c, &o.logLevel)
}

// policyFlag defines --policy.
func policyFlag(c *cobra.Command, names *[]string) {
	c.Flags().StringSliceVar(names, "policy", []string{"desktop"},
		"policies, of which the strictest decides: "+strings.Join(rules.Profiles, ", ")+", or files; repeat the flag or use commas")
	bindVariables(c, "policy")
}

// check reports what is wrong with the values of the flags.
func (o *connection) check() error {
	switch {
	case o.rows < 1 || o.bytes < 1000:
		return errors.New("--max-rows must be at least 1 and --max-bytes at least 1000")
	case o.keep.retention != 0 && o.keep.retention < 24*time.Hour:
		return errors.New("--retention must be at least 24h, because removed records cannot be restored")
	case o.lifetime < time.Minute || o.lifetime > 7*24*time.Hour:
		return errors.New("--approval-lifetime must be from 1m to 168h: a person must be able to read, and an old request is out of date")
	case o.approvalWait < 0 || o.approvalWait > tools.MaxWait:
		return errors.New("--approval-wait must be at most 45s: clients time out after that")
	case o.inboxAfter < 0 || o.inboxAfter > time.Minute:
		return errors.New("--inbox-after must be at most 1m: until then only the client asks, and most show nothing")
	case o.simulated.changed() && !o.sandbox:
		return errors.New("--sandbox-db, --sandbox-seed, --sandbox-speed and --sandbox-scale need --sandbox")
	}
	return nil
}

// connected is an open connection.
type connected struct {
	runner  *tools.Runner // of the program's own organisation
	runners *runners
	auth    *authenticator
	host    *inboxHost
	log     *slog.Logger
	close   func()
}

// open makes the runner over a live organisation or the sandbox.
func (o *connection) open(ctx context.Context, p *program, log *slog.Logger) (*connected, error) {
	policies, err := policy.LoadPolicySet(o.policies, o.named, o.shadow)
	if err != nil {
		return nil, err
	}
	warnExpired(policies, log)
	if err := o.check(); err != nil {
		return nil, err
	}
	closeSandbox := func() {}
	var client *rpc.Client
	if o.sandbox {
		client, closeSandbox, err = o.openSandbox(ctx, log)
	} else {
		client, err = o.client(p, log)
	}
	if err != nil {
		return nil, err
	}
	closeUpstream := func() {
		client.Close()
		closeSandbox()
	}
	store, err := openLedger(ctx, o.stateDir, o.sandbox, o.keep, log)
	if err != nil {
		closeUpstream()
		return nil, err
	}
	closeAll := func() {
		closeUpstream()
		if err := store.Close(); err != nil {
			log.Warn("the ledger could not be closed; what was recorded is safe", "cause", err)
		}
	}
	host, err := o.newInboxHost(p, store, log)
	if err != nil {
		closeAll()
		return nil, err
	}
	all := &runners{options: o, program: p, ledger: store, log: log, byKeyFile: map[string]*tools.Runner{}, clients: map[string]*rpc.Client{},
		make: func(client *rpc.Client, organisation, key string) *tools.Runner {
			gate := &policy.Gate{Policy: policies, Upstream: client, Ledger: store, Organisation: organisation, Key: key,
				Lifetime: o.lifetime, ClientFirst: o.inboxAfter, Now: time.Now, Log: log, Simulated: o.sandbox}
			return &tools.Runner{Gate: gate, Rows: o.rows, Bytes: o.bytes, Simulated: o.sandbox, Command: o.command,
				Inbox: &tools.Inbox{Watch: host.inbox.Watch, Wait: o.approvalWait, Link: host.Link, Show: host.Show}}
		}}
	if o.sandbox {
		all.own = all.make(client, o.simulated.organisation(), "")
	} else if all.own, err = all.live(ctx, client); err != nil {
		closeAll()
		return nil, err
	}
	host.inbox.Gates = all.gates
	return &connected{runner: all.own, runners: all, host: host, log: log, close: closeAll,
		auth: &authenticator{ledger: store, policies: policies, runners: all}}, nil
}

// openSandbox serves the sandbox in this process, and returns a client of it.
func (o *connection) openSandbox(ctx context.Context, log *slog.Logger) (client *rpc.Client, closeSandbox func(), err error) {
	s, err := o.simulated.open(o.stateDir, nil, log)
	if err != nil {
		return nil, nil, err
	}
	// Calls in flight need the sandbox after the signal that stops the program.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	closeSandbox = func() { cancel(); s.Close() }
	url, key, err := s.Serve(ctx)
	if err != nil {
		closeSandbox()
		return nil, nil, fmt.Errorf("serve sandbox: %w", err)
	}
	if client, err = rpc.New(rpc.Config{BaseURL: url, Key: rpc.Key(key), Log: log}); err != nil {
		closeSandbox()
		return nil, nil, err
	}
	return client, closeSandbox, nil
}

// background starts what runs beside the calls: the executor of approved requests, the webhook's
// notices, and the inbox unless the server serves it. It returns the function that stops all of it.
func (c *connected) background(inboxServed bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	executor := &policy.Executor{Ledger: c.auth.ledger, Watch: c.host.inbox.Watch, Log: c.log, GateFor: c.auth.gateFor}
	wg.Go(func() { executor.Run(ctx) })
	if !inboxServed {
		wg.Go(func() { c.host.Run(ctx) })
	}
	if c.host.notifier != nil {
		wg.Go(func() { c.host.notifier.Run(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
