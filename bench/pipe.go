package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// pipe speaks over stdin and stdout.
type pipe struct {
	cmd  *exec.Cmd
	mu   sync.Mutex // for in
	in   io.WriteCloser
	next atomic.Int64
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
	go p.read(bufio.NewReaderSize(out, 1<<20))
	if _, err := p.ask("initialize", "", hello); err != nil {
		p.close()
		return nil, err
	}
	_, err = io.WriteString(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	return p, err
}

// head is what both servers begin an answer with. To decode all of it would measure this client.
var head = []byte(`{"jsonrpc":"2.0","id":`)

func (p *pipe) read(out *bufio.Reader) {
	for {
		line, err := out.ReadBytes('\n')
		if err != nil {
			return
		}
		rest, ok := bytes.CutPrefix(line, head)
		if !ok {
			continue
		}
		digits, _, _ := bytes.Cut(rest, []byte(","))
		id, err := strconv.ParseInt(string(digits), 10, 64)
		if c, ok := p.wait.LoadAndDelete(id); ok && err == nil {
			c.(chan []byte) <- line
		}
	}
}

func (p *pipe) ask(method, _, params string) ([]byte, error) {
	id, c := p.next.Add(1), make(chan []byte, 1)
	p.wait.Store(id, c)
	line := `{"jsonrpc":"2.0","id":` + strconv.FormatInt(id, 10) + `,"method":"` + method + `","params":` + params + "}\n"
	p.mu.Lock()
	_, err := io.WriteString(p.in, line)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case answer := <-c:
		return answer, nil
	case <-late.C:
		return nil, fmt.Errorf("no answer to %s", method)
	}
}

func (p *pipe) pid() int { return p.cmd.Process.Pid }

func (p *pipe) close() {
	p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
