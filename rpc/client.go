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
	// DefaultBaseURL is Sippet's own origin.
	DefaultBaseURL = "https://api.sippet.ai"
	// DefaultDeadline is the time of a call, retries included.
	DefaultDeadline = 30 * time.Second
	// defaultMaxResponse is the longest answer that is read.
	defaultMaxResponse = 32 << 20
)

// Config says where Sippet is and who calls.
type Config struct {
	// BaseURL is the origin, and a path before /rpc where a gateway needs one. http:// is for this machine only.
	BaseURL string
	// Key is sent in x-api-key.
	Key Key
	// Log gets a line an attempt at debug level, and a warning where no answer came; nil logs nothing.
	Log *slog.Logger
	// MaxResponse bounds an answer in bytes, uncompressed; 0 is defaultMaxResponse.
	MaxResponse int64
	// RetryDelay is the wait before the first repeat of a read; 0 is 100 ms. Tests shorten it.
	RetryDelay time.Duration
}

// Client calls one Sippet organisation. It is safe for concurrent use and keeps its connections open: make one.
type Client struct {
	transport *http.Transport
	run       *http.Request // templates: URL and headers are made once
	validate  *http.Request
	retries   failsafe.Executor[*reply]
	redact    *redactor
	max       int64
	log       *slog.Logger

	organisation string
}

// Request is one canonical payload.
type Request struct {
	// Action is the name of the action, for messages and the log; what runs is what Body says.
	Action string
	// Body is sent verbatim.
	Body []byte
	// Read says that repeating is harmless. Validate takes it as said.
	Read bool
	// Deadline is the time of the call in all, retries included; 0 is DefaultDeadline.
	Deadline time.Duration
}

// Result is what is known of a call, also of one that failed: beside an error
// Data is nil and the rest holds.
type Result struct {
	// Data is the envelope's data as it came: a record, a plain list, a page with its own fields, or null.
	// It is valid JSON; strings in it may hold invalid UTF-8.
	Data json.RawMessage
	// Sent says whether any byte of the request may have left this process, in any attempt.
	// Where it is false, Sippet cannot have run anything.
	Sent bool
	// Status is the HTTP status of the last answer, 0 where none came.
	Status int
	// Attempts counts the requests begun.
	Attempts int
}

// New checks the configuration and makes a client. It sends nothing.
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
		redact:    newRedactor(c.Key),
		max:       c.MaxResponse,
		log:       c.Log,

		organisation: organisation(base, c.Key),
	}, nil
}

// Organisation names whom the client calls: the host, and a fingerprint of
// origin and key, which does not tell the key. Two organisations never have
// the same name; one that changes its key gets another.
func (c *Client) Organisation() string { return c.organisation }

func organisation(base *url.URL, key Key) string {
	sum := sha256.Sum256([]byte("sippet-mcp organisation\x00" + base.String() + "\x00" + string(key)))
	return base.Host + " " + hex.EncodeToString(sum[:6])
}

// Close gives the idle connections back. Calls in flight go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Validate asks whether Sippet would take the payload; nil means that it
// passed. It changes nothing, so it is repeated as a read is.
//
// Outcomes: validation_failed where Sippet found faults, upstream_error where
// it refused to look (the key, a limit), upstream_unavailable for all else.
func (c *Client) Validate(ctx context.Context, r Request) *schemas.Error {
	r.Read = true
	_, err := c.call(ctx, c.validate, r, validating)
	return err
}

// Run runs the payload: at most once, unless it is a read.
//
// Outcomes: upstream_error, upstream_unavailable, and for a write outcome_unknown, as the package comment says.
func (c *Client) Run(ctx context.Context, r Request) (Result, *schemas.Error) {
	how := writing
	if r.Read {
		how = reading
	}
	return c.call(ctx, c.run, r, how)
}

func (c *Client) call(ctx context.Context, endpoint *http.Request, r Request, how callKind) (Result, *schemas.Error) {
	if len(r.Body) == 0 {
		// An empty request body is "action missing" to Sippet; better to find our own mistake here.
		return Result{}, &schemas.Error{Outcome: schemas.InvalidArguments,
			Message: fmt.Sprintf("the payload of %s is empty; nothing was sent", r.Action)}
	}
	deadline := r.Deadline
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()

	var rep *reply
	if r.Read {
		rep = c.sendWithRetries(ctx, endpoint, r)
	} else {
		rep = c.sendOnce(ctx, endpoint, r)
	}
	res := Result{Sent: rep.sent, Status: rep.status, Attempts: rep.attempts}
	if rep.verdict == done {
		res.Data = c.redact.json(rep.data)
		return res, nil
	}
	return res, c.errorFor(rep, r, how)
}

// sendOnce sends a write. It is repeated in a single case: an idle connection
// turned out to be dead before a byte of the request was written to it. Its
// siblings are as old and as likely dead, so the repeat gets a new one.
func (c *Client) sendOnce(ctx context.Context, endpoint *http.Request, r Request) *reply {
	rep := c.attempt(ctx, endpoint, r)
	if rep.sent || !rep.reused || ctx.Err() != nil {
		return rep
	}
	c.transport.CloseIdleConnections()
	rep = c.attempt(ctx, endpoint, r)
	rep.attempts++
	return rep
}

// maxBase bounds the base URL, for the reason that maxKey gives.
const maxBase = 1 << 10

// parseBase reads the origin. Its errors never repeat the text, which may hold a password.
func parseBase(text string) (*url.URL, error) {
	const hint = ": set SIPPET_BASE_URL to something like " + DefaultBaseURL
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxBase:
		return nil, errors.New("the base URL cannot be read" + hint)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the base URL must begin with https://" + hint)
	case u.Hostname() == "":
		return nil, errors.New("the base URL names no host" + hint)
	case u.User != nil:
		return nil, errors.New("the base URL holds a user or a password" + hint)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("the base URL holds a query or a fragment" + hint)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		// The key would cross the network in the clear.
		return nil, errors.New("the base URL is http:// to another machine; the key would travel in the clear" + hint)
	}
	if u.Path == "" {
		u.Path = "/" // JoinPath would leave a path without a root
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
