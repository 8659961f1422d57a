package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
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
	// sessionIdle is how long a session without requests is kept.
	sessionIdle = 10 * time.Minute
	// grace is how long calls in flight may continue after the server is told to stop: one
	// validation, one run, and a little more.
	grace = 2*rpc.DefaultDeadline + 5*time.Second
)

// HTTP serves streamable HTTP at /mcp, the inbox at /inbox, and health at /healthz.
type HTTP struct {
	// Server is nil if there is only an inbox.
	Server *tools.Server
	// Inbox serves /inbox and everything below it, and authenticates people by itself; nil without
	// one.
	Inbox http.Handler
	// Caller is the caller of requests without a name: on this machine, while no tokens are in use.
	Caller tools.Caller
	// Authenticate returns the caller with a secret, which is empty if a request has none. Its
	// error wraps ErrUnauthorized if the secret is not valid, and is ErrNoTokens while no tokens
	// are in use. Any other error means that it is unknown now. It is called for every request, and
	// twice a second for an open stream. If nil, only this machine may connect, and everybody is
	// Caller.
	Authenticate func(ctx context.Context, secret string) (tools.Caller, error)
	// Strict requires a token even on this machine, and while none are in use. A server that is
	// available beyond this machine is strict anyway.
	Strict bool
	// Hosts are the names of the server beyond this machine, in lower case.
	Hosts []string
	// Public is the URL under which others reach the server, such as https://ops.example.com/sippet;
	// nil without one. A proxy may leave its path in requests, or remove it.
	Public *url.URL
	// Certificate is for TLS; nil means plain HTTP.
	Certificate *Certificate
	// Proxies are the addresses of the proxies before the server. If there are any, nobody else may
	// connect.
	Proxies []netip.Prefix
	// Health is what /healthz returns beside its status, to everybody.
	Health map[string]any
	Log    *slog.Logger
	// Now is the clock for the limit of failures; nil means time.Now.
	Now func() time.Time

	strict   bool
	sessions *sessions
	failures *failures
	room     room
}

// Serve serves until ctx ends. Then it accepts no more requests and finishes the calls in flight.
// It is called once.
func (h *HTTP) Serve(ctx context.Context, ln net.Listener) error {
	if err := h.mayListen(hostOf(ln)); err != nil {
		return err
	}
	h.strict = !h.Open(ln)
	ln = newCrowd(ln, h.proxied)
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	srv := &http.Server{
		Handler:           h.handler(streams),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       withMember,
		ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelWarn),
		// No WriteTimeout: a call may wait for a person, and a stream stays open.
	}
	// Open streams, and calls that wait for a person, would delay the shutdown.
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
		return fmt.Errorf("calls in flight did not finish within %s; read the log for their outcome", grace)
	}
	return nil
}

func (h *HTTP) handler(streams context.Context) http.Handler {
	now := h.Now
	if now == nil {
		now = time.Now
	}
	h.failures, h.sessions, h.room = newFailures(now), &sessions{owners: map[string]string{}}, newRoom()
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
			// guard checks more, and accepts names that a proxy on this machine passes on.
			server.WithDisableLocalhostProtection(true),
			server.WithStreamableHTTPLogger(h.Log))
		mux.Handle("/mcp", h.authenticate(h.own(h.front(sdk, streams))))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "nothing here: "+here, http.StatusNotFound)
	})
	return bounded(h.guard(h.unprefixed(mux)))
}

// unprefixed removes the path of Public from requests.
func (h *HTTP) unprefixed(next http.Handler) http.Handler {
	if h.Public == nil || h.Public.Path == "" {
		return next
	}
	stripped := http.StripPrefix(h.Public.Path, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, h.Public.Path+"/") {
			stripped.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// people wraps the inbox. An address with too many failed logins must wait, and streams end with
// the server. A valid session, code or token is never limited: many people share an address.
func (h *HTTP) people(next http.Handler, streams context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secretInURL(r) {
			http.Error(w, tokenInURL, http.StatusBadRequest)
			return
		}
		if r.Method == http.MethodGet {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(streams, cancel)()
			r = r.WithContext(ctx)
		}
		if _, err := readBody(w, r, largeBody); err != nil {
			http.Error(w, "the request is too long or took too long to arrive; nothing was changed", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(&limited{ResponseWriter: w, h: h, r: r}, r)
	})
}

// limited writes 429 instead of 401 after too many failures.
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
			l.h.Log.LogAttrs(l.r.Context(), slog.LevelWarn, "a login to the inbox failed",
				slog.String("from", from.String()), slog.Bool("last", last))
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

// front wraps the SDK's handler. It bounds bodies before they are read, drops cancellations that
// could end the call of another client, and ends open streams when the server stops or when their
// caller's token is not valid any more.
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
		leave, err := h.room.enter(r)
		if err != nil {
			w.Header().Set("Retry-After", "5")
			problem(w, http.StatusServiceUnavailable, err.Error()+"; nothing was done, send it again in a few seconds")
			return
		}
		defer leave()
		body, err := readBody(w, r, maxMessage)
		if err != nil {
			var long *http.MaxBytesError
			if errors.As(err, &long) {
				problem(w, http.StatusRequestEntityTooLarge, "the message is longer than 15 MiB; nothing was done, send less")
			} else {
				problem(w, http.StatusBadRequest, "the message could not be read, or took too long to arrive; nothing was done")
			}
			return
		}
		defer beginCall(r.Context())()
		method := methodOf(body)
		if max := maxOf(method); len(body) > max {
			problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a message of %s has at most %d KiB; nothing was done, send less", cmp.Or(method, "this kind"), max>>10))
			return
		}
		if method == string(mcp.MethodInitialize) && h.sessions.full(visitorOf(r.Context()).caller.Credential) {
			w.Header().Set("Retry-After", "60")
			problem(w, http.StatusTooManyRequests, fmt.Sprintf("this token has %d sessions; end some of them with DELETE, or wait until they have been idle for %s", maxSessionsOf, sessionIdle))
			return
		}
		if isStrayCancel(r, method) {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if method == string(mcp.MethodSubscriptionsListen) {
			listen(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxOf returns the most bytes of a message with a method.
func maxOf(method string) int {
	switch method {
	case string(mcp.MethodToolsCall):
		return maxMessage
	case string(mcp.MethodInitialize):
		return maxBegin
	}
	return maxOther
}

func problem(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": mcp.INVALID_REQUEST, "message": message}})
}

// methodOf returns the method of a message as the SDK reads it: in any case, and the last one
// counts.
func methodOf(body []byte) (method string) {
	schemas.EachJSON(body, func(k, v []byte) {
		if strings.EqualFold(schemas.DecodeString(k), "method") && v[0] == '"' {
			method = schemas.DecodeString(v)
		}
	})
	return method
}

// isStrayCancel reports whether a message cancels a call by its bare number. The SDK finds calls by
// session and number, and requests of the modern protocol have no session: all clients share their
// numbers.
func isStrayCancel(r *http.Request, method string) bool {
	// The SDK rejects a message that is modern by its body alone.
	return method == string(mcp.MethodNotificationCancelled) &&
		(r.Header.Get(server.HeaderKeySessionID) == "" || mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)))
}
