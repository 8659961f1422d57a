package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// Options say which organisation to open. The zero value is one in memory, of
// seed 1, in real time.
type Options struct {
	// Path is a SQLite file that keeps the organisation across runs; "" is memory.
	Path string
	// Seed makes the organisation and the course of events, ids included; 0 is 1.
	// A file that has an organisation already keeps it, and its seed.
	Seed uint64
	// Scale adds that many contacts and that many calls of the past to a new
	// organisation, to see how lists behave when they are long.
	Scale int
	// Now is the organisation's clock; nil is the real one. Where a file was
	// written to at a later time than that, the clock goes on from there.
	Now func() time.Time
	// Faults make requests go wrong on purpose; the first that fits counts.
	Faults []Fault
	// Log gets what goes wrong inside; nil discards it.
	Log *slog.Logger
}

// Sandbox is one open organisation. It may be used by many goroutines.
type Sandbox struct {
	engine    *ash.Engine
	log       *slog.Logger
	pickFault func(endpoint, action string) *Fault
}

// storeTable marks a database as one of the sandbox's.
const storeTable = "sandbox"

// New opens an organisation, and seeds it where it is new. It takes some tens of milliseconds.
func New(o Options) (*Sandbox, error) {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	seed, known, err := ash.ReadFact(context.Background(), o.Path, storeTable, "seed")
	if err != nil {
		return nil, err
	}
	if known {
		o.Seed = uint64(seed)
	}
	org := newOrganisation(o.Seed)
	org.scale = o.Scale
	e, err := ash.Open(context.Background(), org.domain(), o.Path, o.Now)
	if err != nil {
		return nil, err
	}
	return &Sandbox{engine: e, log: o.Log, pickFault: faultPicker(org, o.Faults)}, nil
}

// Close closes the organisation. One in memory is gone with it.
func (s *Sandbox) Close() error { return s.engine.Close() }

// Handler answers the two endpoints. Any x-api-key will do, but for the magic
// ones (see keys.go), and one must be there: without it the answer is 401.
func (s *Sandbox) Handler() http.Handler { return s.handler(checkTestKey) }

func (s *Sandbox) handler(admit func(key, action string) *response) http.Handler {
	return &handler{engine: s.engine, log: s.log, authorise: admit, pickFault: s.pickFault}
}

// Serve listens on a free port of the loopback interface until the context
// ends. It gives the base URL, such as http://127.0.0.1:40123, and the key
// that callers must send: a random one, so that nothing else on the machine
// gets in. Closing the sandbox is left to the caller.
func (s *Sandbox) Serve(ctx context.Context) (baseURL, key string, err error) {
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return "", "", fmt.Errorf("sandbox key: %w", err)
	}
	key = "sandbox_" + base64.RawURLEncoding.EncodeToString(secret)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", fmt.Errorf("listen for the sandbox: %w", err)
	}
	h := s.handler(func(got, _ string) *response {
		if subtle.ConstantTimeCompare([]byte(got), []byte(key)) != 1 {
			return errorResponse(http.StatusUnauthorized)
		}
		return nil
	})
	go func() {
		if err := s.serve(ctx, l, h); err != nil {
			s.log.Error("sandbox: cannot serve", "error", err)
		}
	}()
	return "http://" + l.Addr().String(), key, nil
}

// ServeOn answers on a listener as [Sandbox.Handler] does, until the context
// ends; that is no error. It closes the listener.
func (s *Sandbox) ServeOn(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.Handler())
}

// shutdownTimeout bounds how long the end of serving waits for requests.
const shutdownTimeout = 2 * time.Second

func (s *Sandbox) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// So that a request which a fault holds for ever does not hold the end.
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() { // it ended before the context did
		srv.Close()
		return err
	}
	<-stopped
	return nil
}
