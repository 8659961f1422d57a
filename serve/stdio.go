package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

const (
	// maxMessage bounds one JSON-RPC message: the longest arguments and room for what is around them.
	maxMessage = schemas.MaxArguments + 64<<10
	workers    = 64
	queue      = 1000
	// lastCalls is how long calls in flight may go on after the input has ended.
	lastCalls = 35 * time.Second
)

// Stdio serves one client on in and out until in ends or ctx does. The SDK
// keeps the client's state in a global, so there is one such server in a process.
func Stdio(ctx context.Context, s *tools.Server, caller tools.Caller, in io.Reader, out io.Writer, log *slog.Logger) error {
	w := &lines{out: out}
	r := &frames{in: bufio.NewReaderSize(in, 64<<10), out: w, ended: s.HangUp, ctx: ctx}
	srv := server.NewStdioServer(s.MCP)
	server.WithWorkerPoolSize(workers)(srv)
	server.WithQueueSize(queue)(srv)
	srv.SetErrorLogger(slog.NewLogLogger(log.Handler(), slog.LevelWarn))
	srv.SetContextFunc(func(ctx context.Context) context.Context { return tools.WithCaller(ctx, caller) })
	err := srv.Listen(ctx, r, w)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lines writes whole messages: the SDK writes answers under one lock and
// questions under none. It also counts the requests that have no answer yet.
type lines struct {
	mu       sync.Mutex
	out      io.Writer
	inFlight int
	idle     chan struct{} // closed when the count is 0; nil while nobody waits
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isAnswer(p) && l.inFlight > 0 {
		if l.inFlight--; l.inFlight == 0 && l.idle != nil {
			close(l.idle)
			l.idle = nil
		}
	}
	return l.out.Write(p)
}

// isAnswer looks at the beginning only: the SDK writes jsonrpc and id first,
// and after them method in what is no answer.
func isAnswer(p []byte) bool {
	head := p[:min(len(p), 64)]
	return !bytes.Contains(head, []byte(`"method":`)) && !bytes.Contains(head, []byte(`"id":null`))
}

func (l *lines) begin() {
	l.mu.Lock()
	l.inFlight++
	l.mu.Unlock()
}

// settled waits until every request has its answer.
func (l *lines) settled(ctx context.Context) {
	l.mu.Lock()
	if l.inFlight == 0 {
		l.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	l.idle = idle
	l.mu.Unlock()
	t := time.NewTimer(lastCalls)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	case <-ctx.Done():
	}
}

// frames reads messages line by line for the SDK, none longer than maxMessage.
type frames struct {
	in    *bufio.Reader
	out   *lines
	rest  []byte
	ended func()
	ctx   context.Context
}

func (f *frames) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		line, err := f.next()
		if len(line) > 0 {
			if isRequest(line) {
				f.out.begin()
			}
			f.rest = line
			break
		}
		if err != nil {
			// Whoever closed the input cannot answer questions any more, but may still read answers.
			f.ended()
			f.out.settled(f.ctx)
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

var tooLong = []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the message is longer than 8 MiB; nothing was done, send less"}}` + "\n")

// next gives the next line with its end, empty where it was blank or too long.
func (f *frames) next() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := f.in.ReadSlice('\n')
		if len(line)+len(part) > maxMessage {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long {
			if _, werr := f.out.Write(tooLong); werr != nil {
				return nil, werr
			}
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			return nil, err
		}
		if err == io.EOF {
			return append(line, '\n'), nil // the next call ends it
		}
		return line, err
	}
}

// isRequest reports whether a message wants an answer.
func isRequest(line []byte) bool {
	id, method := false, false
	ok := schemas.EachJSON(line, func(k, v []byte) {
		switch strings.ToLower(string(k)) { // the SDK takes any case
		case `"id"`:
			id = v[0] != 'n'
		case `"method"`:
			method = true
		}
	})
	return ok && id && method
}
