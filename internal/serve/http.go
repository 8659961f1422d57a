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
	"net/netip"
	"strconv"
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

// HTTP serves streamable HTTP at /mcp, the inbox at /inbox, and health at /healthz.
type HTTP struct {
	// Server is nil where there is only an inbox.
	Server *tools.Server
	// Inbox answers /inbox and all below it, and knows by itself who is there; nil where there is none.
	Inbox http.Handler
	// Caller is everybody, where callers have no names: on this machine, while no tokens are in use.
	Caller tools.Caller
	// Authenticate says who shows a secret, which is empty where a request shows none. Its error wraps ErrUnauthorized
	// where it lets nobody in, and is ErrNoTokens where tokens are not in use; any other says that it cannot be known
	// now. It is called for every request, and twice a second for one that listens. nil: only this machine may come, and
	// everybody on it is Caller.
	Authenticate func(ctx context.Context, secret string) (tools.Caller, error)
	// Strict lets nobody in without a token even on this machine, and while none are in use. Whoever can be reached from
	// elsewhere is strict without it.
	Strict bool
	// Hosts are the names beyond this machine's by which the server is called, in lower case.
	Hosts []string
	// Certificate makes it speak TLS; nil: plain HTTP.
	Certificate *Certificate
	// Proxies are the addresses of the proxies that stand before it. Where there are any, nobody else may connect.
	Proxies []netip.Prefix
	// Health is what /healthz answers beside its status, to anybody.
	Health map[string]any
	Log    *slog.Logger
	// Now is the clock of the limit on failures; nil means time.Now.
	Now func() time.Time

	strict   bool
	sessions *sessions
	failures *failures
}

// Serve serves until ctx ends; then it takes no more and finishes the calls in flight. It is called once.
func (h *HTTP) Serve(ctx context.Context, ln net.Listener) error {
	if err := h.mayListen(hostOf(ln)); err != nil {
		return err
	}
	h.strict = !h.Open(ln)
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
	if h.Server != nil {
		srv.RegisterOnShutdown(h.Server.StopWaiting)
	}
	failed := make(chan error, 1)
	go func() {
		if h.Certificate == nil {
			failed <- srv.Serve(ln)
			return
		}
		srv.TLSConfig = h.Certificate.config()
		failed <- srv.ServeTLS(ln, "", "")
	}()
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
	now := h.Now
	if now == nil {
		now = time.Now
	}
	h.failures, h.sessions = newFailures(now), &sessions{owners: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.health)
	here := "health at /healthz"
	if h.Inbox != nil {
		here = "the inbox is at /inbox, " + here
		inbox := h.people(h.Inbox, streams)
		mux.Handle("/inbox", inbox)
		mux.Handle("/inbox/", inbox)
	}
	if h.Server != nil {
		here = "MCP is at /mcp, " + here
		sdk := server.NewStreamableHTTPServer(h.Server.MCP,
			server.WithSessionIdManagerResolver(h.sessions),
			server.WithSessionIdleTTL(sessionIdle),
			// guard does more, and knows of names that a proxy on this machine passes on.
			server.WithDisableLocalhostProtection(true),
			server.WithStreamableHTTPLogger(h.Log))
		mux.Handle("/mcp", h.authenticate(h.own(h.front(sdk, streams))))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "nothing here: "+here, http.StatusNotFound)
	})
	return h.guard(mux)
}

// people stands before the inbox: an address from which too many failed to log in is told to wait, and streams end with
// the server. Who shows a good session, code or token is never held up: many people share an address.
func (h *HTTP) people(next http.Handler, streams context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secretInURL(r) {
			http.Error(w, "a token in the address is never taken, and is known to others by now: revoke it", http.StatusBadRequest)
			return
		}
		if r.Method == http.MethodGet {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(streams, cancel)()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(&limited{ResponseWriter: w, h: h, r: r}, r)
	})
}

// limited answers with 429 what would be a 401, where there were too many.
type limited struct {
	http.ResponseWriter
	h *HTTP
	r *http.Request
}

func (l *limited) WriteHeader(code int) {
	if code == http.StatusUnauthorized {
		from := l.h.remote(l.r)
		switch wait, last := l.h.failures.add(from); {
		case wait > 0:
			code = http.StatusTooManyRequests
			l.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		default:
			l.h.Log.LogAttrs(l.r.Context(), slog.LevelWarn, "somebody was not let into the inbox", slog.String("from", from.String()), slog.Bool("last", last))
		}
	}
	l.ResponseWriter.WriteHeader(code)
}

// Unwrap lets streams be flushed.
func (l *limited) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (h *HTTP) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body := map[string]any{"status": "ok"}
	for k, v := range h.Health {
		body[k] = v
	}
	_ = json.NewEncoder(w).Encode(body)
}

// front stands before the SDK's handler: it bounds bodies before they are
// read, drops cancellations that could hit somebody else's call, and ends
// listening streams when the server stops or their caller's token is no good any more.
func (h *HTTP) front(next http.Handler, streams context.Context) http.Handler {
	listen := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(streams, cancel)()
		if h.Authenticate != nil {
			go h.watch(ctx, cancel)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			listen(w, r)
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
		method := methodOf(body)
		if straysCancel(r, method) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if method == string(mcp.MethodSubscriptionsListen) {
			listen(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func problem(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": mcp.INVALID_REQUEST, "message": message}})
}

// methodOf gives a message's method as the SDK reads it: any case, the last one counts.
func methodOf(body []byte) (method string) {
	schemas.EachJSON(body, func(k, v []byte) {
		if strings.EqualFold(schemas.DecodeString(k), "method") && v[0] == '"' {
			method = schemas.DecodeString(v)
		}
	})
	return method
}

// straysCancel reports whether a message cancels a call by its bare number.
// The SDK finds calls by session and number, and requests of the modern era
// have no session: their numbers are shared by everybody.
func straysCancel(r *http.Request, method string) bool {
	// A message that is modern by its body alone is refused by the SDK.
	return method == string(mcp.MethodNotificationCancelled) &&
		(r.Header.Get(server.HeaderKeySessionID) == "" || mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)))
}
