package rpc

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// writeBuffer holds the head of any request of ours (maxKey, maxBase and some
// lines), and most requests whole, which then leave in one write.
const writeBuffer = 16 << 10

// newTransport makes the client's own transport. It is used without an
// http.Client, and so without redirects, cookies and credentials from the URL:
// a redirect is an answer like any other, and the key goes to one origin.
func newTransport(base *url.URL) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSHandshakeTimeout: 5 * time.Second,
		// One origin. 64 is how many calls the server runs at once.
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		// Shorter than the keep-alive of common servers and proxies (60 s and more), so that we, not they,
		// close an idle connection: a write that meets one being closed has an unknown outcome.
		IdleConnTimeout:        30 * time.Second,
		WriteBufferSize:        writeBuffer,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true, // a DialContext of one's own would otherwise turn it off
		// One HTTP/2 connection carries everything; when it dies silently, find out before all calls time out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	if base.Scheme == "https" {
		// Offices that only reach the world through a proxy expect it to be used. It sees a CONNECT and TLS, not the key.
		// Plain http goes to this machine only, and never to a proxy.
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// countedConn counts the bytes that were written to a connection.
type countedConn struct {
	net.Conn
	wrote atomic.Int64
}

// Write counts before it writes, and takes back what was not written: whoever
// looks while a write is under way is told the careful half.
func (c *countedConn) Write(p []byte) (int, error) {
	c.wrote.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n - len(p)))
	return n, err
}
