package serve

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/mark3labs/mcp-go/server"
)

// sessions holds the sessions of the legacy protocol and the credentials that own them. The SDK
// accepts a session id from everybody who knows it; here it is valid only with the token that began
// it.
type sessions struct {
	mu sync.Mutex
	// owners holds the id of the owner's credential by session id; empty for a caller without a
	// token.
	owners map[string]string
}

// maxSessionsOf is how many sessions one credential may have at once.
const maxSessionsOf = 1000

// full reports whether a credential has as many sessions as it may have.
func (s *sessions) full(credential string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, owner := range s.owners {
		if owner == credential {
			n++
		}
	}
	return n >= maxSessionsOf
}

func (s *sessions) owner(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, known := s.owners[id]
	return owner, known
}

// ResolveSessionIdManager implements server.SessionIdManagerResolver. It has no request if the SDK
// removes idle sessions.
func (s *sessions) ResolveSessionIdManager(r *http.Request) server.SessionIdManager {
	if r == nil {
		return ownSessions{s, "", true}
	}
	return ownSessions{s, visitorOf(r.Context()).caller.Credential, false}
}

// ownSessions are the sessions of one credential, or all.
type ownSessions struct {
	*sessions
	owner string
	all   bool
}

var errNoSession = errors.New("no such session")

func (s ownSessions) Generate() string {
	var b [16]byte
	rand.Read(b[:])
	id := "mcp-session-" + hex.EncodeToString(b[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[id] = s.owner
	return id
}

func (s ownSessions) Validate(id string) (terminated bool, err error) {
	if owner, known := s.sessions.owner(id); !known || owner != s.owner && !s.all {
		return false, errNoSession
	}
	return false, nil
}

func (s ownSessions) Terminate(id string) (notAllowed bool, err error) {
	if _, err := s.Validate(id); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, id)
	return false, nil
}

// own accepts a session id only with the token that began the session. The SDK checks ids in some
// requests only: not in those that listen or end a session, nor in replies to its elicitations.
func (h *HTTP) own(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get(server.HeaderKeySessionID); id != "" {
			v := visitorOf(r.Context())
			owner, known := h.sessions.owner(id)
			stolen := known && owner != v.caller.Credential
			if stolen {
				h.Log.LogAttrs(r.Context(), slog.LevelWarn, "a session id was used with another token than the one that began it",
					slog.String("caller", v.caller.Actor.String()), slog.String("owner", owner), slog.String("from", h.remote(r).String()))
			}
			// For a POST the SDK answers the same, except in the protocol without sessions.
			if stolen || !known && r.Method != http.MethodPost {
				http.Error(w, "Invalid session ID", http.StatusNotFound)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
