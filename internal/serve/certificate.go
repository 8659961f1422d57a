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
	seen    [2]fileVersion
	current *tls.Certificate
}

// fileVersion distinguishes versions of a file.
type fileVersion struct {
	changed time.Time
	size    int64
}

// LoadCertificate reads a certificate and its key, both in PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.versions()
	if err != nil {
		return nil, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the TLS certificate %s and its key %s: %w", certFile, keyFile, err)
	}
	c.seen, c.current = seen, &pair
	return c, nil
}

func (c *Certificate) versions() (seen [2]fileVersion, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return seen, err
		}
		seen[i] = fileVersion{info.ModTime(), info.Size()}
	}
	return seen, nil
}

// config returns the configuration of a server: TLS 1.2 or later, with the current certificate.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get returns the current certificate, and reads changed files again. The files are replaced one
// after the other: while they cannot be used, or do not match, get returns the last pair that did.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.versions()
	if err != nil || seen == c.seen {
		return c.current, nil
	}
	c.seen = seen
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("the new TLS certificate cannot be used; keeping the previous one", "file", c.certFile, "cause", err)
		return c.current, nil
	}
	c.log.Info("the TLS certificate was reloaded", "file", c.certFile, "until", pair.Leaf.NotAfter)
	c.current = &pair
	return c.current, nil
}
