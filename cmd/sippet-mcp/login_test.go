package main

import (
	"context"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

var enterLink = regexp.MustCompile(`(https?://[^/\s]+)/inbox/enter/([A-Za-z0-9_-]{43})(\?approval=[0-9a-f]{32})?`)

// TestLoginOnATerminal: a terminal also gets a QR code, and a hint if a phone cannot use it.
func TestLoginOnATerminal(t *testing.T) {
	w := newWorld(t)
	addr := w.fix(t)
	ctx, end := context.WithCancel(t.Context())
	served := make(chan bool)
	go func() {
		defer close(served)
		at(t, ctx, &person{}, w.dir, "inbox", "serve", "--no-browser")
	}()
	defer func() { end(); <-served }()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		} else if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		base string
		want []string
		not  string
	}{
		"at this machine": {nil, "http://" + addr, []string{"This logs " + me() + " in once, until ", "It is for a browser on this machine; for a phone give the address of a server with --url."}, "https:"},
		"on a phone":      {[]string{"ada", "--url", "https://mcp.example.com"}, "https://mcp.example.com", []string{"This logs ada in once, until "}, "for a phone"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := at(t, t.Context(), &person{}, w.dir, append([]string{"inbox", "login"}, c.args...)...)
			m := enterLink.FindStringSubmatch(out)
			if code != 0 || m == nil || m[1] != c.base {
				t.Fatalf("%d: %s%s", code, out, errs)
			}
			for _, want := range append(c.want, "▀", "█") { // the QR code
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(out, c.not) || strings.Contains(errs, m[2]) {
				t.Errorf("%s%s", out, errs)
			}
		})
	}
}

// TestRequestOnATerminal: a call that another person must approve prints the card, and a login link
// for its own person. The code of the link is nowhere else.
func TestRequestOnATerminal(t *testing.T) {
	dir, up := t.TempDir(), rpctest.New(t)
	key := tokenFile(t, rpctest.Key)
	code, out, errs := at(t, t.Context(), &person{}, dir, "call", "delete_contact", erase(1), "--policy", "team", "--approval-wait", "0s", "--no-browser", "--json",
		"--base-url", up.URL, "--key-file", key, "--log-level", "debug")
	m := enterLink.FindStringSubmatch(errs)
	if code != 6 || m == nil || m[3] == "" || !strings.Contains(errs, "A request waits for you: "+m[0]) || !strings.Contains(errs, "Waiting for up to 0s for an approver other than "+me()+", in the inbox: "+m[1]+"/inbox/approvals/") ||
		!strings.Contains(errs, "Erase the contact") {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	if strings.Contains(out, m[2]) || strings.Count(errs, m[2]) != 1 {
		t.Errorf("the code is in the output, or twice: %s%s", out, errs)
	}
	nowhere(t, dir, m[2])
	l := openState(t, dir)
	login, err := l.FindLogin(t.Context(), m[2])
	if err != nil || login.Kind != ledger.LinkCode || !login.Local || login.Person != me() {
		t.Errorf("%+v %v", login, err)
	}
}
