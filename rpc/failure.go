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

// failed makes a reply of an error of the network: what happened in our own
// words, because the error's text holds addresses and may quote the other side.
func failed(ctx context.Context, err error, sent bool) *reply {
	rep := &reply{verdict: lost, err: err, transient: true, sent: sent}
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		auth x509.UnknownAuthorityError
		host x509.HostnameError
		late net.Error
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		rep.why, rep.transient = "the call was cancelled", false
	case ctx.Err() != nil:
		rep.why, rep.transient = "no answer came in time", false
	case errors.As(err, &cert), errors.As(err, &auth), errors.As(err, &host):
		rep.why, rep.transient = "its certificate was not accepted", false
	case errors.As(err, &dns):
		rep.why = "its name could not be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		rep.why = "the connection was refused"
	case errors.Is(err, io.ErrUnexpectedEOF):
		rep.why = "its answer broke off"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &late) && late.Timeout():
		rep.why = "no answer came in time"
	case !sent:
		rep.why = "no connection could be made"
	default:
		rep.why = "the connection broke before a whole answer came"
	}
	return rep
}
