package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/policy"
)

// TestReloadPolicies checks what the log says about policy files that change while the program runs.
func TestReloadPolicies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, ofToken := filepath.Join(dir, "own.yaml"), filepath.Join(dir, "token.yaml")
	const valid, faulty = "apiVersion: sippet.policy/v1\ndefaults: {class: {read: allow}}\n", "rulez: []\n"
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(own, valid)
	write(ofToken, valid)
	set, err := policy.LoadPolicySet([]string{own}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Add(ofToken); err != nil {
		t.Fatal(err)
	}
	lines := make(logLines, 10)
	done := make(chan struct{})
	defer close(done)
	go reloadPolicies(set, done, slog.New(slog.NewTextHandler(lines, nil)))
	expect := func(text string) {
		t.Helper()
		select {
		case line := <-lines:
			if !strings.Contains(line, text) {
				t.Errorf("%q is not in the log: %s", text, line)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q is not in the log", text)
		}
	}
	expect("level=INFO") // the file that Add loaded
	write(ofToken, faulty)
	expect("policy of a token is faulty; its callers are denied until it is corrected")
	write(own, faulty)
	expect("policy reload failed; keeping the previous policy")
	write(own, valid)
	write(ofToken, valid)
	expect("level=INFO")
}

// logLines is a log that a test reads line by line.
type logLines chan string

func (l logLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
