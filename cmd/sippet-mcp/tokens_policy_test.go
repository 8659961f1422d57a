package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bearer sends a token with every request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// tokenOf creates a token and returns its secret.
func tokenOf(t *testing.T, dir string, args ...string) bearer {
	t.Helper()
	code, out, errs := at(t, t.Context(), nil, dir, append([]string{"tokens", "create", "--sandbox"}, args...)...)
	var token createdToken
	if err := json.Unmarshal([]byte(out), &token); code != 0 || err != nil {
		t.Fatalf("%v: %v %s", args, err, errs)
	}
	return bearer(token.Secret)
}

// sandboxed serves the sandbox until the test ends. It returns the address and the policy in the
// banner.
func sandboxed(t *testing.T, dir, inEnvironment string, args ...string) (url, policy string) {
	t.Helper()
	r, w := io.Pipe()
	var faults bytes.Buffer
	p := &program{in: strings.NewReader(""), out: w, err: &faults, env: func(name string) string {
		if name == "SIPPET_POLICY" {
			return inEnvironment
		}
		return ""
	}}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- p.run(ctx, append([]string{"http", "--sandbox", "--addr", "127.0.0.1:0", "--state-dir", dir, "--log-level", "error"}, args...))
		w.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 || faults.Len() > 0 {
			t.Errorf("the server ended with %d: %s", code, faults.String())
		}
	})
	said := bufio.NewScanner(r)
	for url == "" && said.Scan() {
		if url = atMCP.FindString(said.Text()); url != "" {
			_, policy, _ = strings.Cut(said.Text(), "(policy ")
			policy, _, _ = strings.Cut(policy, ";")
		}
	}
	if url == "" {
		t.Fatal("the server did not start")
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return url, policy
}

// TestPolicyOfTokens: callers with tokens are under the policy team unless the server names another
// one. A token's own policy can only be stricter.
func TestPolicyOfTokens(t *testing.T) {
	const person = `{"input":{"contactId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"}}`
	const group = `{"input":{"groupId":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11","contactLimit":5}}`
	for name, c := range map[string]struct {
		environment string
		args        []string
		says        string
		team        bool
	}{
		"default":  {"", nil, "team", true},
		"flag":     {"", []string{"--policy", "desktop"}, "desktop", false},
		"variable": {"desktop", nil, "desktop", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			ada := tokenOf(t, dir, "ada", "--roles", "agent", "--interactive")
			bob := tokenOf(t, dir, "bob", "--roles", "agent", "--interactive", "--policy", "read-only")
			cyd := tokenOf(t, dir, "cyd", "--roles", "agent", "--interactive", "--policy", "desktop")
			url, says := sandboxed(t, dir, c.environment, append(c.args, "--approval-wait", "100ms")...)
			if says != c.says {
				t.Errorf("the banner has policy %q", says)
			}
			call := func(who bearer, tool, args string) *reply {
				t.Helper()
				r, err := (&modern{url, &http.Client{Transport: who, Timeout: 20 * time.Second}}).call(tool, args, "")
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			for _, who := range []bearer{ada, cyd} {
				for tool, args := range map[string]string{"delete_contact": person, "start_bulk_outbound_call": group} {
					r := call(who, tool, args)
					waits := r.outcome() == "approval_pending" && strings.Contains(r.Result.StructuredContent.Message, "an approver other than")
					if waits != c.team {
						t.Errorf("%s: %+v", tool, r.Result)
					}
					if tool == "delete_contact" && (r.request() != "") == c.team {
						t.Errorf("%s: %+v", tool, r.Result)
					}
				}
				if r := call(who, "create_contact", `{"input":{"fullName":"Ada Lovelace"}}`); r.outcome() != "done" {
					t.Errorf("create_contact: %+v", r.Result)
				}
			}
			for tool, args := range map[string]string{"create_contact": `{"input":{"fullName":"Bob"}}`, "delete_contact": person} {
				if r := call(bob, tool, args); r.outcome() != "denied" || !strings.Contains(r.Result.StructuredContent.Message, "read-only") {
					t.Errorf("read-only, %s: %+v", tool, r.Result)
				}
			}
			if r := call(bob, "list_contacts", `{}`); r.outcome() != "done" {
				t.Errorf("read-only, list_contacts: %+v", r.Result)
			}
		})
	}
}
