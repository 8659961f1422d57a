package rpc

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// writeBuffer holds the head of any request (maxKey, maxBase and a few lines), and most requests
// completely, so that they are sent in one write.
const writeBuffer = 16 << 10

// newTransport returns the client's transport. It is used without an http.Client, and so without
// redirects, cookies and credentials from the URL: the key is sent to one origin only.
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
		// There is one origin. The server runs 64 calls at a time.
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		// Shorter than the keep-alive of common servers and proxies (60 s and more), so that this
		// side closes idle connections: a write on a connection that the other side closes has an
		// unknown outcome.
		IdleConnTimeout:        30 * time.Second,
		WriteBufferSize:        writeBuffer,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true, // a custom DialContext turns it off otherwise
		// All calls share one HTTP/2 connection. Pings find out that it is dead before all of them
		// time out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
	if base.Scheme == "https" {
		// Some networks need a proxy. It gets a CONNECT and TLS, not the key. Plain http is for
		// this machine only and never uses a proxy.
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// countedConn counts the bytes that were written to a connection.
type countedConn struct {
	net.Conn
	wrote atomic.Int64
}

// Write counts the bytes before it writes them, and then subtracts those that were not written. So
// the count is never too low while a write is in progress.
func (c *countedConn) Write(p []byte) (int, error) {
	c.wrote.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n - len(p)))
	return n, err
}
