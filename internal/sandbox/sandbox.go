// Package sandbox serves a simulated Sippet organisation over HTTP.
//
// Open one with [New], and serve it with [Sandbox.Serve], [Sandbox.ServeOn] or [Sandbox.Handler].
// It answers POST /rpc/public/run and POST /rpc/public/validate with all actions of Sippet's org
// API, and stores what is written. People and agents can try everything without a key, and programs
// can be tested against it. It must never be a tool for a model.
//
// # How it works
//
// The real backend is made with Phoenix, Ash and AshTypescript. File http.go replaces Phoenix, and
// package ash replaces the other two: an engine that serves the resources and actions of a domain.
// The domain is built from package schemas. This package adds defaults and constraints
// (constraints.go), and the behaviour of actions (the files named after what the actions are
// about).
//
// Nothing runs in the background. What happens later, such as the next line of a call, is a task on
// the agenda (agenda.go). Each run performs the tasks that are due before its action.
//
// # What it is compared with
//
// TestRecorded replays responses that were recorded from a real backend. That backend's domain is
// not Sippet's, and is defined in the test. docs/sandbox.md lists what the recordings do not cover
// and this package assumes.
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

// Options say which organisation to open. The zero value is the organisation of seed 1, in memory
// and in real time.
type Options struct {
	// Path is the SQLite file in which the organisation is stored; "" is memory.
	Path string
	// Seed determines the organisation and the course of events, including ids; 0 means 1. An
	// organisation that is already in the file keeps its own seed.
	Seed uint64
	// Scale is the number of contacts, and of past calls, to add to a new organisation.
	Scale int
	// Now is the organisation's clock; nil is time.Now. If the file was last used at a later time,
	// the clock continues from that time.
	Now func() time.Time
	// Faults make requests fail on purpose. If several match a request, the first is used.
	Faults []Fault
	// Log gets internal errors; nil discards them.
	Log *slog.Logger
}

// Sandbox is an open organisation. Several goroutines may use it.
type Sandbox struct {
	engine    *ash.Engine
	log       *slog.Logger
	pickFault func(endpoint, action string) *Fault
}

// storeTable is the table that identifies a database of the sandbox.
const storeTable = "sandbox"

// New opens an organisation, and seeds it if it is new, which takes tens of milliseconds.
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

// Close closes the organisation. An organisation in memory is lost.
func (s *Sandbox) Close() error { return s.engine.Close() }

// Handler returns a handler of the two endpoints. It accepts every x-api-key except the test keys,
// such as [RejectedKey]. Without a key the status is 401.
func (s *Sandbox) Handler() http.Handler { return s.handler(checkTestKey) }

func (s *Sandbox) handler(admit func(key, action string) *response) http.Handler {
	return &handler{engine: s.engine, log: s.log, authorise: admit, pickFault: s.pickFault}
}

// Serve listens on a free port of the loopback interface until the context ends. It returns the
// base URL, such as http://127.0.0.1:40123, and a random key that requests must have, so that no
// other program on the machine has access. It does not close the sandbox.
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
			s.log.Error("sandbox: serving failed", "error", err)
		}
	}()
	return "http://" + l.Addr().String(), key, nil
}

// ServeOn serves [Sandbox.Handler] on the listener until the context ends, and then returns nil. It
// closes the listener.
func (s *Sandbox) ServeOn(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.Handler())
}

// shutdownTimeout is how long to wait for open requests when the context ends.
const shutdownTimeout = 2 * time.Second

func (s *Sandbox) serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// A request that a fault holds ends with the context.
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
	if stop() { // Serve returned before the context ended
		srv.Close()
		return err
	}
	<-stopped
	return nil
}
