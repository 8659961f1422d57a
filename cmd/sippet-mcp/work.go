package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// newInboxHost makes the inbox of the connection; nothing is served yet.
func (o *connection) newInboxHost(p *program, store *ledger.SQLite, log *slog.Logger) (*inboxHost, error) {
	watch := &approval.Watcher{Ledger: store, Log: log}
	l := &inboxHost{program: p, ledger: store, dir: store.Dir(), log: log, noBrowser: o.noBrowser, same: (&ledgerOptions{o.stateDir, o.sandbox}).same(), needed: make(chan struct{}, 1)}
	l.inbox = &inbox.Inbox{Approvals: &approval.Approvals{Ledger: store, Watch: watch, Now: time.Now}, Ledger: store, Watch: watch,
		Simulated: o.sandbox, LoginCommand: "sippet-mcp inbox login" + l.same, Now: time.Now, Log: log}
	if !o.noBrowser && canOpen(p.env) {
		l.inbox.Open = func(path string) error { return openURL(p.env, *l.public.Load()+path) }
	}
	address := p.env("SIPPET_NOTIFY_URL")
	if address == "" {
		return l, nil
	}
	n, err := inbox.NewNotifier(address, p.env("SIPPET_NOTIFY_SECRET"))
	if err != nil {
		return nil, err
	}
	n.Ledger, n.Watch, n.Simulated, n.Log = store, watch, o.sandbox, log
	n.Inbox = func() string {
		if base := l.public.Load(); base != nil {
			return *base + inbox.Path
		}
		return ""
	}
	l.notify = n
	return l, nil
}

// work runs what goes on beside the calls, until the function that it gives is called: what people agree to is run, the
// inbox is served where this process does not serve it already, and notices are sent.
func (c *connected) work(served bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	who := &authenticator{ledger: c.runner.Gate.Ledger, book: c.book, runnerFor: c.runnerFor}
	executor := &policy.Executor{Ledger: c.runner.Gate.Ledger, Watch: c.host.inbox.Watch, Log: c.log,
		GateFor: func(ctx context.Context, q ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
			return c.gateFor(ctx, who, q)
		}}
	wg.Go(func() { executor.Run(ctx) })
	if !served {
		wg.Go(func() { c.host.run(ctx) })
	}
	if c.host.notify != nil {
		wg.Go(func() { c.host.notify.Run(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// gateFor gives the gate and the caller of a question that somebody agreed to: they may do now what they may do now, not what
// they could when they asked.
func (c *connected) gateFor(ctx context.Context, who *authenticator, q ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
	gate, caller := c.runner.Gate, policy.Caller{Actor: q.Requester, ID: q.Person, Person: q.Person, Client: q.Client}
	if q.Credential != "" {
		t, err := liveToken(ctx, who.ledger, q.Credential)
		if err != nil {
			return nil, caller, err
		}
		named, err := who.caller(t)
		if err != nil {
			return nil, caller, err
		}
		if named.Runner != nil {
			gate = named.Runner.Gate
		}
		named.Client, named.Actor = q.Client, q.Requester
		caller = named.Caller
	}
	// Where whoever asked has ended, a process with another policy must not void what one with the same can still run.
	if gate.Organisation != q.Organisation || q.Orphaned && gate.Policy.For(caller).Version() != q.Policy {
		return nil, caller, policy.ErrElsewhere
	}
	return gate, caller, nil
}

func liveToken(ctx context.Context, l ledger.Ledger, id string) (ledger.Token, error) {
	all, err := l.Tokens(ctx)
	if err != nil {
		return ledger.Token{}, err
	}
	for _, t := range all {
		if t.ID == id && t.Live(time.Now()) {
			return t, nil
		}
	}
	return ledger.Token{}, fmt.Errorf("the token %s of whoever asked is not good any more", id)
}
