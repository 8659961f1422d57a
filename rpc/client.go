package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	// DefaultBaseURL is Sippet's origin.
	DefaultBaseURL = "https://api.sippet.ai"
	// DefaultDeadline is the time limit of a call, retries included.
	DefaultDeadline = 30 * time.Second
	// defaultMaxResponse is the longest answer that is read.
	defaultMaxResponse = 32 << 20
)

// Config is what New needs to connect to Sippet.
type Config struct {
	// BaseURL is the origin, with a path before /rpc where a gateway needs one. http:// is allowed
	// for this machine only.
	BaseURL string
	// Key is sent in x-api-key.
	Key Key
	// Log gets a debug line for each attempt, and a warning if no answer came; nil logs nothing.
	Log *slog.Logger
	// MaxResponse bounds an answer in bytes, uncompressed; 0 is 32 MiB.
	MaxResponse int64
	// RetryDelay is the wait before the first repeat of a read; 0 is 100 ms.
	RetryDelay time.Duration
}

// Client calls one Sippet organisation. It is safe for concurrent use. It keeps connections open,
// so use one for all calls.
type Client struct {
	transport *http.Transport
	run       *http.Request // templates with URL and headers
	validate  *http.Request
	retries   failsafe.Executor[*reply]
	queue     *queue
	redact    *redactor
	max       int64
	log       *slog.Logger

	keyName string
}

// Request is one canonical payload.
type Request struct {
	// Action is the name of the action, for messages and the log. Body says what runs.
	Action string
	// Body is sent byte for byte.
	Body []byte
	// Read is true if a repeat changes nothing. Validate ignores it.
	Read bool
	// Deadline is the time limit of the call, retries included; 0 is DefaultDeadline. A request waits
	// for its turn for at most half of it.
	Deadline time.Duration
	// Caller is the id of the caller. Callers take turns.
	Caller string
	// Rank orders the requests that wait.
	Rank Rank
	// Recheck is called if the request had to wait for its turn, before it is sent. Its error ends
	// the call. Nil checks nothing.
	Recheck func(context.Context) *schemas.Error
}

// Result is what is known about a call. After an error, Data is nil and the other fields are set.
type Result struct {
	// Data is the envelope's data, byte for byte: a record, a list, a page or null.
	// It is valid JSON, but strings in it may hold invalid UTF-8.
	Data json.RawMessage
	// Sent reports whether any byte of the request may have left this process, in any attempt.
	// If it is false, Sippet cannot have run anything.
	Sent bool
	// Status is the HTTP status of the last answer; 0 if there was none.
	Status int
	// Attempts is the number of requests that were started.
	Attempts int
}

// New checks the configuration and returns a client. It sends nothing.
func New(c Config) (*Client, error) {
	base, err := parseBase(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if err := c.Key.check(); err != nil {
		return nil, err
	}
	if c.MaxResponse <= 0 {
		c.MaxResponse = defaultMaxResponse
	}
	if c.RetryDelay <= 0 {
		c.RetryDelay = 100 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	header := http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/json"},
		"User-Agent":   {"sippet-mcp"},
		"X-Api-Key":    {string(c.Key)},
	}
	endpoint := func(name string) *http.Request {
		u := base.JoinPath("rpc", "public", name)
		return &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: header,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	}
	return &Client{
		transport: newTransport(base),
		run:       endpoint("run"),
		validate:  endpoint("validate"),
		retries:   newRetries(c.RetryDelay),
		queue:     newQueue(c.Log),
		redact:    newRedactor(c.Key),
		max:       c.MaxResponse,
		log:       c.Log,

		keyName: keyName(base, c.Key),
	}, nil
}

// KeyName returns a name of the key: the host, and a fingerprint of origin and key that does not
// reveal the key. Two keys never have the same name.
func (c *Client) KeyName() string { return c.keyName }

func keyName(base *url.URL, key Key) string {
	sum := sha256.Sum256([]byte("sippet-mcp key\x00" + base.String() + "\x00" + string(key)))
	return base.Host + " " + hex.EncodeToString(sum[:6])
}

// ShareTurns lets the requests of this client wait for their turn together with those of another:
// one limit, one pause. Call it before the first request.
func (c *Client) ShareTurns(with *Client) { c.queue = with.queue }

// Close closes the idle connections. Calls in flight continue.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Validate asks Sippet to check the payload, and returns nil if it passed. It changes nothing, so
// it is repeated like a read.
//
// Outcomes: validation_failed if Sippet found faults, upstream_error if Sippet did not check it
// (the key, a limit), upstream_unavailable for all other failures.
func (c *Client) Validate(ctx context.Context, r Request) *schemas.Error {
	r.Read = true
	_, err := c.call(ctx, c.validate, r, validating)
	return err
}

// Run runs the payload: a write at most once, a read with retries.
//
// Outcomes: upstream_error, upstream_unavailable, and for a write outcome_unknown; see the package
// comment.
func (c *Client) Run(ctx context.Context, r Request) (Result, *schemas.Error) {
	kind := writing
	if r.Read {
		kind = reading
	}
	return c.call(ctx, c.run, r, kind)
}

func (c *Client) call(ctx context.Context, endpoint *http.Request, r Request, kind callKind) (Result, *schemas.Error) {
	if len(r.Body) == 0 {
		// Sippet would report a missing action. It is a mistake of this program, so it is reported
		// as one.
		return Result{}, &schemas.Error{Outcome: schemas.InvalidArguments,
			Message: fmt.Sprintf("the payload of %s is empty; nothing was sent", r.Action)}
	}
	deadline := r.Deadline
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	until, _ := ctx.Deadline()
	s := sending{c, endpoint, r, time.Now().Add(time.Until(until) / 2)}
	var rep *reply
	if r.Read {
		rep = s.withRetries(ctx)
	} else {
		rep = s.inTurn(ctx)
	}
	res := Result{Sent: rep.sent, Status: rep.status, Attempts: rep.attempts}
	if rep.verdict == done {
		res.Data = c.redact.json(rep.data)
		return res, nil
	}
	return res, c.errorFor(rep, r, kind)
}

// maxBase bounds the base URL, for the same reason as maxKey.
const maxBase = 1 << 10

// parseBase parses the origin. Its errors never repeat the text, which may hold a password.
func parseBase(text string) (*url.URL, error) {
	const hint = ": set SIPPET_BASE_URL to something like " + DefaultBaseURL
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxBase:
		return nil, errors.New("the base URL cannot be parsed" + hint)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the base URL must begin with https://" + hint)
	case u.Hostname() == "":
		return nil, errors.New("the base URL names no host" + hint)
	case u.User != nil:
		return nil, errors.New("the base URL holds a user or a password" + hint)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("the base URL holds a query or a fragment" + hint)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("the base URL is http:// to another machine, which would send the key unencrypted" + hint)
	}
	if u.Path == "" {
		u.Path = "/" // else JoinPath returns a relative path
	}
	return u, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
