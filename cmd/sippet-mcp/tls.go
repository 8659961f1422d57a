package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// tlsOptions are those of a server for other machines.
type tlsOptions struct {
	cert, key string
	proxies   []string
	hosts     []string
}

func (o *tlsOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.cert, "tls-cert", "", "PEM file with the TLS certificate and its chain; it may be replaced while the server runs")
	f.StringVar(&o.key, "tls-key", "", "PEM file with the certificate's key")
	f.StringSliceVar(&o.proxies, "trusted-proxy", nil,
		"addresses of the proxy that ends TLS, such as 10.0.0.5 or 10.0.0.0/28, comma-separated; only it may connect")
	f.StringSliceVar(&o.hosts, "host", nil, "host names of the server, such as mcp.example.com, comma-separated")
	bindVariables(c, "tls-cert", "tls-key", "trusted-proxy", "host")
}

// apply configures the server.
func (o *tlsOptions) apply(h *serve.HTTP, log *slog.Logger) (err error) {
	if (o.cert == "") != (o.key == "") {
		return errors.New("--tls-cert and --tls-key need each other")
	}
	if o.cert != "" {
		if h.Certificate, err = serve.LoadCertificate(o.cert, o.key, log); err != nil {
			return err
		}
		warnReadable(o.key, log)
	}
	for _, s := range o.proxies {
		p, err := parsePrefix(strings.TrimSpace(s))
		if err != nil {
			return err
		}
		h.Proxies = append(h.Proxies, p)
	}
	for _, s := range o.hosts {
		name := strings.ToLower(strings.Trim(strings.TrimSuffix(strings.TrimSpace(s), "."), "[]"))
		if _, err := netip.ParseAddr(name); err != nil && (name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "") {
			return fmt.Errorf("--host: %q is not a host name: give one without scheme and port, such as mcp.example.com", schemas.Escape(s, 80))
		}
		h.Hosts = append(h.Hosts, name)
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("--trusted-proxy: %q is not an address: give one such as 10.0.0.5, or a range such as 10.0.0.0/28", schemas.Escape(s, 80))
	case p.Bits() == 0:
		return p, fmt.Errorf("--trusted-proxy: %s is every address: give those of the proxy only", p)
	}
	return p.Masked(), nil
}
