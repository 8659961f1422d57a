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
	// ErrUnauthorized is wrapped by HTTP.Authenticate where the secret lets nobody in. Its text goes to the log, and
	// never to the caller: why it does not is nobody's business who cannot show a good one.
	ErrUnauthorized = errors.New("not let in")
	// ErrNoTokens is what HTTP.Authenticate answers where tokens are not in use yet.
	ErrNoTokens = errors.New("tokens are not in use")
)

const (
	realm    = `Bearer realm="sippet-mcp"`
	noToken  = "a token is needed: send the header Authorization: Bearer …; whoever runs this server creates one with `sippet-mcp tokens create`"
	badToken = "this token lets nobody in: ask whoever runs this server for another one"
	tooMany  = "too many requests without a good token came from this address: wait, and look at the token that your program sends"
)

// visitor is who a request is from, as its context holds it.
type visitor struct {
	secret string
	caller tools.Caller
}

type visitorKey struct{}

func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// authenticate lets only known callers through, before anything of a body is read. Where a good token is shown it does
// not matter what others at the same address did: behind a proxy or a router many people share one.
func (h *HTTP) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secretInURL(r) {
			// An address ends up in logs and histories, so a token in one is not to be relied on, however good it is.
			w.Header().Set("WWW-Authenticate", realm+`, error="invalid_request", error_description="a token in the address is never taken"`)
			http.Error(w, "a token in the address is never taken, and is known to others by now: revoke it, and send another one in the header Authorization", http.StatusBadRequest)
			return
		}
		secret, ok := bearer(r)
		if !ok {
			w.Header().Set("WWW-Authenticate", realm+`, error="invalid_request", error_description="more than one Authorization header"`)
			http.Error(w, "more than one Authorization header was sent; send one", http.StatusBadRequest)
			return
		}
		caller, err := h.caller(r.Context(), secret)
		switch {
		case err == nil:
			ctx := context.WithValue(tools.WithCaller(r.Context(), caller), visitorKey{}, visitor{secret, caller})
			next.ServeHTTP(w, r.WithContext(ctx))
		case errors.Is(err, ErrUnauthorized):
			h.refuse(w, r, secret != "", err)
		case r.Context().Err() != nil: // nobody waits for an answer any more
		default:
			h.Log.LogAttrs(r.Context(), slog.LevelError, "nobody can be let in", slog.String("cause", err.Error()))
			w.Header().Set("Retry-After", "5")
			http.Error(w, "this server cannot serve you now; nothing was done, try again later, or ask whoever runs it to look into its log", http.StatusServiceUnavailable)
		}
	})
}

// caller says who shows the secret; it is empty where none was shown.
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

// refuse answers whoever is not let in. What was shown is not in the log.
func (h *HTTP) refuse(w http.ResponseWriter, r *http.Request, shown bool, cause error) {
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
		more = append(more, slog.String("note", "more from this address are refused without a line in the log"))
	}
	h.Log.LogAttrs(r.Context(), slog.LevelWarn, "a request without a good token was refused", more...)
	challenge, text := realm, noToken
	if shown {
		challenge, text = realm+`, error="invalid_token", error_description="the token lets nobody in"`, badToken
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, text, http.StatusUnauthorized)
}

// bearer gives the secret that a request shows, empty where it shows none; false where it shows several.
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

// secretInURL reports whether a request shows a token in its address, where RFC 6750 would let it.
func secretInURL(r *http.Request) bool {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, "access_token") || strings.Contains(key+" "+strings.Join(values, " "), "smcp_") {
			return true
		}
	}
	return strings.Contains(r.URL.RawQuery, "smcp_") // also where the rest is no query
}

// recheck is how often a stream that stays open asks whether its caller is still let in.
const recheck = 500 * time.Millisecond

// watch ends a stream once its caller is not let in any more, until ctx ends.
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
			h.Log.LogAttrs(ctx, slog.LevelInfo, "a stream was ended: its caller is not let in any more", slog.String("caller", v.caller.Actor.String()))
			end()
			return
		}
	}
}
