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
	public, err := o.public()
	if err != nil {
		return nil, err
	}
	if err := o.checkInboxAddr(public); err != nil {
		return nil, err
	}
	watch := &approval.Watcher{Ledger: store, Log: log}
	login := "sippet-mcp inbox login"
	if public != nil {
		login += " --url " + public.String()
	}
	login += (&ledgerOptions{o.stateDir, o.sandbox}).same()
	box := &inbox.Inbox{Approvals: &approval.Approvals{Ledger: store, Watch: watch, Now: time.Now}, Ledger: store, Watch: watch,
		Simulated: o.sandbox, Public: public, Secure: public != nil && public.Scheme == "https", LoginCommand: login, Now: time.Now, Log: log}
	notifier, err := o.newNotifier(p, store, watch, log)
	if err != nil {
		return nil, err
	}
	options := inbox.HostOptions{Ledger: store, Inbox: box, Notifier: notifier, Addr: o.inboxAddr,
		Listen: (&serve.HTTP{Public: public}).Listen,
		Serve: func(ctx context.Context, ln net.Listener, h http.Handler) error {
			return (&serve.HTTP{Inbox: h, Public: public, Log: log}).Serve(ctx, ln)
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
	if s.Public == nil {
		h.inbox.Secure = s.Certificate != nil || len(s.Proxies) > 0
	}
	s.Inbox = h.inbox.Handler()
}

// announce logs where the inbox can be reached. Unless its address was chosen by a flag, it is
// served from the first request on.
func (h *inboxHost) announce(ctx context.Context, o *connection, log *slog.Logger) {
	at, err := h.Decide(ctx)
	switch {
	case err != nil:
		log.Warn("the inbox has no address yet; the first request chooses one", "cause", err)
	case o.inboxAddr != "" || o.publicURL != "":
		h.Need()
		log.Info("the inbox is at this address", "at", at, "login", h.inbox.LoginCommand)
	default:
		log.Info("the inbox is at this address as soon as a request waits for a person", "at", at, "login", h.inbox.LoginCommand)
	}
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
