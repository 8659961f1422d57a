package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a TLS certificate in files that may be replaced while it is in use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	seen    [2]stamp
	current *tls.Certificate
}

// stamp tells versions of a file apart.
type stamp struct {
	changed time.Time
	size    int64
}

// LoadCertificate reads a certificate and its key, both in PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.look()
	if err != nil {
		return nil, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate %s and its key %s: %w", certFile, keyFile, err)
	}
	c.seen, c.current = seen, &pair
	return c, nil
}

func (c *Certificate) look() (seen [2]stamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return seen, err
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	return seen, nil
}

// config is for servers: TLS 1.2 or later, with the certificate as it is when a client comes.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get reads the files again where they changed. While they cannot be used, or do not belong together, the last ones that
// did are: they are replaced one after the other.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.look()
	if err != nil || seen == c.seen {
		return c.current, nil
	}
	c.seen = seen
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("the TLS certificate changed and cannot be used, so the one before it still is", "file", c.certFile, "cause", err)
		return c.current, nil
	}
	c.log.Info("the TLS certificate was read anew", "file", c.certFile, "until", pair.Leaf.NotAfter)
	c.current = &pair
	return c.current, nil
}
