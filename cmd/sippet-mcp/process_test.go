package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// process is the program in its own process, serving MCP on one of the transports.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	in     io.WriteCloser // of stdio
	url    string         // of http
	mu     sync.Mutex     // guards errors
	errors bytes.Buffer   // stderr; the log level is error
	ended  chan struct{}
}

// launch starts the program. It waits for its end in the background, because the ledger takes a
// dead process that was not waited for as alive.
func launch(transport, dir, upstream, policy string) (*process, error) {
	args := []string{transport, "--base-url", upstream, "--state-dir", dir, "--policy", policy, "--log-level", "error"}
	if transport == "http" {
		args = append(args, "--addr", "127.0.0.1:0")
	}
	return spawn(args)
}

// spawn starts the program with any arguments and further environment variables.
func spawn(args []string, env ...string) (*process, error) {
	p := &process{cmd: exec.Command("sippet-mcp", args...), ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", "SIPPET_NO_BROWSER=true", "SIPPET_SECRET_KEY="+rpctest.Key), env...)
	p.cmd.Stderr = p
	// With its own pipe the output before a kill can still be read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p.cmd.Stdout, p.out = w, bufio.NewReader(r)
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Write collects the standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errors.Write(b)
}

func (p *process) faults() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errors.String()
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

var atMCP = regexp.MustCompile(`http://\S+/mcp`)

// listening waits until the program serves HTTP, and stores the URL.
func (p *process) listening() error {
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			return err
		}
		if p.url = atMCP.FindString(line); p.url != "" {
			return nil
		}
	}
}

var budgetSizes = regexp.MustCompile(`rate: [0-9]+/[mh], burst: [0-9]+`)

// largeBudgets returns the path of the policy desktop with budgets that no test uses up.
func largeBudgets(t *testing.T) string {
	t.Helper()
	text, err := rules.Profile("desktop")
	must(t, err)
	path := filepath.Join(t.TempDir(), "large.yaml")
	must(t, os.WriteFile(path, budgetSizes.ReplaceAll(text, []byte("rate: 1000000/s, burst: 1000000000")), 0o600))
	return path
}

// startServer starts an HTTP server that ends with the test, and returns a client with a token.
func startServer(t *testing.T, dir, upstream, token string) (*process, *modern) {
	t.Helper()
	p, err := launch("http", dir, upstream, largeBudgets(t))
	if err == nil {
		err = p.listening()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := newModern(p.url)
	m.http.Transport = bearerBy{token, m.http.Transport}
	t.Cleanup(func() {
		m.http.CloseIdleConnections()
		p.kill()
		<-p.ended
		if s := p.faults(); s != "" {
			t.Errorf("a server logged an error: %s", s)
		}
	})
	return p, m
}

// startServers starts HTTP servers on one state directory, for a caller with a token and a person.
func startServers(t *testing.T, n int, dir, upstream string) (all []*process, clients []*modern) {
	t.Helper()
	token := (&world{dir: dir}).token(t, "bob", "agent", "--interactive")
	for range n {
		p, m := startServer(t, dir, upstream, token)
		all, clients = append(all, p), append(clients, m)
	}
	return all, clients
}

func openState(t *testing.T, dir string) *ledger.SQLite {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, Age: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func verified(t *testing.T, l *ledger.SQLite, o ledger.VerifyOptions) ledger.Report {
	t.Helper()
	r, err := l.Verify(t.Context(), o)
	if err != nil {
		t.Error(err)
	}
	for _, f := range r.Findings {
		t.Errorf("the ledger does not verify: %s (%s)", f.Text, f.Kind)
	}
	return r
}

func ran(up *rpctest.Server, action string) (n int) {
	for _, r := range up.Requests() {
		if r.Endpoint == rpctest.Run && r.Action == action {
			n++
		}
	}
	return n
}

// command returns a command of the program, without the pause of the race detector at its end.
func command(args ...string) *exec.Cmd {
	c := exec.Command("sippet-mcp", args...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return c
}
