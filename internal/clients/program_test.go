//go:build clients

package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exe is the built program.
var exe string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	exe = filepath.Join(dir, "sippet-mcp")
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/sippet-ai/sippet-mcp/cmd/sippet-mcp").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// program is the program with a sandbox and a state directory of its own.
type program struct {
	dir   string
	flags []string
	env   []string
	// url is empty over stdio: then the client starts the program. token is the secret of ada's
	// client; empty without tokens.
	url, token string
}

// The ways to connect.
const (
	stdio  = "stdio"
	open   = "http"            // without tokens
	tokens = "http-with-token" // with the token of an interactive client
)

// start prepares the program for a client, and starts it unless the client does.
func start(t *testing.T, n npm, connection string, wait time.Duration) *program {
	t.Helper()
	home := t.TempDir()
	p := &program{dir: filepath.Join(home, "state"), env: n.environment(home)}
	p.flags = []string{"--sandbox", "--state-dir", p.dir, "--policy", "desktop", "--no-browser",
		"--approval-wait", wait.String(), "--log-level", "error"}
	if connection == tokens {
		var created struct{ Secret string }
		if err := p.command(&created, "tokens", "create", "ada", "--roles", "operator", "--interactive", "--sandbox", "--state-dir", p.dir); err != nil {
			t.Fatal(err)
		}
		p.token = created.Secret
	}
	if connection != stdio {
		p.url = p.serve(t)
	}
	return p
}

var endpoint = regexp.MustCompile(`http://[^"\s]+/mcp`)

func (p *program) serve(t *testing.T) string {
	t.Helper()
	c := exec.Command(exe, append([]string{"http", "--addr", "127.0.0.1:0"}, p.flags...)...)
	c.Env, c.Stderr = p.env, t.Output()
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(os.Interrupt)
		late := time.AfterFunc(10*time.Second, func() { c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url := endpoint.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, out)
			return url
		}
	}
	t.Fatal("the server ended and printed no address")
	return ""
}

// command runs a command of the program, and decodes what it prints.
func (p *program) command(into any, args ...string) error {
	c := exec.Command(exe, args...)
	c.Env = p.env
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, errs.String())
	}
	return json.Unmarshal(out, into)
}

// record is a record of the audit log.
type record struct {
	Time                                          time.Time
	Phase, Approval, Client, State, Outcome, Note string
	By                                            actor
}

type actor struct{ Name, Via string }

// records returns the records of an action in the audit log.
func (p *program) records(t *testing.T, action string) (all []record) {
	t.Helper()
	c := exec.Command(exe, "audit", "list", "--action", action, "--limit", "0", "--sandbox", "--state-dir", p.dir)
	c.Env = p.env
	out, err := c.Output()
	if err != nil {
		t.Fatalf("audit list: %v\n%s", err, out)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var r record
		switch err := d.Decode(&r); err {
		case nil:
			all = append(all, r)
		case io.EOF:
			return all
		default:
			t.Fatal(err)
		}
	}
}

// answer answers the request in the inbox, as soon as there is one. It gives up when the context
// ends.
func (p *program) answer(ctx context.Context, answer string) error {
	b, err := p.login(ctx)
	if err != nil {
		return err
	}
	all, err := b.pending()
	for ; err == nil && len(all) == 0; all, err = b.pending() {
		if ctx.Err() != nil {
			return errors.New("the client has ended, and the inbox has no request")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err == nil {
		_, err = b.do(http.MethodPost, "/api/approvals/"+all[0].ID, "application/json", encode(object{"answer": answer, "stamp": all[0].Stamp}))
	}
	return err
}

// browser is a person who has logged in to the inbox.
type browser struct {
	http *http.Client
	base string
}

// login logs in with a link, as soon as the inbox is served. It gives up when the context ends.
func (p *program) login(ctx context.Context) (*browser, error) {
	args := []string{"inbox", "login", "--sandbox", "--state-dir", p.dir}
	if p.token != "" {
		args = append(args, "ada")
	}
	if p.url != "" {
		args = append(args, "--url", strings.TrimSuffix(p.url, "/mcp"))
	}
	var link struct{ Link string }
	err := p.command(&link, args...)
	for ; err != nil && ctx.Err() == nil; err = p.command(&link, args...) {
		time.Sleep(200 * time.Millisecond) // each try is a process
	}
	if err != nil {
		return nil, fmt.Errorf("the client has ended, and the inbox is not served: %w", err)
	}
	base, _, _ := strings.Cut(link.Link, "/enter/")
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &browser{&http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}, base}
	_, err = b.do(http.MethodPost, strings.TrimPrefix(link.Link, base), "application/x-www-form-urlencoded", "")
	return b, err
}

// request is a pending request in the inbox.
type request struct{ ID, Stamp string }

func (b *browser) pending() ([]request, error) {
	raw, err := b.do(http.MethodGet, "/api/approvals", "application/json", "")
	var list struct{ Open []request }
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	return list.Open, err
}

func (b *browser) do(method, path, contentType, body string) ([]byte, error) {
	r, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json")
	res, err := b.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s\n%s", method, path, res.Status, raw)
	}
	return raw, err
}
