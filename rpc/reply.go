package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// verdict is the meaning of a reply, whatever was called.
type verdict int

const (
	// noAnswer: no usable answer. Whether anything ran depends on what was sent.
	noAnswer verdict = iota
	// done: success, as Sippet states it.
	done
	// rejected: success:false, or a status that means that nothing was done.
	rejected
	// serverError: HTTP 500 or 501. For a write it is like noAnswer. For a read it is an answer:
	// that to a bad filter.
	serverError
	// tooLong: the answer has more bytes than are read.
	tooLong
)

// reply is the end of one call, as far as the transport knows it.
type reply struct {
	verdict    verdict
	status     int
	data       []byte // where done
	errors     []byte // with success:false, or with a status that is no success
	envelope   bool   // the answer is a well-formed envelope, so it is from Sippet and not from a proxy
	retryAfter time.Duration
	transient  bool // a repeat may help
	sent       bool
	reused     bool
	attempts   int
	reason     string         // if there is no answer: a clause that says why
	err        error          // its cause, for the log
	fault      *schemas.Error // why nothing was sent: the whole error; nil if an attempt was made
}

// maxRefusal bounds the body of an answer that is no success. Faults fit; a longer page of a proxy
// is not read.
const maxRefusal = 1 << 20

// attempt sends the request once, classifies the answer and logs it.
func (c *Client) attempt(ctx context.Context, endpoint *http.Request, r Request) *reply {
	begun := time.Now()
	rep := c.roundTrip(ctx, endpoint, r)
	rep.attempts = 1
	level := slog.LevelDebug
	if rep.verdict != done && rep.verdict != rejected && ctx.Err() != context.Canceled {
		level = slog.LevelWarn
	}
	if c.log.Enabled(ctx, level) {
		attrs := []slog.Attr{slog.String("endpoint", endpoint.URL.Path), slog.String("action", r.Action),
			slog.Int("status", rep.status), slog.Bool("sent", rep.sent), slog.Duration("took", time.Since(begun))}
		if rep.reason != "" {
			attrs = append(attrs, slog.String("why", rep.reason))
		}
		if rep.err != nil {
			attrs = append(attrs, slog.String("err", c.redact.cause(rep.err).Error()))
		}
		c.log.LogAttrs(ctx, level, "sippet call", attrs...)
	}
	return rep
}

func (c *Client) roundTrip(ctx context.Context, endpoint *http.Request, r Request) *reply {
	var s sendTrace
	req := endpoint.WithContext(httptrace.WithClientTrace(ctx, s.trace()))
	// net/http knows that this reader is in memory, so head and body are sent in one write. Without
	// GetBody it cannot send them twice.
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		sent, reused := s.abandon()
		rep := networkFailure(ctx, err, sent)
		rep.reused = reused
		return rep
	}
	defer res.Body.Close()

	limit := c.max
	if res.StatusCode < 200 || res.StatusCode > 299 {
		limit = min(limit, maxRefusal)
	}
	// Read to the end, so that the connection can be used again.
	body, err := readAll(res.Body, res.ContentLength, limit)
	rep := classify(ctx, res.StatusCode, body, err)
	rep.status, rep.sent = res.StatusCode, true
	rep.retryAfter = retryAfter(res.Header.Get("Retry-After"))
	return rep
}

var errTooLong = errors.New("the answer is longer than the limit")

// readAll is io.ReadAll with a limit. It allocates the announced length at once, up to 1 MiB.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, errTooLong
	}
	size := int64(8 << 10)
	if length >= 0 {
		size = min(length, 1<<20) + 1
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLong
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// classify returns the reply for a status and, where the status does not decide, the body. err is
// the error that ended the body early.
func classify(ctx context.Context, status int, body []byte, err error) *reply {
	var e envelope
	var isJSON bool
	if err == nil {
		e, isJSON = parseEnvelope(body)
	}
	switch {
	case status >= 200 && status <= 299:
		switch {
		case err == errTooLong:
			return &reply{verdict: tooLong, reason: "its answer is too long", err: err}
		case err != nil:
			return networkFailure(ctx, err, true)
		case !isJSON:
			return &reply{verdict: noAnswer, transient: true, reason: "its answer is not JSON"}
		}
		return classifyEnvelope(e)

	case status == http.StatusRequestTimeout || status == 499:
		// These mean that the request did not arrive complete, but gateways also use them if the
		// server behind them took too long. The request was sent completely, so it may have run.
		return &reply{verdict: noAnswer, transient: true, reason: "it answered HTTP " + strconv.Itoa(status)}

	case status >= 400 && status <= 499:
		// The status alone says that it was rejected; the body may be anything.
		return &reply{verdict: rejected, errors: e.errors}

	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect:
		// These ask for the same request at another address, so this one did nothing. They are not
		// followed, because the other address would get the key.
		return &reply{verdict: rejected}

	case status >= 300 && status <= 399:
		// 303 means that the request was done, and 302 is used like it, so a write may have run.
		return &reply{verdict: noAnswer, reason: "it answered with a redirect (HTTP " + strconv.Itoa(status) + "), which is not followed"}

	case status == 500 || status == 501:
		return &reply{verdict: serverError, errors: e.errors, reason: "it failed with HTTP " + strconv.Itoa(status)}

	case status > 501 && status <= 599:
		return &reply{verdict: noAnswer, transient: true, reason: "it is not available (HTTP " + strconv.Itoa(status) + ")"}
	}
	return &reply{verdict: noAnswer, reason: "it answered HTTP " + strconv.Itoa(status)}
}

// maxRetryAfter bounds the time that the other side can ask a caller to wait.
const maxRetryAfter = time.Hour

// retryAfter parses the header, in seconds or as an HTTP date. It returns 0 if it is neither.
func retryAfter(text string) time.Duration {
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxRetryAfter)
}
