package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// inboxHost is where the people of this process answer: on the server's own address, where it serves HTTP, else on the fixed
// port of the state directory, which is served by whichever of its processes is there first.
type inboxHost struct {
	program *program
	ledger  *ledger.SQLite
	dir     string // of the ledger
	inbox   *inbox.Inbox
	notify  *inbox.Notifier // nil where nobody is notified
	log     *slog.Logger
	// noBrowser prints the link and opens nothing.
	noBrowser bool
	// same are the flags with which another command asks the same ledger.
	same string

	public  atomic.Pointer[string] // such as https://mcp.example.com; nil while nobody knows
	serving atomic.Bool            // this process serves it
	needed  chan struct{}          // holds one once it is

	mu     sync.Mutex
	opened time.Time // the browser, last
}

// addressFile holds, in a ledger's folder, the address of its inbox on this machine: once chosen it stays the same.
const addressFile = "inbox"

const (
	firstPort = 8766
	// openEvery is how soon after opening the browser it may be opened again, while no page has come to look.
	openEvery = 15 * time.Second
	// needPollEvery is how often a process that serves no inbox looks whether one is missing.
	needPollEvery = time.Second
	// servedWithin is how long a question waits for the inbox to be served.
	servedWithin = 3 * time.Second
)

// link is where a question is answered; it holds no secret, and needs a login.
func (l *inboxHost) link(id string) string {
	base := l.public.Load()
	if base == nil {
		l.requestServing()
		for end := time.Now().Add(servedWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if base = l.public.Load(); base != nil {
				break
			}
		}
	}
	if base == nil {
		return ""
	}
	return *base + inbox.Path + "/q/" + id
}

func (l *inboxHost) requestServing() {
	select {
	case l.needed <- struct{}{}:
	default:
	}
}

// requested is told of each new question: the person at this machine is shown it.
func (l *inboxHost) requested(c policy.Caller, q *policy.PendingApproval) {
	l.link(q.ApprovalID) // first, because a notice names the address
	if l.notify != nil {
		l.notify.Requested(q)
	}
	if c.Credential != "" || l.public.Load() == nil {
		return
	}
	pages, err := l.reachablePages()
	if err == nil && pages > 0 {
		return // somebody looks
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.noBrowser && canOpen(l.program.env) {
		if time.Since(l.opened) < openEvery {
			return
		}
		if err := l.open(inbox.Path+"/enter/", q.ApprovalID); err == nil {
			l.opened = time.Now()
			return
		} else {
			l.log.Warn("the browser could not be opened", "cause", err)
		}
	}
	l.printLink(q.ApprovalID, err == nil)
}

// reachablePages gives how many pages look at the inbox, once it is certain that it is this ledger's that is served there: the
// process that served it may have ended a moment ago, and whoever has taken its port must not be given a code.
func (l *inboxHost) reachablePages() (pages int, err error) {
	for end := time.Now().Add(servedWithin); ; time.Sleep(20 * time.Millisecond) {
		if pages, err = l.pages(); err == nil || time.Now().After(end) {
			return pages, err
		}
		l.requestServing()
	}
}

// open opens the browser with a code that lets it in once.
func (l *inboxHost) open(path, id string) error {
	code, err := l.code(ledger.OpenCode, inbox.OpenFor)
	if err != nil {
		return err
	}
	url := *l.public.Load() + path + code
	if id != "" {
		url += "?q=" + id
	}
	return openURL(l.program.env, url)
}

func (l *inboxHost) code(kind ledger.LoginKind, lasts time.Duration) (string, error) {
	return l.ledger.CreateLogin(context.Background(), ledger.Login{Kind: kind, Person: me(), Local: true, Expires: time.Now().Add(lasts)}, operator())
}

// printLink prints where the question waits: on a terminal, where the inbox is known to be ours, with a code that lets its reader
// in once; elsewhere what is printed is kept in a log, which must hold none.
func (l *inboxHost) printLink(id string, ours bool) {
	if l.program.errTerminal && ours {
		if code, err := l.code(ledger.LinkCode, inbox.LinkFor); err == nil {
			fmt.Fprintf(l.program.err, "A question waits for you: %s%s/enter/%s?q=%s\n", *l.public.Load(), inbox.Path, code, id)
			return
		}
	}
	l.log.Warn("a question waits for a person", "link", l.link(id), "login", "sippet-mcp inbox login"+l.same)
}

// serveOn puts the inbox on a server's own address.
func (l *inboxHost) serveOn(h *serve.HTTP, ln net.Listener) {
	base := baseOf(h, ln)
	l.public.Store(&base)
	l.serving.Store(true)
	l.inbox.LoginCommand = "sippet-mcp inbox login --url " + base
	if l.inbox.Simulated {
		l.inbox.LoginCommand += " --sandbox"
	}
	l.inbox.Secure = h.Certificate != nil || len(h.Proxies) > 0
	h.Inbox = l.inbox.Handler()
}

// run serves the inbox of the state directory as soon as it is needed, unless another process does, until ctx ends.
func (l *inboxHost) run(ctx context.Context) {
	wanted, seen := false, int64(-1)
	again := time.NewTicker(needPollEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-l.needed:
			wanted = true
		case <-again.C:
		}
		if ctx.Err() != nil {
			return
		}
		if !wanted { // but others may have asked, and ended
			now, err := l.ledger.ApprovalsVersion(ctx)
			if err != nil || now == seen {
				continue
			}
			open, err := l.ledger.Approvals(ctx, ledger.ApprovalFilter{Open: true, Inbox: true, Limit: 1})
			if err != nil {
				continue
			}
			if len(open) == 0 {
				seen = now
				continue
			}
			// While one waits the next look is due whatever changes: nobody tells when the process that serves it has ended.
		}
		ln, err := l.listen(ctx)
		if err != nil {
			l.log.Warn("the inbox cannot be served; it is tried again", "cause", err)
			continue
		}
		if ln == nil {
			continue // somebody else does
		}
		wanted = true
		l.serve(ctx, ln)
	}
}

func (l *inboxHost) serve(ctx context.Context, ln net.Listener) {
	l.serving.Store(true)
	defer l.serving.Store(false)
	l.log.Info("the inbox is served", "at", "http://"+ln.Addr().String()+inbox.Path)
	if err := (&serve.HTTP{Inbox: l.inbox.Handler(), Log: l.log}).Serve(ctx, ln); err != nil && ctx.Err() == nil {
		l.log.Warn("the inbox is not served any more; it is tried again", "cause", err)
	}
}

// listen opens the fixed port. Without an error and a listener another process of the same ledger serves there.
func (l *inboxHost) listen(ctx context.Context) (net.Listener, error) {
	fixed, err := os.ReadFile(filepath.Join(l.dir, addressFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if addr := strings.TrimSpace(string(fixed)); addr != "" {
		ln, err := serve.Listen(addr)
		if err == nil {
			l.setAddress(addr)
			return ln, nil
		}
		if l.servedByUs(ctx, addr) {
			l.setAddress(addr)
			return nil, nil
		}
		l.log.Warn("another program holds the port of the inbox, so it gets another one", "address", addr, "cause", err)
	}
	for port := firstPort; port < firstPort+200; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := serve.Listen(addr)
		if err != nil {
			continue
		}
		if err := l.writeAddress(addr, string(fixed)); err != nil {
			ln.Close()
			return nil, err
		}
		l.setAddress(addr)
		return ln, nil
	}
	return nil, fmt.Errorf("no port from %d on is free", firstPort)
}

// writeAddress writes the address down, unless another process has written another one meanwhile.
func (l *inboxHost) writeAddress(addr, was string) error {
	path := filepath.Join(l.dir, addressFile)
	temp := path + "." + ledger.NewID()
	if err := os.WriteFile(temp, []byte(addr+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(temp)
	if was == "" {
		if err := os.Link(temp, path); err == nil || !errors.Is(err, fs.ErrExist) {
			if err == nil {
				return nil
			}
			return os.Rename(temp, path) // a file system without links
		}
		return errors.New("another process has just chosen a port")
	}
	return os.Rename(temp, path)
}

func (l *inboxHost) setAddress(addr string) {
	base := "http://" + addr
	l.public.Store(&base)
}

// servedByUs reports whether it is this ledger's inbox that listens there: only its processes know the answer.
func (l *inboxHost) servedByUs(ctx context.Context, addr string) bool {
	_, err := checkOwner(ctx, l.ledger, "http://"+addr)
	return err == nil
}

// pages is how many pages of the inbox are open; an error where it is not served.
func (l *inboxHost) pages() (int, error) {
	if l.serving.Load() {
		return l.inbox.Pages(), nil
	}
	return checkOwner(context.Background(), l.ledger, *l.public.Load())
}

var errNotOurs = errors.New("it is not the inbox of this state directory")

// checkOwner asks the inbox at an address to prove whose it is, and how many pages look at it. Its error is errNotOurs where
// somebody else answers.
func checkOwner(ctx context.Context, led ledger.Ledger, base string) (pages int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var random [16]byte
	rand.Read(random[:])
	nonce := hex.EncodeToString(random[:])
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+inbox.Path+"/whose?nonce="+nonce, nil)
	if err != nil {
		return 0, err
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var w inbox.Owner
	if err := json.NewDecoder(io.LimitReader(res.Body, 1000)).Decode(&w); err != nil || w.Proof != inbox.Proof(led, strings.TrimPrefix(base, "http://"), nonce) {
		return 0, errNotOurs
	}
	return w.Pages, nil
}
