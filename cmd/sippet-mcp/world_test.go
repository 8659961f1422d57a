package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// world is a state directory with people who have tokens, before a recording upstream. Its programs run in processes of
// their own, also those that only look: this process would give away their locks.
type world struct {
	dir string
	up  *rpctest.Server
	// bob's program asks, ada answers.
	bob, ada string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: filepath.Join(t.TempDir(), "state"), up: rpctest.New(t)}
	w.bob, w.ada = w.token(t, "bob", "agent"), w.token(t, "ada", "approver")
	return w
}

// token makes a token and gives its secret.
func (w *world) token(t *testing.T, person, roles string) string {
	t.Helper()
	var made createdToken
	if err := json.Unmarshal(w.run(t, "tokens", "create", person, "--roles", roles), &made); err != nil {
		t.Fatal(err)
	}
	return made.Secret
}

// run is the program for a person, in a pipe.
func (w *world) run(t *testing.T, args ...string) []byte {
	t.Helper()
	c := command(append(args, "--state-dir", w.dir)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, errs.String())
	}
	return out
}

// start starts the program with the world's upstream, until the test ends. It must not complain.
func (w *world) start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	args = append(args, "--base-url", w.up.URL, "--state-dir", w.dir, "--log-level", "error")
	p, err := spawn(args, append([]string{"BROWSER=", "DISPLAY=", "WAYLAND_DISPLAY="}, env...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		<-p.ended
		if s := p.faults(); s != "" {
			t.Errorf("%v complained: %s", args, s)
		}
	})
	return p
}

// http starts a server that answers calls at once, and gives a client of bob's and ada's way to its inbox.
func (w *world) http(t *testing.T, args ...string) (*process, *modern, *answerer) {
	t.Helper()
	p := w.start(t, nil, append([]string{"http", "--addr", "127.0.0.1:0", "--approval-wait", "0s"}, args...)...)
	if err := p.listening(); err != nil {
		t.Fatalf("%v: %s", err, p.faults())
	}
	return p, w.caller(t, p.url), &answerer{strings.TrimSuffix(p.url, "/mcp"), w.ada}
}

// caller is bob's program at that address.
func (w *world) caller(t *testing.T, url string) *modern {
	m := &modern{url, &http.Client{Transport: bearer(w.bob), Timeout: 30 * time.Second}}
	t.Cleanup(m.http.CloseIdleConnections)
	return m
}

// stdio starts a server for one client, that of this machine's user, and gives the client. What it asks to erase somebody waits for another person.
func (w *world) stdio(t *testing.T, env []string, args ...string) (*process, *legacy) {
	t.Helper()
	p := w.start(t, env, append([]string{"stdio", "--policy", "team", "--approval-wait", "0s"}, args...)...)
	c, err := newLegacy(p, &crashWorld{t: t})
	if err != nil {
		t.Fatalf("%v: %s", err, p.faults())
	}
	return p, c
}

// erase asks to erase the n-th contact.
func erase(n int) string {
	return fmt.Sprintf(`{"input":{"contactId":"%s"}}`, rpctest.ID(n))
}

// tool calls a tool over stdio.
func (c *legacy) tool(t *testing.T, name, args string) *reply {
	t.Helper()
	r, err := c.request("tools/call", `{"name":"`+name+`","arguments":`+args+`}`)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tool calls a tool over HTTP.
func (m *modern) tool(t *testing.T, name, args string) *reply {
	t.Helper()
	r, err := m.call(name, args, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// waits fails the test where the call does not wait in an inbox, and gives the question and the inbox's address.
func (r *reply) waits(t *testing.T) (id, base string) {
	t.Helper()
	a := r.Result.StructuredContent.Approval
	base, _, found := strings.Cut(a.Link, "/inbox/approvals/")
	if r.outcome() != "approval_pending" || a.ID == "" || !found {
		t.Fatalf("it does not wait in an inbox: %+v", r.Result)
	}
	return a.ID, base
}

// erased is how often the upstream erased somebody.
func (w *world) erased() int { return ran(w.up, "delete_contact") }

// answerer is somebody's program at the inbox's API.
type answerer struct{ base, secret string }

// pending is a question as the API gives it.
type pending struct {
	ID, State, Action, Status, Detail, Barred, Stamp string
	By                                               ledger.Actor
	Quick                                            bool
	Expires, Answered                                time.Time
	Card                                             struct {
		Sentence, PreviousRun string
		Lines                 []struct{ Name, Value string }
	}
}

// outlet never keeps a connection: a server that is killed must not be met again in a pool.
var outlet = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (a *answerer) do(method, path, body string, into any) (status int, err error) {
	r, err := http.NewRequest(method, a.base+inbox.Path+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+a.secret)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := outlet.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil {
		if err = json.Unmarshal(raw, into); err != nil {
			err = fmt.Errorf("HTTP %d is no answer: %s", res.StatusCode, raw)
		}
	}
	return res.StatusCode, err
}

// look fetches one question.
func (a *answerer) look(id string) (q pending, err error) {
	status, err := a.do("GET", "/api/approvals/"+id, "", &q)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("HTTP %d", status)
	}
	return q, err
}

// said is what the API says to an answer.
type said struct{ ID, State, Error, Next string }

// say reads a question's card and answers it.
func (a *answerer) say(id, answer string) (status int, s said, err error) {
	q, err := a.look(id)
	if err != nil {
		return 0, s, err
	}
	return a.answer(&q, answer)
}

// answer answers a question whose card was read.
func (a *answerer) answer(q *pending, answer string) (status int, s said, err error) {
	status, err = a.do("POST", "/api/approvals/"+q.ID, fmt.Sprintf(`{"answer":%q,"stamp":%q}`, answer, q.Stamp), &s)
	return status, s, err
}

// agree says yes, which must be taken.
func (a *answerer) agree(t *testing.T, id string) {
	t.Helper()
	if status, s, err := a.say(id, "approve"); err != nil || status != http.StatusOK || s.State != string(ledger.Approved) {
		t.Fatalf("the yes was not taken: %d %+v %v", status, s, err)
	}
}

// becomes waits until the question's status holds the words.
func (a *answerer) becomes(t *testing.T, id, words string) pending {
	t.Helper()
	var q pending
	var err error
	until(t, 20*time.Second, func() bool {
		q, err = a.look(id)
		return err == nil && strings.Contains(q.Status, words)
	}, func() string { return fmt.Sprintf("the question never came to %q: %+v %v", words, q, err) })
	return q
}

// until waits for a condition; else the test ends with what otherwise says.
func until(t *testing.T, within time.Duration, holds func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// nowhere fails the test where a file of a state directory holds the secret.
func nowhere(t *testing.T, dir, secret string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var raw []byte
			if raw, err = os.ReadFile(path); bytes.Contains(raw, []byte(secret)) {
				t.Errorf("a secret is in %s", path)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // it was put in place of another file a moment ago
			return nil
		}
		return err
	}))
}

// given are the ports that freeAddress gave.
var given sync.Map

// freeAddress gives an address of this machine at which nobody listens and which the system hands to nobody by itself.
func freeAddress() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		ln.Close()
		if _, taken := given.LoadOrStore(addr, true); !taken {
			return addr, nil
		}
	}
	return "", errors.New("no port is free")
}

// fix chooses the address of the world's inbox.
func (w *world) fix(t *testing.T) string {
	t.Helper()
	addr, err := freeAddress()
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, inbox.AddressFile), []byte(addr+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// mute is a client over stdio that can ask its person nothing.
func (w *world) mute(t *testing.T, args ...string) *legacy {
	t.Helper()
	p := w.start(t, nil, append([]string{"stdio", "--approval-wait", "0s"}, args...)...)
	c := &legacy{w: &crashWorld{t: t}, in: p.in, waiting: map[string]chan *reply{}}
	go c.read(p.out)
	if _, err := c.request("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`); err != nil {
		t.Fatal(err)
	}
	c.write(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}
