package rpc

import (
	"io"
	"net"
	"net/http/httptrace"
	"testing"
)

// TestAbandon has the cases that tests of the client cannot make.
func TestAbandon(t *testing.T) {
	for _, test := range []struct {
		name              string
		got, shared, head bool
		wrote             int
		want              bool
	}{
		{name: "no connection"},
		{name: "connection, nothing done", got: true},
		{name: "head in the buffer only", got: true, head: true},
		{name: "head written", got: true, head: true, wrote: 1, want: true},
		{name: "no head, but the alert that closes TLS", got: true, wrote: 24},
		{name: "a shared connection", got: true, shared: true, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			defer theirs.Close()
			conn := &countedConn{Conn: ours}
			conn.Write([]byte("of an earlier request"))
			var s sendTrace
			if test.shared {
				s.gotConn(httptrace.GotConnInfo{Conn: ours})
			} else if test.got {
				s.gotConn(httptrace.GotConnInfo{Conn: conn})
			}
			if test.head {
				s.wroteHeaders()
			}
			conn.Write(make([]byte, test.wrote))
			if sent, _ := s.abandon(); sent != test.want {
				t.Errorf("sent %v", sent)
			}
			if test.got && !test.shared {
				if n, err := conn.Write([]byte("late")); n != 0 || err == nil {
					t.Error("the connection still takes bytes")
				}
			}
		})
	}
}
