package rpc

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
)

// sendTrace records whether any byte of a request may have left this process.
//
// A write may be repeated, or reported as not run, only if Sippet cannot have received it. What can
// be known depends on the protocol:
//
//   - HTTP/1 uses a connection for one request at a time, so the bytes are counted. They are counted
//     below TLS, from the moment when the request got the connection, so a handshake does not count.
//     A closing alert of TLS does, so httptrace must also have reported that the head was written.
//     That is to a buffer, before anything else: the buffer is larger than any head (writeBuffer).
//   - HTTP/2 shares connections, and goroutines of net/http run for a moment after a request was
//     cancelled. So a request counts as sent once it has a connection. That costs little: if a
//     connection is dead before use, net/http itself takes another.
//
// net/http repeats nothing else, because it cannot rewind a body without GetBody.
type sendTrace struct {
	mu          sync.Mutex
	hasConn     bool         // the request got a connection
	reused      bool         // which was used before
	conn        *countedConn // that connection; nil if it is shared
	wroteBefore int64        // its count at that moment
	wroteHead   bool         // the head was written, perhaps only to the buffer
}

func (s *sendTrace) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: s.gotConn, WroteHeaders: s.wroteHeaders}
}

func (s *sendTrace) gotConn(info httptrace.GotConnInfo) {
	conn := unsharedConn(info.Conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hasConn, s.reused, s.conn = true, info.Reused, conn
	if conn != nil {
		s.wroteBefore = conn.wrote.Load()
	}
}

func (s *sendTrace) wroteHeaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wroteHead = true
}

// abandon ends a request after RoundTrip failed. It reports whether any byte of it may have been
// sent, and whether the connection had been idle before.
func (s *sendTrace) abandon() (sent, reused bool) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		// net/http has dropped the connection, but may not have closed it yet. Close waits for a
		// write in progress and makes later ones fail, so the count is final after it.
		conn.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn == nil {
		return s.hasConn, s.reused
	}
	return s.wroteHead && conn.wrote.Load() != s.wroteBefore, s.reused
}

// unsharedConn returns the counted connection below TLS, or nil if requests share it.
func unsharedConn(conn net.Conn) *countedConn {
	for {
		switch c := conn.(type) {
		case *countedConn:
			return c
		case *tls.Conn:
			if c.ConnectionState().NegotiatedProtocol == "h2" {
				return nil
			}
			conn = c.NetConn()
		default:
			return nil
		}
	}
}
