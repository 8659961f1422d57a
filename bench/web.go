package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// web speaks over streamable HTTP, in the legacy era or, with modern set, in the new one.
type web struct {
	cmd     *exec.Cmd
	client  *http.Client
	url     string
	session string
	token   string // empty without one
	modern  bool
	next    atomic.Int64
}

func newWeb(cmd *exec.Cmd, url, token string) (*web, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w := &web{cmd: cmd, client: client(), url: url, token: token}
	w.client.Timeout = patience
	var err error
	for range 5000 {
		if _, err = w.ask("initialize", "", hello); err == nil {
			return w, nil
		}
		time.Sleep(time.Millisecond)
	}
	w.close()
	return nil, err
}

// inModern is the same server, spoken to as a modern client does.
func (w *web) inModern() *web {
	return &web{cmd: w.cmd, client: w.client, url: w.url, modern: true}
}

const modernMeta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`

func (w *web) ask(method, name, params string) ([]byte, error) {
	if w.modern {
		params = params[:len(params)-1] + modernMeta
	}
	body := `{"jsonrpc":"2.0","id":` + strconv.FormatInt(w.next.Add(1), 10) + `,"method":"` + method + `","params":` + params + `}`
	req, err := http.NewRequest(http.MethodPost, w.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	switch {
	case w.modern:
		req.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		req.Header.Set("Mcp-Method", method)
		req.Header.Set("Mcp-Name", name)
	case w.session != "":
		req.Header.Set("Mcp-Session-Id", w.session)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %.300s", res.StatusCode, bytes.TrimSpace(answer))
	}
	if method == "initialize" {
		w.session = res.Header.Get("Mcp-Session-Id")
	}
	return answer, err
}

func (w *web) pid() int { return w.cmd.Process.Pid }

func (w *web) close() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}
