package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/tools"
)

var (
	// ErrUnauthorized is wrapped by HTTP.Authenticate if the secret is not valid. Its text goes to
	// the log, and never to the client: without a valid token nobody learns the reason.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrNoTokens is the error of HTTP.Authenticate while no tokens are in use.
	ErrNoTokens = errors.New("tokens are not in use")
)

const (
	realm   = `Bearer realm="sippet-mcp"`
	noToken = "a token is required: send the header Authorization: Bearer …; " +
		"the person who runs this server creates one with `sippet-mcp tokens create`"
	badToken   = "this token is invalid, expired or revoked: ask the person who runs this server for another one"
	tooMany    = "too many requests without a valid token from this address: wait, and check the token of your program"
	tokenInURL = "a token in the URL is rejected, and may be known to others: " +
		"revoke it, and send another one in the header Authorization"
	cannotCheck = "this server cannot authenticate callers now; nothing was done; " +
		"try again later, or ask the person who runs it to read its log"
)

// visitor is the caller of a request, as its context holds it.
type visitor struct {
	secret string
	caller tools.Caller
}

type visitorKey struct{}

func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// authenticate rejects unknown callers before any part of a body is read. A valid token is never
// limited by what others at the same address did: many people share the address of a proxy or
// router.
func (h *HTTP) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secretInURL(r) {
			// URLs end up in logs and histories, so even a valid token in one must not be used.
			w.Header().Set("WWW-Authenticate", realm+`, error="invalid_request", error_description="a token in the URL is rejected"`)
			http.Error(w, tokenInURL, http.StatusBadRequest)
			return
		}
		secret, ok := bearer(r)
		if !ok {
			w.Header().Set("WWW-Authenticate", realm+`, error="invalid_request", error_description="more than one Authorization header"`)
			http.Error(w, "more than one Authorization header; send one", http.StatusBadRequest)
			return
		}
		caller, err := h.caller(r.Context(), secret)
		switch {
		case err == nil:
			ctx := context.WithValue(tools.WithCaller(r.Context(), caller), visitorKey{}, visitor{secret, caller})
			next.ServeHTTP(w, r.WithContext(ctx))
		case errors.Is(err, ErrUnauthorized):
			h.reject(w, r, secret != "", err)
		case r.Context().Err() != nil: // the client has disconnected
		default:
			h.Log.LogAttrs(r.Context(), slog.LevelError, "callers cannot be authenticated", slog.String("cause", err.Error()))
			w.Header().Set("Retry-After", "5")
			http.Error(w, cannotCheck, http.StatusServiceUnavailable)
		}
	})
}

// caller returns the caller with the secret; the secret is empty if the request has none.
func (h *HTTP) caller(ctx context.Context, secret string) (tools.Caller, error) {
	if h.Authenticate == nil {
		return h.Caller, nil
	}
	c, err := h.Authenticate(ctx, secret)
	if errors.Is(err, ErrNoTokens) {
		if secret == "" && !h.strict {
			return h.Caller, nil
		}
		err = fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return c, err
}

// reject answers a request without a valid token. The log does not contain the secret.
func (h *HTTP) reject(w http.ResponseWriter, r *http.Request, shown bool, cause error) {
	from := h.remote(r)
	wait, last := h.failures.add(from)
	w.Header().Set("Cache-Control", "no-store")
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		http.Error(w, tooMany, http.StatusTooManyRequests)
		return
	}
	more := []slog.Attr{slog.String("from", from.String()), slog.String("cause", cause.Error())}
	if last {
		more = append(more, slog.String("note", "further ones from this address are not logged"))
	}
	h.Log.LogAttrs(r.Context(), slog.LevelWarn, "a request without a valid token was rejected", more...)
	challenge, text := realm, noToken
	if shown {
		challenge, text = realm+`, error="invalid_token", error_description="the token is invalid, expired or revoked"`, badToken
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, text, http.StatusUnauthorized)
}

// bearer returns the secret of a request, empty without one; false if there are several.
func bearer(r *http.Request) (string, bool) {
	all := r.Header.Values("Authorization")
	if len(all) == 0 {
		return "", true
	}
	scheme, secret, _ := strings.Cut(strings.TrimSpace(all[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", len(all) == 1
	}
	return strings.TrimSpace(secret), len(all) == 1
}

// secretInURL reports whether the URL contains a token, as RFC 6750 would allow.
func secretInURL(r *http.Request) bool {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, "access_token") || strings.Contains(key+" "+strings.Join(values, " "), "smcp_") {
			return true
		}
	}
	return strings.Contains(r.URL.RawQuery, "smcp_") // also if the query cannot be parsed
}

// recheck is how often an open stream checks whether its caller is still valid.
const recheck = 500 * time.Millisecond

// watch ends a stream when its caller is not valid any more, until ctx ends.
func (h *HTTP) watch(ctx context.Context, end context.CancelFunc) {
	v := visitorOf(ctx)
	t := time.NewTicker(recheck)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		c, err := h.caller(ctx, v.secret)
		if errors.Is(err, ErrUnauthorized) || err == nil && c.Credential != v.caller.Credential {
			h.Log.LogAttrs(ctx, slog.LevelInfo, "a stream was ended, because its caller's token is not valid any more",
				slog.String("caller", v.caller.Actor.String()))
			end()
			return
		}
	}
}
