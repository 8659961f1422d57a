package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// Host makes the inbox available to the people of this process, and shows the person at this
// machine each new request. An HTTP server serves the inbox at its own URL: see [Host.SetURL].
// Any other process serves it on the fixed port of the state directory: see [Host.Run]. Of the
// processes of a state directory one serves it at a time.
type Host struct {
	o HostOptions

	// address is where this machine reaches the inbox, such as http://127.0.0.1:8766, or a server's
	// own URL; nil while it is not served.
	address atomic.Pointer[string]
	serving atomic.Bool   // this process serves the inbox
	late    atomic.Bool   // nobody served it within servedWithin, so that nobody waits for it again
	needed  chan struct{} // holds a signal after somebody needs the inbox

	mu     sync.Mutex
	opened time.Time // when the browser was last opened
}

// HostOptions are the parts that a Host connects. All but those marked optional are required.
type HostOptions struct {
	Ledger *ledger.SQLite
	Inbox  *Inbox
	// Notifier, if not nil, sends a notice for each new request.
	Notifier *Notifier
	// OpenURL opens the browser of the person at this machine; nil if it must not be opened. See
	// Browser.
	OpenURL func(url string) error
	// Addr is the address to listen at, and the only one; empty for the fixed port.
	Addr string
	// Listen listens at an address, and returns an error if it may not. Serve serves the handler until
	// ctx ends.
	Listen func(addr string) (net.Listener, error)
	Serve  func(ctx context.Context, ln net.Listener, h http.Handler) error
	// Person is the name of the person at this machine, Operator how records name them.
	Person   string
	Operator ledger.Actor
	// Terminal, if not nil, is a terminal that the person reads. Links with a login code are
	// printed there. Any other output may end up in a log, which must not contain one.
	Terminal io.Writer
	// LoginCommand is the command that prints a login link, for the log.
	LoginCommand string
	Log          *slog.Logger
}

// NewHost returns a host that serves nothing yet. It sets Inbox.Open and Notifier.Inbox.
func NewHost(o HostOptions) *Host {
	h := &Host{o: o, needed: make(chan struct{}, 1)}
	if o.OpenURL != nil {
		o.Inbox.Open = func(path string) error { return o.OpenURL(h.base() + path) }
	}
	if o.Notifier != nil {
		o.Notifier.Inbox = h.URL
	}
	return h
}

const (
	// openEvery is the least time between two openings of the browser, while no page is open.
	openEvery = 15 * time.Second
	// needPollEvery is how often a process that does not serve the inbox checks whether one is
	// needed.
	needPollEvery = time.Second
	// servedWithin is how long a new request waits for the inbox to be served.
	servedWithin = 3 * time.Second
	// servedPollEvery is how often it checks meanwhile.
	servedPollEvery = 20 * time.Millisecond
)

// URL returns the address of the page; empty while it is unknown.
func (h *Host) URL() string {
	if base := h.base(); base != "" {
		return base + Path
	}
	return ""
}

// base returns the URL under which people reach the inbox, such as https://mcp.example.com; empty
// while it is unknown.
func (h *Host) base() string {
	if h.o.Inbox.Public != nil {
		return h.o.Inbox.Public.String()
	}
	if address := h.address.Load(); address != nil {
		return *address
	}
	return ""
}

// SetURL is for a server that serves the inbox itself. base is its URL, such as
// https://mcp.example.com.
func (h *Host) SetURL(base string) {
	h.address.Store(&base)
	h.serving.Store(true)
}

// Need makes Run serve the inbox as soon as it can.
func (h *Host) Need() {
	select {
	case h.needed <- struct{}{}:
	default:
	}
}

// Link returns the address of a request's page; empty if the inbox is not served, for which it waits
// a few seconds once. It holds no secret; its reader must log in.
func (h *Host) Link(id string) string {
	if !h.awaitServed() {
		return ""
	}
	return h.base() + requestPath + id
}

// awaitServed reports whether the inbox was served. It waits a few seconds for that, but if it was in
// vain once, calls must not wait again: there can be many.
func (h *Host) awaitServed() bool {
	if h.address.Load() != nil {
		return true
	}
	h.Need()
	for end := time.Now().Add(servedWithin); time.Now().Before(end) && !h.late.Load(); time.Sleep(servedPollEvery) {
		if h.address.Load() != nil {
			return true
		}
	}
	h.late.Store(true)
	return false
}

// Show sends the notice of a request and shows it to the person at this machine, unless a page is
// open, a token identifies the caller, or quiet is true. It opens the browser, or else prints a
// link.
func (h *Host) Show(c policy.Caller, p *policy.PendingApproval, quiet bool) {
	known := h.awaitServed() // before the notice, which contains the address
	if h.o.Notifier != nil {
		h.o.Notifier.Requested(p)
	}
	if c.Credential != "" || !known || quiet {
		return
	}
	pages, err := h.ownPages()
	if err == nil && pages > 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.o.OpenURL != nil {
		if time.Since(h.opened) < openEvery {
			return
		}
		if err := h.open(p.ApprovalID); err == nil {
			h.opened = time.Now()
			return
		} else {
			h.o.Log.Warn("the browser could not be opened", "cause", err)
		}
	}
	h.printLink(p.ApprovalID, err == nil)
}

// errNoBrowser is the error of OpenPage if no browser is to be opened.
var errNoBrowser = errors.New("there is no browser to open")

// OpenPage opens the browser, logged in, at the page of pending requests.
func (h *Host) OpenPage() error {
	if h.o.OpenURL == nil {
		return errNoBrowser
	}
	if !h.awaitServed() {
		return errNotServed
	}
	if _, err := h.ownPages(); err != nil {
		return err
	}
	return h.open("")
}

var errNotServed = errors.New("the inbox is not served")

// ownPages returns how many pages are open, after it made sure that the ledger's own inbox is
// served at the address. The process that served it may have ended a moment ago, and another
// program that took the port must not get a login code.
func (h *Host) ownPages() (pages int, err error) {
	for end := time.Now().Add(servedWithin); ; time.Sleep(servedPollEvery) {
		if pages, err = h.pages(); err == nil || time.Now().After(end) {
			return pages, err
		}
		h.Need()
	}
}

// pages returns how many pages are open. It returns an error if the inbox is not served.
func (h *Host) pages() (int, error) {
	if h.serving.Load() {
		return h.o.Inbox.Pages(), nil
	}
	return CheckOwner(context.Background(), h.o.Ledger, *h.address.Load())
}

// open opens the browser with a login code, at the request with the id if there is one.
func (h *Host) open(id string) error {
	code, err := h.code(ledger.OpenCode, OpenFor)
	if err != nil {
		return err
	}
	return h.o.OpenURL(h.enterURL(code, id))
}

// enterURL returns the address that logs in with a code and then shows the request with the id, if
// there is one.
func (h *Host) enterURL(code, id string) string {
	url := h.base() + enterPath + code
	if id != "" {
		url += "?approval=" + id
	}
	return url
}

func (h *Host) code(kind ledger.LoginKind, lasts time.Duration) (string, error) {
	login := ledger.Login{Kind: kind, Person: h.o.Person, Local: true, Expires: time.Now().Add(lasts)}
	return h.o.Ledger.CreateLogin(context.Background(), login, h.o.Operator)
}

// printLink prints where a request is pending. On a terminal the link has a login code, if the
// inbox at the address is known to be the ledger's own.
func (h *Host) printLink(id string, own bool) {
	if h.o.Terminal != nil && own {
		if code, err := h.code(ledger.LinkCode, LinkFor); err == nil {
			fmt.Fprintf(h.o.Terminal, "A request waits for you: %s\n", h.enterURL(code, id))
			return
		}
	}
	h.o.Log.Warn("a request waits for a person", "link", h.Link(id), "login", h.o.LoginCommand)
}

// Run serves the inbox on the fixed port as soon as a request is pending, or after Need, until ctx
// ends. While another process serves it, Run waits for that process to end.
func (h *Host) Run(ctx context.Context) {
	needed, seen, fault := false, int64(-1), ""
	poll := time.NewTicker(needPollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-h.needed:
			needed = true
		case <-poll.C:
		}
		if ctx.Err() != nil {
			return
		}
		if !needed { // another process may have made a request, and ended
			version, err := h.o.Ledger.ApprovalsVersion(ctx)
			if err != nil || version == seen {
				continue
			}
			open, err := h.o.Ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true, Limit: 1})
			if err != nil {
				continue
			}
			if len(open) == 0 {
				seen = version
				continue
			}
			// While a request is pending, every poll checks: no version changes when the process
			// that serves it ends.
		}
		ln, addr, err := h.listen(ctx)
		if err != nil {
			if err.Error() != fault {
				h.o.Log.Warn("the inbox cannot be served; retrying", "cause", err)
			}
			fault = err.Error()
			continue
		}
		fault = ""
		address := "http://" + addr
		h.address.Store(&address)
		if ln == nil {
			continue // another process serves it
		}
		needed = true
		h.serve(ctx, ln)
	}
}

func (h *Host) serve(ctx context.Context, ln net.Listener) {
	h.serving.Store(true)
	defer h.serving.Store(false)
	h.o.Log.Info("serving the inbox", "at", h.URL(), "listening", ln.Addr().String())
	if err := h.o.Serve(ctx, ln, h.o.Inbox.Handler()); err != nil && ctx.Err() == nil {
		h.o.Log.Warn("serving the inbox failed; retrying", "cause", err)
	}
}
