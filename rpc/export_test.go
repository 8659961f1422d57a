package rpc

import (
	"context"
	"crypto/tls"
	"net"
)

// SetDial replaces how connections are made; they are counted all the same.
func (c *Client) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	c.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
}

// SetTLS replaces what certificates are accepted.
func (c *Client) SetTLS(config *tls.Config) { c.transport.TLSClientConfig = config }
