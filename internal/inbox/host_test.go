package inbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// member is one of the processes that use a state directory, as far as the inbox is concerned.
type member struct {
	*inbox.Host
	t      *testing.T
	ledger *ledger.SQLite
	log    *buffer
	opened *urls
	stop   func()
}

// urls are those with which the browser was opened.
type urls struct {
	mu  sync.Mutex
	all []string
}

func (u *urls) open(url string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, url)
	return nil
}

func (u *urls) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.all...)
}

// stateDir returns a state directory and the address that its inbox is to have.
func stateDir(t *testing.T) (dir, addr string) {
	t.Helper()
	dir = t.TempDir()
	for range 100 {
		addr = fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		ln.Close()
		if err := os.WriteFile(filepath.Join(dir, inbox.AddressFile), []byte(addr+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, addr
	}
	t.Fatal("no port is free")
	return "", ""
}

// newMember returns a process of the state directory, which runs. change, if not nil, changes its
// options.
func newMember(t *testing.T, dir string, change func(*inbox.HostOptions)) *member {
	t.Helper()
	m := &member{t: t, ledger: ledgertest.Open(t, ledger.Options{Dir: dir}), log: &buffer{}, opened: &urls{}}
	log := slog.New(slog.NewTextHandler(m.log, nil))
	watch := &approval.Watcher{Ledger: m.ledger, Log: log}
	box := &inbox.Inbox{Approvals: &approval.Approvals{Ledger: m.ledger, Watch: watch, Now: time.Now}, Ledger: m.ledger, Watch: watch,
		LoginCommand: "sippet-mcp inbox login", Now: time.Now, Log: log}
	o := inbox.HostOptions{Ledger: m.ledger, Inbox: box, OpenURL: m.opened.open, Listen: serve.Listen,
		Serve: func(ctx context.Context, ln net.Listener, h http.Handler) error {
			return (&serve.HTTP{Inbox: h, Log: log}).Serve(ctx, ln)
		},
		Person: "ada", Operator: ledger.Actor{Name: "ada", Via: "stdio"}, LoginCommand: "sippet-mcp inbox login", Log: log}
	if change != nil {
		change(&o)
	}
	m.Host = inbox.NewHost(o)
	m.run()
	return m
}

// run runs the member until stop.
func (m *member) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { m.Run(ctx); close(ended) }()
	var once sync.Once
	m.stop = func() { once.Do(func() { cancel(); <-ended }) }
	m.t.Cleanup(func() { m.stop() })
}

// request makes a request of a program of the member, and returns its id.
func (m *member) request() string {
	m.t.Helper()
	card := approval.Card{Action: "delete_contact", Class: schemas.Destructive, Needs: "confirm", Title: "Erase the contact.", Expires: time.Now().Add(time.Hour)}
	raw, err := json.Marshal(card)
	if err != nil {
		m.t.Fatal(err)
	}
	r := ledger.ApprovalRequest{ID: ledger.NewID(), Requester: ledger.Actor{Name: "ada", Via: "stdio"}, Person: "ada", Action: card.Action, Hash: ledger.NewID(), EffectKey: ledger.NewID(),
		Policy: "v1", Needs: card.Needs, Payload: []byte(`{"action":"delete_contact"}`), Card: raw, Expires: card.Expires}
	if err := m.ledger.CreateApproval(m.t.Context(), r); err != nil {
		m.t.Fatal(err)
	}
	m.Show(policy.Caller{Actor: r.Requester, Person: "ada"}, &policy.PendingApproval{ApprovalID: r.ID, Card: card, New: true}, false)
	return r.ID
}

// base returns the base URL of the page of a request.
func (m *member) base(id string) string {
	m.t.Helper()
	link := m.Link(id)
	base, found := strings.CutSuffix(link, "/inbox/approvals/"+id)
	if !found {
		m.t.Fatalf("the link of %s is %q", id, link)
	}
	return base
}

// codeOf returns the login code of a URL.
func codeOf(t *testing.T, url string) string {
	t.Helper()
	_, rest, found := strings.Cut(url, inbox.Path+"/enter/")
	code, _, _ := strings.Cut(rest, "?")
	if !found || len(code) < 40 {
		t.Fatalf("%q has no code", url)
	}
	return code
}

// otherProgram is another program at an address. It answers everything, and records what it gets.
type otherProgram struct {
	mu   sync.Mutex
	seen bytes.Buffer
	// forward, if not nil, answers instead.
	forward http.Handler
}

func (f *otherProgram) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(&f.seen, r.Method, r.URL)
	_ = r.Header.Write(&f.seen)
	_, _ = f.seen.ReadFrom(r.Body)
	if f.forward != nil {
		f.forward.ServeHTTP(w, r)
		return
	}
	fmt.Fprint(w, `{"proof":"0000","pages":0}`)
}

func (f *otherProgram) requests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen.String()
}

// listen makes it listen at the address, which must be free, until the server is closed.
func (f *otherProgram) listen(t *testing.T, addr string) *httptest.Server {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// TestHostTakeOver: of two processes one serves the inbox. When it ends, the other one serves it at
// the same address.
func TestHostTakeOver(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	first, second := newMember(t, dir, nil), newMember(t, dir, nil)
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Fatal("an inbox is served without a request")
	}
	id := first.request()
	if base := first.base(id); base != "http://"+addr {
		t.Fatalf("the inbox is at %s, want %s", base, addr)
	}
	if base := second.base(id); base != "http://"+addr || strings.Contains(second.log.String(), "serving the inbox") {
		t.Errorf("the second process has the inbox at %s; its log: %s", base, second.log)
	}
	first.stop()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := inbox.CheckOwner(t.Context(), second.ledger, "http://"+addr); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the second process does not take over: %v; its log: %s", err, second.log)
		}
	}
	if url := second.URL(); url != "http://"+addr+"/inbox" {
		t.Errorf("the inbox is at %s", url)
	}
}

// TestHostPortInUse: another program uses the port. The inbox gets another one, and the other
// program gets no code.
func TestHostPortInUse(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	f := &otherProgram{}
	f.listen(t, addr)
	m := newMember(t, dir, nil)
	id := m.request()
	base := m.base(id)
	fixed, err := os.ReadFile(filepath.Join(dir, inbox.AddressFile))
	if err != nil || base == "http://"+addr || base != "http://"+strings.TrimSpace(string(fixed)) {
		t.Errorf("the inbox is at %s, and the file has %s (%v)", base, fixed, err)
	}
	if local, err := inbox.LocalURL(dir); err != nil || local != base {
		t.Errorf("the local URL is %s, %v", local, err)
	}
	if !strings.Contains(m.log.String(), "another program uses the port of the inbox") {
		t.Errorf("the log: %s", m.log)
	}
	all := m.opened.list()
	if len(all) != 1 || !strings.HasPrefix(all[0], base+"/inbox/enter/") || !strings.HasSuffix(all[0], "?approval="+id) {
		t.Fatalf("the browser was opened with %q", all)
	}
	code := codeOf(t, all[0])
	m.stop()
	if strings.Contains(m.log.String(), code) {
		t.Error("the code is in the log")
	}
	if found := holding(t, dir, code); len(found) > 0 {
		t.Errorf("the code is in %q", found)
	}
	got := f.requests()
	if n := strings.Count(got, "GET "); n == 0 || n != strings.Count(got, "GET /inbox/owner?") || strings.Contains(got, "POST") || strings.Contains(got, code) || strings.Contains(got, id) {
		t.Errorf("the other program got: %s", got)
	}
}

// TestHostPortTaken: another program takes the port between two processes of ours. It gets no code.
func TestHostPortTaken(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	first, second := newMember(t, dir, nil), newMember(t, dir, nil)
	first.request()
	leave := first.visible(t)
	// The second process learns the address. It opens no browser, because a page is open.
	id := second.request()
	if base := second.base(id); base != "http://"+addr {
		t.Fatalf("the inbox is at %s", base)
	}
	if all := second.opened.list(); len(all) > 0 {
		t.Errorf("the browser was opened although a page is open: %q", all)
	}
	leave()
	second.stop() // so that it does not take over
	first.stop()
	f := &otherProgram{}
	f.listen(t, addr)
	second.run()
	id = second.request()
	base := second.base(id)
	if base == "http://"+addr {
		t.Errorf("the link leads to the other program: %s", base)
	}
	if all := second.opened.list(); len(all) != 1 || !strings.HasPrefix(all[0], base+"/") {
		t.Errorf("the browser was opened with %q, and the inbox is at %s", all, base)
	}
	if got := f.requests(); strings.Contains(got, "/enter/") {
		t.Errorf("the other program got a code: %s", got)
	}
}

// visible opens the page of pending requests, until the returned function is called.
func (m *member) visible(t *testing.T) (leave func()) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	all := m.opened.list()
	if len(all) != 1 {
		t.Fatalf("the browser was opened with %q", all)
	}
	entered, err := client.Get(all[0])
	if err != nil || len(entered.Cookies()) != 1 {
		t.Fatalf("no login: %v %+v", err, entered)
	}
	entered.Body.Close()
	r, err := http.NewRequest("GET", m.URL()+"/events?seen=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(entered.Cookies()[0])
	stream, err := client.Do(r)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("no stream: %v %+v", err, stream)
	}
	return func() { stream.Body.Close() }
}

// TestOwnerProofForwarded: a program that forwards the nonce to the real inbox does not pass for
// it, because the proof depends on the address.
func TestOwnerProofForwarded(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	m := newMember(t, dir, nil)
	m.base(m.request())
	if _, err := inbox.CheckOwner(t.Context(), m.ledger, "http://"+addr); err != nil {
		t.Fatal(err)
	}
	f := &otherProgram{forward: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get("http://" + addr + r.URL.RequestURI())
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(w, res.Body)
	})}
	s := httptest.NewServer(f)
	defer s.Close()
	if _, err := inbox.CheckOwner(t.Context(), m.ledger, s.URL); !errors.Is(err, inbox.ErrNotOwner) {
		t.Errorf("the forwarded proof: %v", err)
	}
	if got := f.requests(); !strings.Contains(got, "GET /inbox/owner?") {
		t.Errorf("it was not asked for a proof: %s", got)
	}
	// An inbox of another state directory has another secret.
	otherDir, other := stateDir(t)
	o := newMember(t, otherDir, nil)
	o.base(o.request())
	if _, err := inbox.CheckOwner(t.Context(), m.ledger, "http://"+other); !errors.Is(err, inbox.ErrNotOwner) {
		t.Errorf("the inbox of another state directory: %v", err)
	}
}

// TestHostLink: without a browser the link is printed. It has a login code on a terminal only.
func TestHostLink(t *testing.T) {
	t.Parallel()
	for _, onTerminal := range []bool{true, false} {
		t.Run(fmt.Sprintf("terminal=%t", onTerminal), func(t *testing.T) {
			t.Parallel()
			dir, addr := stateDir(t)
			terminal := &buffer{}
			m := newMember(t, dir, func(o *inbox.HostOptions) {
				o.OpenURL = nil
				if onTerminal {
					o.Terminal = terminal
				}
			})
			id := m.request()
			if err := m.OpenPage(); err == nil {
				t.Error("a browser was opened")
			}
			printed, log := terminal.String(), m.log.String()
			if onTerminal {
				codeOf(t, printed)
				if !strings.HasPrefix(printed, "A request waits for you: http://"+addr+"/inbox/enter/") || !strings.HasSuffix(printed, "?approval="+id+"\n") {
					t.Errorf("printed: %s", printed)
				}
			}
			if strings.Contains(log, "/enter/") || !onTerminal && (printed != "" || !strings.Contains(log, "http://"+addr+"/inbox/approvals/"+id) || !strings.Contains(log, "sippet-mcp inbox login")) {
				t.Errorf("printed: %s; the log: %s", printed, log)
			}
			// A caller with a token is another person than the one at this machine.
			before := len(m.log.String()) + len(terminal.String())
			m.Show(policy.Caller{Person: "bob", Credential: "t1"}, &policy.PendingApproval{ApprovalID: ledger.NewID()}, false)
			if after := len(m.log.String()) + len(terminal.String()); after != before {
				t.Errorf("printed: %s; the log: %s", terminal, m.log)
			}
		})
	}
}

// TestHostAddr: with an address of its own the inbox is there, and nowhere else.
func TestHostAddr(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	if err := os.Remove(filepath.Join(dir, inbox.AddressFile)); err != nil {
		t.Fatal(err)
	}
	at := func(o *inbox.HostOptions) { o.Addr = addr }
	f := &otherProgram{}
	other := f.listen(t, addr)
	first := newMember(t, dir, at)
	first.Need()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(first.log.String(), "the inbox cannot be served"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log: %s", first.log)
		}
	}
	time.Sleep(2500 * time.Millisecond)
	if log := first.log.String(); strings.Count(log, "the inbox cannot be served") != 1 || strings.Contains(log, "serving the inbox") || !strings.Contains(log, "give another one with --inbox-addr") {
		t.Errorf("the log: %s", log)
	}
	if base, err := inbox.LocalURL(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an address was chosen: %s, %v", base, err)
	}
	other.Close()
	if base := first.base(first.request()); base != "http://"+addr {
		t.Errorf("the inbox is at %s, want %s", base, addr)
	}
	// Processes without the option use the same inbox.
	second := newMember(t, dir, nil)
	if base := second.base(second.request()); base != "http://"+addr || strings.Contains(second.log.String(), "serving the inbox") {
		t.Errorf("the inbox of another process is at %s: %s", base, second.log)
	}
	first.stop()
	if got := f.requests(); strings.Contains(got, "/enter/") {
		t.Errorf("the other program got a code: %s", got)
	}
}

// TestHostPublicURL: every address that is given out is the public one, while the processes of this
// machine find each other at the local one.
func TestHostPublicURL(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	public, err := url.Parse("https://ops.example.com/sippet")
	if err != nil {
		t.Fatal(err)
	}
	behind := func(o *inbox.HostOptions) { o.Inbox.Public, o.Inbox.Secure = public, true }
	first, second := newMember(t, dir, behind), newMember(t, dir, behind)
	if at, err := first.Decide(t.Context()); err != nil || at != "https://ops.example.com/sippet/inbox" {
		t.Errorf("decided: %s, %v", at, err)
	}
	id := first.request()
	want := "https://ops.example.com/sippet/inbox"
	if link := first.Link(id); link != want+"/approvals/"+id || first.URL() != want {
		t.Errorf("the link is %s, the page %s", link, first.URL())
	}
	if all := first.opened.list(); len(all) != 1 || !strings.HasPrefix(all[0], want+"/enter/") {
		t.Errorf("the browser was opened with %q", all)
	}
	second.request()
	if all := second.opened.list(); len(all) != 1 || !strings.HasPrefix(all[0], want+"/enter/") || strings.Contains(second.log.String(), "serving the inbox") {
		t.Errorf("the other process opened the browser with %q; its log: %s", all, second.log)
	}
	if local, err := inbox.LocalURL(dir); err != nil || local != "http://"+addr {
		t.Errorf("the local URL is %s, %v", local, err)
	}
}

// TestHostPublicStays: an inbox with a public URL does not move if another program takes its port. At
// another port it would prove itself to the pages for that program.
func TestHostPublicStays(t *testing.T) {
	t.Parallel()
	dir, addr := stateDir(t)
	public, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	other := (&otherProgram{}).listen(t, addr)
	m := newMember(t, dir, func(o *inbox.HostOptions) { o.Inbox.Public = public })
	id := m.request()
	if link := m.Link(id); link != "" || strings.Contains(m.log.String(), "serving the inbox") {
		t.Errorf("the link is %s; the log: %s", link, m.log)
	}
	if local, err := inbox.LocalURL(dir); err != nil || local != "http://"+addr {
		t.Errorf("the file has %s, %v", local, err)
	}
	other.Close()
	for end := time.Now().Add(10 * time.Second); m.Link(id) == "" && time.Now().Before(end); { // no call waits for it any more
		time.Sleep(20 * time.Millisecond)
	}
	if base := m.base(id); base != "http://"+addr {
		t.Errorf("the inbox is at %s", base)
	}
}

// TestHostDecide: the address is chosen before anything listens there, once for all processes of a
// state directory.
func TestHostDecide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 4 {
		m := newMember(t, dir, nil)
		wg.Go(func() {
			at, err := m.Decide(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[at] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Fatalf("decided: %v", seen)
	}
	for at := range seen {
		addr := strings.TrimSuffix(strings.TrimPrefix(at, "http://"), "/inbox")
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("something listens at %s", addr)
		}
		if local, err := inbox.LocalURL(dir); err != nil || local != "http://"+addr {
			t.Errorf("the file has %s, %v", local, err)
		}
	}
	m := newMember(t, dir, func(o *inbox.HostOptions) { o.Addr = "0.0.0.0:9000" })
	if at, err := m.Decide(t.Context()); err != nil || at != "http://127.0.0.1:9000/inbox" {
		t.Errorf("decided: %s, %v", at, err)
	}
}

// TestNobodyServes checks that calls wait for an inbox that cannot be served a few seconds in all, not
// a few seconds for each of their links.
func TestNobodyServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, began := inbox.NewHost(inbox.HostOptions{Inbox: &inbox.Inbox{}}), time.Now()
		for range 50 {
			if link := h.Link("1"); link != "" {
				t.Errorf("there is a link: %s", link)
			}
		}
		if waited := time.Since(began); waited > 5*time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}
