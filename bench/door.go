package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// door is a way to send one JSON-RPC request and have its answer.
type door interface {
	// ask sends a request of the method with these params and gives the whole answer.
	ask(method, params string) ([]byte, error)
	pid() int
	close()
}

// spawn starts a server: `ours` or `bare`, over stdio or http.
func (w *world) spawn(server, transport string) (door, error) {
	addr := ""
	if transport == "http" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr = ln.Addr().String()
		ln.Close()
	}
	var cmd *exec.Cmd
	if server == "bare" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(self, "bare", transport, addr, w.upstream.url)
	} else {
		args := []string{transport, "--log-level", "warn"}
		if addr != "" {
			args = append(args, "--addr", addr)
		}
		cmd = exec.Command(w.program, args...)
		cmd.Env = append(os.Environ(), "SIPPET_BASE_URL="+w.upstream.url, "SIPPET_SECRET_KEY="+key)
	}
	cmd.Stderr = os.Stderr
	if transport == "stdio" {
		return newPipe(cmd)
	}
	return newWeb(cmd, "http://"+addr+"/mcp")
}

const hello = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`

// pipe speaks over stdin and stdout.
type pipe struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	mu   sync.Mutex
	next int64
	wait sync.Map // id → chan []byte
}

func newPipe(cmd *exec.Cmd) (*pipe, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &pipe{cmd: cmd, in: in}
	go func() {
		r := bufio.NewReaderSize(out, 1<<20)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			// Both servers write jsonrpc and id first; decoding all of it would measure this client.
			var id int64
			if _, err := fmt.Sscanf(string(line[:min(len(line), 60)]), `{"jsonrpc":"2.0","id":%d`, &id); err != nil {
				continue
			}
			if c, ok := p.wait.LoadAndDelete(id); ok {
				c.(chan []byte) <- line
			}
		}
	}()
	if _, err := p.ask("initialize", hello); err != nil {
		return nil, err
	}
	_, err = io.WriteString(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	return p, err
}

func (p *pipe) ask(method, params string) ([]byte, error) {
	id := atomic.AddInt64(&p.next, 1)
	c := make(chan []byte, 1)
	p.wait.Store(id, c)
	line := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params)
	p.mu.Lock()
	_, err := io.WriteString(p.in, line)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case answer := <-c:
		return answer, nil
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("no answer to %s", method)
	}
}

func (p *pipe) pid() int { return p.cmd.Process.Pid }

func (p *pipe) close() {
	p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// web speaks over streamable HTTP, in the legacy era or, with modern set, in the new one.
type web struct {
	cmd     *exec.Cmd
	client  *http.Client
	url     string
	session string
	modern  bool
	next    atomic.Int64
}

func newWeb(cmd *exec.Cmd, url string) (*web, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := &web{cmd: cmd, client: client(), url: url}
	var err error
	for range 500 {
		if _, err = w.ask("initialize", hello); err == nil {
			return w, nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil, fmt.Errorf("the server at %s does not answer: %w", url, err)
}

func (w *web) ask(method, params string) ([]byte, error) {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, w.next.Add(1), method, params)
	req, err := http.NewRequest(http.MethodPost, w.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	switch {
	case w.modern:
		req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		req.Header.Set("Mcp-Method", method)
		var named struct {
			Name string `json:"name"`
		}
		if json.Unmarshal([]byte(params), &named) == nil && named.Name != "" {
			req.Header.Set("Mcp-Name", named.Name)
		}
	case w.session != "":
		req.Header.Set("Mcp-Session-Id", w.session)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if s := res.Header.Get("Mcp-Session-Id"); s != "" && method == "initialize" {
		w.session = s
	}
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %s", res.StatusCode, bytes.TrimSpace(answer))
	}
	return answer, err
}

func (w *web) pid() int { return w.cmd.Process.Pid }

func (w *web) close() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}
