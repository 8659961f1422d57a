package rpc

import (
	"context"
	"crypto/tls"
	"net"
)

// SetDial replaces the dialer. Its connections are counted too.
func (c *Client) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
}

// SetTLS replaces the TLS configuration.
func (c *Client) SetTLS(config *tls.Config) { c.transport.TLSClientConfig = config }
