package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// door is a way to send one JSON-RPC request and have its answer.
type door interface {
	// ask sends a request of the method and gives the whole answer. name is the tool's, where there
	// is one.
	ask(method, name, params string) ([]byte, error)
	pid() int
	close()
}

const hello = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`

// spawn starts a server and shakes hands with it; ours gets more arguments.
func (w *world) spawn(p pair, more ...string) (door, error) {
	addr := ""
	if p.transport == "http" {
		var err error
		if addr, err = free(); err != nil {
			return nil, err
		}
	}
	var cmd *exec.Cmd
	if p.server == "bare" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(self, "bare", p.transport, addr, w.upstream)
	} else {
		args := []string{p.transport, "--log-level", "warn"}
		if addr != "" {
			args = append(args, "--addr", addr)
		}
		state, err := os.MkdirTemp(w.dir, "state")
		if err != nil {
			return nil, err
		}
		if more == nil {
			path, err := writePolicy(state)
			if err != nil {
				return nil, err
			}
			more = []string{"--policy", path}
		}
		cmd = exec.Command(w.program, append(args, more...)...)
		cmd.Env = append(os.Environ(), "SIPPET_BASE_URL="+w.upstream, "SIPPET_SECRET_KEY="+key, "SIPPET_STATE_DIR="+state)
	}
	cmd.Stderr = os.Stderr
	var d door
	var err error
	if p.transport == "http" {
		d, err = newWeb(cmd, "http://"+addr+"/mcp", "")
	} else {
		d, err = newPipe(cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p, err)
	}
	return d, nil
}

// free gives an address that nobody listens on.
func free() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// patience is how long an answer may take before the run is given up.
const patience = 30 * time.Second
