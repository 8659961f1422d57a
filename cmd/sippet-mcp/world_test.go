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

// world is a state directory with two tokens, and a recording upstream. Every program runs in its
// own process, because closing the ledger in this one would drop their locks.
type world struct {
	dir string
	up  *rpctest.Server
	// The tokens of bob's program, which makes calls, and of ada, who approves.
	bob, ada string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: filepath.Join(t.TempDir(), "state"), up: rpctest.New(t)}
	w.bob, w.ada = w.token(t, "bob", "agent"), w.token(t, "ada", "approver")
	return w
}

// token creates a token and returns its secret.
func (w *world) token(t *testing.T, person, roles string, flags ...string) string {
	t.Helper()
	var made createdToken
	if err := json.Unmarshal(w.run(t, append([]string{"tokens", "create", person, "--roles", roles}, flags...)...), &made); err != nil {
		t.Fatal(err)
	}
	return made.Secret
}

// tokenID returns the id of a token.
func tokenID(secret string) string { return secret[len("smcp_") : len("smcp_")+12] }

// tokenActor returns the caller with a token.
func tokenActor(person, secret string) ledger.Actor {
	return ledger.Actor{Name: person, Via: "token " + tokenID(secret)}
}

// run runs a command in a pipe and returns its output.
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

// start starts the program with the world's upstream until the test ends. It must log no error.
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
			t.Errorf("%v logged an error: %s", args, s)
		}
	})
	return p
}

// http starts a server that answers calls at once. It returns bob's client and ada's client of the
// inbox.
func (w *world) http(t *testing.T, args ...string) (*process, *modern, *answerer) {
	t.Helper()
	p := w.start(t, nil, append([]string{"http", "--addr", "127.0.0.1:0", "--approval-wait", "0s"}, args...)...)
	if err := p.listening(); err != nil {
		t.Fatalf("%v: %s", err, p.faults())
	}
	return p, w.caller(t, p.url), &answerer{strings.TrimSuffix(p.url, "/mcp"), w.ada}
}

// caller returns bob's client of a server.
func (w *world) caller(t *testing.T, url string) *modern {
	m := &modern{url, &http.Client{Transport: bearer(w.bob), Timeout: 30 * time.Second}}
	t.Cleanup(m.http.CloseIdleConnections)
	return m
}

// stdio starts a server on stdio and returns its client. Erasing a contact needs another person's
// approval.
func (w *world) stdio(t *testing.T, env []string, args ...string) (*process, *legacy) {
	t.Helper()
	p := w.start(t, env, append([]string{"stdio", "--policy", "team", "--approval-wait", "0s"}, args...)...)
	c, err := newLegacy(p, &crashWorld{t: t})
	if err != nil {
		t.Fatalf("%v: %s", err, p.faults())
	}
	return p, c
}

// erase returns the arguments that erase the n-th contact.
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

// waits fails the test unless the call is pending in an inbox. It returns the id of the request and
// the address of the inbox.
func (r *reply) waits(t *testing.T) (id, base string) {
	t.Helper()
	a := r.Result.StructuredContent.Approval
	base, _, found := strings.Cut(a.Link, "/inbox/approvals/")
	if r.outcome() != "approval_pending" || a.ID == "" || !found {
		t.Fatalf("it is not pending in an inbox: %+v", r.Result)
	}
	return a.ID, base
}

// erased returns how often the upstream erased a contact.
func (w *world) erased() int { return ran(w.up, "delete_contact") }

// answerer is a client of the inbox's API.
type answerer struct{ base, secret string }

// pending is a request as the API returns it.
type pending struct {
	ID, State, Action, Status, Detail, Barred, Stamp string
	By                                               ledger.Actor
	Quick                                            bool
	Expires, Answered                                time.Time
	Card                                             struct {
		Title, Earlier string
		Sent           []struct{ Name, Value string }
	}
}

// outlet keeps no connection, because a killed server must not stay in a pool.
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
			err = fmt.Errorf("HTTP %d has no JSON: %s", res.StatusCode, raw)
		}
	}
	return res.StatusCode, err
}

// look returns one request.
func (a *answerer) look(id string) (q pending, err error) {
	status, err := a.do("GET", "/api/approvals/"+id, "", &q)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("HTTP %d", status)
	}
	return q, err
}

// apiReply is what the API returns for an answer.
type apiReply struct{ ID, State, Error, Next string }

// say reads the card of a request and answers it.
func (a *answerer) say(id, answer string) (status int, s apiReply, err error) {
	q, err := a.look(id)
	if err != nil {
		return 0, s, err
	}
	return a.answer(&q, answer)
}

// answer answers a request with the stamp of its card.
func (a *answerer) answer(q *pending, answer string) (status int, s apiReply, err error) {
	status, err = a.do("POST", "/api/approvals/"+q.ID, fmt.Sprintf(`{"answer":%q,"stamp":%q}`, answer, q.Stamp), &s)
	return status, s, err
}

// approve approves a request, which must succeed.
func (a *answerer) approve(t *testing.T, id string) {
	t.Helper()
	if status, s, err := a.say(id, "approve"); err != nil || status != http.StatusOK || s.State != string(ledger.Approved) {
		t.Fatalf("the approval was rejected: %d %+v %v", status, s, err)
	}
}

// approveOrphan approves a request whose program has ended, which must succeed once another program
// has taken it over.
func (a *answerer) approveOrphan(t *testing.T, id string) {
	t.Helper()
	var s apiReply
	var err error
	until(t, 10*time.Second, func() bool {
		_, s, err = a.say(id, "approve")
		return err == nil && s.State == string(ledger.Approved)
	}, func() string { return fmt.Sprintf("the approval was rejected: %+v %v", s, err) })
}

// awaitStatus waits until the status of a request contains the words.
func (a *answerer) awaitStatus(t *testing.T, id, words string) pending {
	t.Helper()
	var q pending
	var err error
	until(t, 20*time.Second, func() bool {
		q, err = a.look(id)
		return err == nil && strings.Contains(q.Status, words)
	}, func() string { return fmt.Sprintf("the status never was %q: %+v %v", words, q, err) })
	return q
}

// until waits for a condition. The test ends with the text of otherwise if it takes too long.
func until(t *testing.T, within time.Duration, holds func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// nowhere fails the test if a file of a state directory contains the secret.
func nowhere(t *testing.T, dir, secret string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var raw []byte
			if raw, err = os.ReadFile(path); bytes.Contains(raw, []byte(secret)) {
				t.Errorf("a secret is in %s", path)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // it has just replaced another file
			return nil
		}
		return err
	}))
}

// given are the ports that freeAddress returned.
var given sync.Map

// freeAddress returns a free address of this machine, outside of the ports that the system assigns.
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

// fix sets the address of the world's inbox.
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

// mute starts a server on stdio, and returns a client that cannot ask its person.
func (w *world) mute(t *testing.T, args ...string) *legacy {
	t.Helper()
	return mute(t, w.start(t, nil, append([]string{"stdio", "--approval-wait", "0s"}, args...)...))
}

// mute returns a client of a server on stdio that cannot ask its person.
func mute(t *testing.T, p *process) *legacy {
	t.Helper()
	c := &legacy{w: &crashWorld{t: t}, in: p.in, waiting: map[string]chan *reply{}}
	go c.read(p.out)
	if _, err := c.request("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`); err != nil {
		t.Fatal(err)
	}
	c.write(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}
