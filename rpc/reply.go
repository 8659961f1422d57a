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
)

// verdict says what a reply means, before it is asked what was called.
type verdict int

const (
	// lost: no usable answer. Whether anything ran depends on what was sent.
	noAnswer verdict = iota
	// done: success, in Sippet's own words.
	done
	// refused: success:false, or a status that means that nothing was done.
	rejected
	// crashed: HTTP 500 or 501. The same to a write as lost; to a read an answer, because a bad filter gets it.
	serverError
	// tooLong: more bytes than we read.
	tooLong
)

// reply is how one call ended, as far as the transport knows.
type reply struct {
	verdict    verdict
	status     int
	data       []byte // where done
	errors     []byte // where Sippet said success:false, or named faults beside another status
	envelope   bool   // the answer was a well-formed envelope: Sippet itself speaks, not a proxy
	retryAfter time.Duration
	transient  bool // a repeat may help
	sent       bool
	reused     bool
	attempts   int
	reason     string // where lost: what happened, in our own words
	err        error  // its cause, for the log
}

// maxRefusal bounds the body of an answer that is no success: faults fit, a proxy's novel is dropped.
const maxRefusal = 1 << 20

// attempt sends the request once and judges the answer.
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
	// A reader that net/http knows to be in memory, so that head and body leave in one write; and no GetBody, so that
	// it cannot send them twice.
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

// readAll is io.ReadAll with a limit, and with the right size at once where the length is told
// (but no more than 1 MiB on the other side's word).
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

// classify reads the status and, where that leaves it open, the body. err is what ended the body early.
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
			return &reply{verdict: noAnswer, transient: true, reason: "it answered with something that is not JSON"}
		}
		return classifyEnvelope(e)

	case status == http.StatusRequestTimeout || status == 499:
		// They say that the request did not arrive whole, but gateways also
		// use them for "the server behind me took too long". We did write it whole; so nobody knows.
		return &reply{verdict: noAnswer, transient: true, reason: "it answered HTTP " + strconv.Itoa(status)}

	case status >= 400 && status <= 499:
		// A refusal by its status alone; the body may be anything, or broken.
		return &reply{verdict: rejected, errors: e.errors}

	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect:
		// "Not here": the same request would have to be made elsewhere, so this one did nothing.
		// It is never followed: elsewhere may be anybody, and would be shown the key.
		return &reply{verdict: rejected}

	case status >= 300 && status <= 399:
		// 303 means "done, look there", and 302 is used for the same, so that these prove nothing about a write.
		return &reply{verdict: noAnswer, reason: "it answered with a redirect (HTTP " + strconv.Itoa(status) + "), which is not followed"}

	case status == 500 || status == 501:
		return &reply{verdict: serverError, errors: e.errors, reason: "it failed with HTTP " + strconv.Itoa(status)}

	case status > 501 && status <= 599:
		return &reply{verdict: noAnswer, transient: true, reason: "it is not available (HTTP " + strconv.Itoa(status) + ")"}
	}
	return &reply{verdict: noAnswer, reason: "it answered HTTP " + strconv.Itoa(status)}
}

// maxRetryAfter bounds what the other side can make a caller wait.
const maxRetryAfter = time.Hour

// retryAfter reads the header in either form, seconds or an HTTP date; 0 where there is nothing usable.
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
