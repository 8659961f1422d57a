package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

// newInboxHost returns the inbox of the connection and its host. Nothing is served yet.
func (o *connection) newInboxHost(p *program, store *ledger.SQLite, log *slog.Logger) (*inboxHost, error) {
	watch := &approval.Watcher{Ledger: store, Log: log}
	login := "sippet-mcp inbox login" + (&ledgerOptions{o.stateDir, o.sandbox}).same()
	box := &inbox.Inbox{Approvals: &approval.Approvals{Ledger: store, Watch: watch, Now: time.Now}, Ledger: store, Watch: watch,
		Simulated: o.sandbox, LoginCommand: login, Now: time.Now, Log: log}
	notifier, err := o.newNotifier(p, store, watch, log)
	if err != nil {
		return nil, err
	}
	options := inbox.HostOptions{Ledger: store, Inbox: box, Notifier: notifier, Listen: serve.Listen,
		Serve: func(ctx context.Context, ln net.Listener, h http.Handler) error {
			return (&serve.HTTP{Inbox: h, Log: log}).Serve(ctx, ln)
		},
		Person: me(), Operator: operator(), LoginCommand: login, Log: log}
	if !o.noBrowser {
		options.OpenURL = inbox.Browser(p.env)
	}
	if p.errTerminal {
		options.Terminal = p.err
	}
	return &inboxHost{inbox.NewHost(options), box, notifier}, nil
}

// inboxHost is a host with its parts.
type inboxHost struct {
	*inbox.Host
	inbox    *inbox.Inbox
	notifier *inbox.Notifier // nil without SIPPET_NOTIFY_URL
}

// serveOn serves the inbox on a server's own address.
func (h *inboxHost) serveOn(s *serve.HTTP, ln net.Listener) {
	base := baseOf(s, ln)
	h.SetURL(base)
	h.inbox.LoginCommand = "sippet-mcp inbox login --url " + base
	if h.inbox.Simulated {
		h.inbox.LoginCommand += " --sandbox"
	}
	h.inbox.Secure = s.Certificate != nil || len(s.Proxies) > 0
	s.Inbox = h.inbox.Handler()
}

func (o *connection) newNotifier(p *program, store *ledger.SQLite, watch *approval.Watcher, log *slog.Logger) (*inbox.Notifier, error) {
	address := p.env("SIPPET_NOTIFY_URL")
	if address == "" {
		return nil, nil
	}
	n, err := inbox.NewNotifier(address, p.env("SIPPET_NOTIFY_SECRET"))
	if err != nil {
		return nil, err
	}
	n.Ledger, n.Watch, n.Simulated, n.Log = store, watch, o.sandbox, log
	return n, nil
}
