package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// newInboxHost returns the inbox of the connection, which is not served yet.
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

// work starts what runs beside the calls: the executor of approved requests, the webhook's notices,
// and the inbox unless the server serves it. It returns the function that stops all of it.
func (c *connected) work(inboxServed bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	executor := &policy.Executor{Ledger: c.auth.ledger, Watch: c.host.inbox.Watch, Log: c.log, GateFor: c.auth.gateFor}
	wg.Go(func() { executor.Run(ctx) })
	if !inboxServed {
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
