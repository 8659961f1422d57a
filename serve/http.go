package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

const (
	// sessionIdle ends sessions that clients left without a word.
	sessionIdle = 10 * time.Minute
	// grace is how long calls in flight may go on when the server is told to stop: a validate, a run, and a little.
	grace = 2*rpc.DefaultDeadline + 5*time.Second
)

// HTTP serves streamable HTTP at /mcp and health at /healthz.
type HTTP struct {
	Server *tools.Server
	Caller tools.Caller
	// Health is what /healthz answers beside its status.
	Health map[string]any
	Log    *slog.Logger
}

// Listen opens the address. Only loopback is taken: callers have no names yet,
// so whoever can reach the port can use the key.
func Listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not host:port, such as 127.0.0.1:8765", addr)
	}
	if !loopback(host) {
		return nil, fmt.Errorf("refusing to listen on %q: callers are not authenticated, so only this machine may reach the server; use 127.0.0.1", host)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; choose another with --addr", addr, err)
	}
	return ln, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// Serve serves until ctx ends; then it takes no more and finishes the calls in flight.
func (h *HTTP) Serve(ctx context.Context, ln net.Listener) error {
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	srv := &http.Server{
		Handler:           h.handler(streams),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelWarn),
		// No WriteTimeout: a call may wait for a person, a stream stays open.
	}
	// Once no more is taken: who listens or waits for a person would hold the shutdown.
	srv.RegisterOnShutdown(endStreams)
	srv.RegisterOnShutdown(h.Server.HangUp)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return fmt.Errorf("calls in flight did not end within %s; see the log for how they ended", grace)
	}
	return nil
}

func (h *HTTP) handler(streams context.Context) http.Handler {
	sdk := server.NewStreamableHTTPServer(h.Server.MCP,
		server.WithStateful(true),
		server.WithSessionIdleTTL(sessionIdle),
		server.WithStreamableHTTPLogger(h.Log),
		server.WithHTTPContextFunc(func(ctx context.Context, _ *http.Request) context.Context {
			return tools.WithCaller(ctx, h.Caller)
		}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.health)
	mux.Handle("/mcp", front(sdk, streams))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "nothing here: MCP is at /mcp, health at /healthz", http.StatusNotFound)
	})
	return guard(mux)
}

func (h *HTTP) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body := map[string]any{"status": "ok"}
	for k, v := range h.Health {
		body[k] = v
	}
	_ = json.NewEncoder(w).Encode(body)
}

// guard turns away what a browser was tricked into: pages of other origins,
// and names that were rebound to this machine.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !loopback(host) {
			http.Error(w, "the Host header must name this machine, such as 127.0.0.1", http.StatusForbidden)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || !loopback(u.Hostname()) {
				http.Error(w, "pages of other origins may not use this server", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// front stands before the SDK's handler: it bounds bodies before they are
// read, drops cancellations that could hit somebody else's call, and ends
// listening streams when the server stops.
func front(next http.Handler, streams context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(streams, cancel)()
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err != nil {
			var long *http.MaxBytesError
			if errors.As(err, &long) {
				problem(w, http.StatusRequestEntityTooLarge, "the message is longer than 8 MiB; nothing was done, send less")
			} else {
				problem(w, http.StatusBadRequest, "the message could not be read; nothing was done")
			}
			return
		}
		if straysCancel(r, body) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func problem(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": mcp.INVALID_REQUEST, "message": message}})
}

// straysCancel reports whether a message cancels a call by its bare number.
// The SDK finds calls by session and number, and requests of the modern era
// have no session: their numbers are shared by everybody.
func straysCancel(r *http.Request, body []byte) bool {
	cancels := false
	schemas.EachJSON(body, func(k, v []byte) {
		// As the SDK reads it: any case, the last one counts.
		if strings.EqualFold(schemas.DecodeString(k), "method") && v[0] == '"' {
			cancels = schemas.DecodeString(v) == string(mcp.MethodNotificationCancelled)
		}
	})
	// A message that is modern by its body alone is refused by the SDK.
	return cancels && (r.Header.Get(server.HeaderKeySessionID) == "" || mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)))
}
