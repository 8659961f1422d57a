package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// networkFailure returns the reply for a network error. The reason is a text of this program,
// because the error's text holds addresses and may quote the other side.
func networkFailure(ctx context.Context, err error, sent bool) *reply {
	rep := &reply{verdict: noAnswer, err: err, transient: true, sent: sent}
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		auth x509.UnknownAuthorityError
		host x509.HostnameError
		late net.Error
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		rep.reason, rep.transient = "the call was cancelled", false
	case ctx.Err() != nil:
		rep.reason, rep.transient = "it did not answer in time", false
	case errors.As(err, &cert), errors.As(err, &auth), errors.As(err, &host):
		rep.reason, rep.transient = "its certificate was not accepted", false
	case errors.As(err, &dns):
		rep.reason = "its name could not be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		rep.reason = "the connection was refused"
	case errors.Is(err, io.ErrUnexpectedEOF):
		rep.reason = "its answer was cut off"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &late) && late.Timeout():
		rep.reason = "it did not answer in time"
	case !sent:
		rep.reason = "no connection could be made"
	default:
		rep.reason = "the connection broke before the answer was complete"
	}
	return rep
}
