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
	// maxMessage bounds one JSON-RPC message: the longest arguments and what surrounds them.
	maxMessage = schemas.MaxArguments + 64<<10
	workers    = 100 // the SDK's maximum; ledger.MaxWaiting of them may wait for a person
	queue      = 1000
	// lastCalls is how long calls in flight may continue after the end of the input.
	lastCalls = grace
)

// Stdio serves one client on in and out until in or ctx ends. The SDK keeps the client's state in a
// global, so a process can have one such server.
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

// lines writes whole messages: the SDK writes answers under one lock and requests of its own under
// none. It also counts the requests without an answer, and drops the answers of cancelled ones: the
// SDK writes them, and some clients fail on an answer to an id that they have forgotten.
type lines struct {
	mu       sync.Mutex
	out      io.Writer
	inFlight map[any]requests // by id; the SDK also answers messages that are no requests, which do not count
	idle     chan struct{}    // closed when there are none; nil if nobody waits
}

// requests counts those of one id that have no answer yet. A client should have one at a time.
type requests struct{ open, cancelled int }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id := answered(p); l.inFlight[id].open > 0 && l.settle(id) {
		return len(p), nil
	}
	return l.out.Write(p)
}

// settle counts one answer to an id in flight. It reports whether a cancelled request gets it.
func (l *lines) settle(id any) (cancelled bool) {
	r := l.inFlight[id]
	r.open--
	if cancelled = r.cancelled > 0; cancelled {
		r.cancelled--
	}
	l.inFlight[id] = r
	if r.open == 0 {
		delete(l.inFlight, id)
	}
	if len(l.inFlight) == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
	return cancelled
}

var answerHead = []byte(`{"jsonrpc":"2.0","id":`)

// answered returns the id of the request that a message answers; nil if it answers none. It reads
// the beginning only: the SDK writes jsonrpc and id first, and method next in anything but an
// answer.
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

// idOf returns an id as a comparable value, because the SDK formats it differently. Only strings
// and numbers are ids.
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
		l.inFlight = map[any]requests{}
	}
	r := l.inFlight[id]
	r.open++
	l.inFlight[id] = r
	l.mu.Unlock()
}

// cancel makes Write drop the answer of a request in flight. It reports whether there is one.
func (l *lines) cancel(id any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.inFlight[id]
	if r.cancelled == r.open {
		return false
	}
	r.cancelled++
	l.inFlight[id] = r
	return true
}

// settled waits until every request has an answer.
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

// frames reads messages by line for the SDK. None is longer than maxMessage.
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
			if request, cancelled := idsOf(line); request != nil {
				f.out.begin(request)
			} else if cancelled != nil && !f.out.cancel(cancelled) {
				continue // the SDK would cancel the next request with that id
			}
			f.rest = line
			break
		}
		if err != nil {
			// After the end of input the client cannot reply to elicitations, but may still read
			// answers.
			f.ended()
			f.out.settled(f.ctx)
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

var tooLong = []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the message is longer than 15 MiB; nothing was done, send less"}}` + "\n")

// next returns the next line with its end; empty if it was blank or too long.
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
			return append(line, '\n'), nil // the next call returns EOF
		}
		return line, err
	}
}

// idsOf returns the id of a message that needs an answer, or the id of the request that a message
// cancels; nil if it does neither.
func idsOf(line []byte) (request, cancelled any) {
	var id any
	var method string
	ok := schemas.EachJSON(line, func(k, v []byte) {
		switch strings.ToLower(string(k)) { // the SDK ignores case
		case `"id"`:
			id = idOf(v)
		case `"method"`:
			method = string(v)
		case `"params"`:
			cancelled = nil
			schemas.EachJSON(v, func(k, v []byte) {
				if schemas.DecodeString(k) == "requestId" {
					cancelled = idOf(v)
				}
			})
		}
	})
	switch {
	case !ok || method == "":
		return nil, nil
	case id != nil:
		return id, nil
	case schemas.DecodeString([]byte(method)) != "notifications/cancelled":
		return nil, nil
	}
	return nil, cancelled
}
