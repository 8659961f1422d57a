package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// Variables only for tests.
var (
	// readWithin is how long a client may take to send the body of a request.
	readWithin = 30 * time.Second
	// largeWithin is how long a large message waits for room.
	largeWithin = 10 * time.Second
)

const (
	// maxBegin bounds a message that begins a session: the client's name is kept as long as it.
	maxBegin = 16 << 10
	// maxOther bounds every other message that is no call of a tool.
	maxOther = 64 << 10
	// A message of more than largeBody bytes waits, for a while, until there is room for it: all such
	// messages that are handled at once have largeRoom bytes.
	largeBody = 256 << 10
	largeRoom = 4 * maxMessage
)

// errBusy means that there was no room for a large message.
var errBusy = errors.New("too many large messages at once")

// bounded gives every body the same time to arrive, also one that nobody reads.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readWithin)) // every connection has one
		}
		next.ServeHTTP(w, r)
	})
}

// readBody reads a body of at most max bytes, which replaces that of the request. From then on the
// connection may be silent: a call can wait for a person.
func readBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, http.NewResponseController(w).SetReadDeadline(time.Time{})
}

// room holds the bytes of the large messages that are handled.
type room struct{ *semaphore.Weighted }

func newRoom() room { return room{semaphore.NewWeighted(largeRoom)} }

// enter waits until there is room for the body of a request, and returns what gives it back.
func (h room) enter(r *http.Request) (leave func(), err error) {
	size := r.ContentLength
	if size >= 0 && size <= largeBody {
		return func() {}, nil
	}
	if size < 0 || size > maxMessage { // the length is unknown, or will be rejected
		size = maxMessage
	}
	ctx, cancel := context.WithTimeout(r.Context(), largeWithin)
	defer cancel()
	if h.Acquire(ctx, size) != nil {
		return nil, errBusy
	}
	return func() { h.Release(size) }, nil
}
