package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
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
	workers    = 100 // the most that the SDK takes; ledger.MaxWaiting of them may wait for a person
	queue      = 1000
	// lastCalls is how long calls in flight may go on after the input has ended.
	lastCalls = grace
)

// Stdio serves one client on in and out until in ends or ctx does. The SDK
// keeps the client's state in a global, so there is one such server in a process.
func Stdio(ctx context.Context, s *tools.Server, caller tools.Caller, in io.Reader, out io.Writer, log *slog.Logger) error {
	w := &lines{out: out}
	r := &frames{in: bufio.NewReaderSize(in, 64<<10), out: w, ended: s.StopWaiting, ctx: ctx}
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
// questions under none. It also knows the requests that have no answer yet.
type lines struct {
	mu       sync.Mutex
	out      io.Writer
	inFlight map[any]int   // by id; the SDK also answers what is no request, which must not count
	idle     chan struct{} // closed when there are none; nil while nobody waits
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id := answered(p); l.inFlight[id] > 0 {
		if l.inFlight[id]--; l.inFlight[id] == 0 {
			delete(l.inFlight, id)
		}
		if len(l.inFlight) == 0 && l.idle != nil {
			close(l.idle)
			l.idle = nil
		}
	}
	return l.out.Write(p)
}

var answerHead = []byte(`{"jsonrpc":"2.0","id":`)

// answered gives the id of the request that a message answers, nil where it
// answers none. It looks at the beginning only: the SDK writes jsonrpc and id
// first, and after them method in what is no answer.
func answered(p []byte) any {
	rest, ok := bytes.CutPrefix(p, answerHead)
	if !ok {
		return nil
	}
	end := bytes.IndexByte(rest, ',')
	if end > 0 && rest[0] == '"' {
		for end = 1; end < len(rest) && rest[end] != '"'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		end++
	}
	if end <= 0 || end >= len(rest) || bytes.HasPrefix(rest[end:], []byte(`,"method":`)) {
		return nil
	}
	return idOf(rest[:end])
}

// idOf makes an id comparable: the SDK does not spell it as it came. Only texts and numbers are ids.
func idOf(raw []byte) any {
	if raw[0] == '"' {
		return schemas.DecodeString(raw)
	}
	if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
		return f
	}
	return nil
}

func (l *lines) begin(id any) {
	l.mu.Lock()
	if l.inFlight == nil {
		l.inFlight = map[any]int{}
	}
	l.inFlight[id]++
	l.mu.Unlock()
}

// settled waits until every request has its answer.
func (l *lines) settled(ctx context.Context) {
	l.mu.Lock()
	if len(l.inFlight) == 0 {
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
			if id := requested(line); id != nil {
				f.out.begin(id)
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

// requested gives the id of a message that wants an answer, nil where it wants none.
func requested(line []byte) (id any) {
	method := false
	ok := schemas.EachJSON(line, func(k, v []byte) {
		switch strings.ToLower(string(k)) { // the SDK takes any case
		case `"id"`:
			id = idOf(v)
		case `"method"`:
			method = true
		}
	})
	if !ok || !method {
		return nil
	}
	return id
}
