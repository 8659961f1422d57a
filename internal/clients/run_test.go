//go:build clients

package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// played is what happened in a scene.
type played struct {
	program  *program
	received any // what the model received
	asked    int // how often the client asked its person
	records  []record
	// failure is why the client failed, absent why the inbox was not there for an answer.
	failure, absent error
}

// runTime bounds the run of a client.
const runTime = time.Minute

// play starts the program and the client, and answers in the inbox.
func (c *client) play(t *testing.T, n npm, s *scene) *played {
	t.Helper()
	wait := 30 * time.Second
	if s.outcome == schemas.ApprovalPending {
		wait = 2 * time.Second
	}
	p := start(t, n, s.connection, wait)
	m, address := newModel(t, action, arguments)
	command := c.command(t, n, p, s, address)
	r := &played{program: p}
	running, end := context.WithTimeout(t.Context(), runTime)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr, command.Dir = &stdout, &stderr, t.TempDir()
	command.WaitDelay = 5 * time.Second // for what the client started and left
	if err := command.Start(); err != nil {
		end()
		t.Fatal(err)
	}
	context.AfterFunc(running, func() { command.Process.Kill() })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer end()
		r.failure = command.Wait()
	}()
	if s.inbox != "" {
		r.absent = p.answer(running, s.inbox)
	}
	<-ended
	if r.failure == nil {
		r.records = p.records(t, action)
	}
	r.received = m.results()
	if c.script != "" && r.failure == nil {
		var printed struct {
			Received any
			Asked    []any
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		r.failure = json.Unmarshal([]byte(lines[len(lines)-1]), &printed)
		r.asked = len(printed.Asked)
		if !c.model {
			r.received = printed.Received
		}
	}
	if r.failure != nil {
		r.failure = fmt.Errorf("%w\n%s\n%s", r.failure, stdout.String(), stderr.String())
	}
	return r
}

// command returns the command that runs the client.
func (c *client) command(t *testing.T, n npm, p *program, s *scene, model string) *exec.Cmd {
	if c.script == "" {
		return claude(t, n, p, model)
	}
	command := exec.Command(n.node(), filepath.Join(n.scripts, c.script))
	command.Env = append(p.env, "CASE="+encode(object{"command": exe, "args": append([]string{"stdio"}, p.flags...), "url": p.url, "token": p.token,
		"model": model, "tool": action, "arguments": json.RawMessage(arguments), "dialogue": s.dialogue, "era": c.era}))
	return command
}

// claude returns the command that runs Claude Code once, without a person, against the model.
func claude(t *testing.T, n npm, p *program, model string) *exec.Cmd {
	server := object{"type": "stdio", "command": exe, "args": append([]string{"stdio"}, p.flags...)}
	if p.url != "" {
		server = object{"type": "http", "url": p.url}
		if p.token != "" {
			server["headers"] = object{"Authorization": "Bearer " + p.token}
		}
	}
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, []byte(encode(object{"mcpServers": object{"sippet": server}})), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(n.claude(), "-p", "Ring them.", "--mcp-config", file, "--strict-mcp-config",
		"--allowedTools", "mcp__sippet__"+action, "--output-format", "json")
	c.Env = append(p.env, "ANTHROPIC_BASE_URL="+model, "ANTHROPIC_API_KEY=sk-ant-none", "DISABLE_ERROR_REPORTING=1",
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "MCP_TIMEOUT=20000", "ENABLE_TOOL_SEARCH=false")
	return c
}
