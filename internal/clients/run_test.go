//go:build clients

package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// printed is how the process of a client ended.
type printed struct {
	stdout, stderr string
	result         struct {
		Received any
		Asked    []any
	}
	err error
}

// runTime bounds the run of a client.
const runTime = time.Minute

func (c *client) run(ctx context.Context, t *testing.T, n npm, p *program, s *scene, model string) (out printed) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	var args object
	if out.err = json.Unmarshal([]byte(arguments), &args); out.err != nil {
		return out
	}
	config := object{"command": exe, "args": append([]string{"stdio"}, p.flags...), "url": p.url, "token": p.token,
		"model": model, "tool": action, "arguments": args, "dialogue": s.dialogue, "era": c.era}
	var command *exec.Cmd
	if c.script == "" {
		command = claude(ctx, t, n, p, model)
	} else {
		command = exec.CommandContext(ctx, n.node(), filepath.Join(n.scripts, c.script))
		command.Env = append(p.env, "CASE="+encode(config))
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr, command.Dir = &stdout, &stderr, t.TempDir()
	command.WaitDelay = 5 * time.Second
	err := command.Run()
	out.stdout, out.stderr = stdout.String(), stderr.String()
	if err == nil && c.script != "" {
		all := strings.Split(strings.TrimSpace(out.stdout), "\n")
		err = json.Unmarshal([]byte(all[len(all)-1]), &out.result)
	}
	out.err = err
	return out
}

// claude returns the command that runs Claude Code once, without a person, against the model.
func claude(ctx context.Context, t *testing.T, n npm, p *program, model string) *exec.Cmd {
	server := object{"type": "stdio", "command": exe, "args": append([]string{"stdio"}, p.flags...)}
	if p.url != "" {
		server = object{"type": "http", "url": p.url}
		if p.token != "" {
			server["headers"] = object{"Authorization": "Bearer " + p.token}
		}
	}
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := os.WriteFile(file, []byte(encode(object{"mcpServers": object{"sippet": server}})), 0o600); err != nil {
		t.Error(err)
	}
	c := exec.CommandContext(ctx, n.claude(), "-p", "Ring them.", "--mcp-config", file, "--strict-mcp-config",
		"--allowedTools", "mcp__sippet__"+action, "--output-format", "json")
	c.Env = append(p.env, "ANTHROPIC_BASE_URL="+model, "ANTHROPIC_API_KEY=sk-ant-none", "DISABLE_ERROR_REPORTING=1",
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "MCP_TIMEOUT=20000", "ENABLE_TOOL_SEARCH=false")
	return c
}
