package rpc

import (
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
)

// sendTrace is the evidence of whether any of a request left this process.
//
// A write may be repeated, or reported as not run, only if Sippet cannot have
// seen it. How sure one can be depends on the protocol:
//
//   - HTTP/1 gives a connection to one request at a time, so bytes are counted:
//     below TLS, from the moment the connection was given to us, so that a handshake is
//     not among them. A closing alert of TLS can be; so httptrace must also have seen the
//     head being written. (To a buffer, and before anything else: the buffer is larger than any head of ours.)
//   - HTTP/2 connections are shared, and net/http's goroutines outlive a cancelled
//     request by a moment. There, being given a connection counts as sent. That is careful
//     at little cost, for net/http itself takes another connection when it finds one dead before using it.
//
// Beyond that net/http repeats nothing: it cannot rewind a body without GetBody.
type sendTrace struct {
	mu          sync.Mutex
	hasConn     bool         // a connection was given to the request
	reused      bool         // and it had been used before
	conn        *countedConn // that connection; nil where it is shared
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

// abandon ends a request that RoundTrip failed on. It reports whether any byte
// of it may have left, and whether the connection was one that had been idle.
func (s *sendTrace) abandon() (sent, reused bool) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		// net/http has dropped the connection, but not always closed it yet. Close waits for
		// a write under way and fails later ones: what is seen after it is final.
		conn.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn == nil {
		return s.hasConn, s.reused
	}
	return s.wroteHead && conn.wrote.Load() != s.wroteBefore, s.reused
}

// unsharedConn finds the counted connection under TLS, or gives nil where requests share it.
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
