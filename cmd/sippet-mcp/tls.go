package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// outsideOptions say how a server is reached from other machines.
type outsideOptions struct {
	cert, key string
	proxies   []string
	hosts     []string
}

func (o *outsideOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.cert, "tls-cert", "", "speak TLS with this certificate and those that vouch for it, a PEM file that may be replaced while it is in use")
	f.StringVar(&o.key, "tls-key", "", "the certificate's key, a PEM file")
	f.StringSliceVar(&o.proxies, "trusted-proxy", nil, "addresses of the proxy that ends TLS, such as 10.0.0.5 or 10.0.0.0/28, comma-separated; nobody else may connect")
	f.StringSliceVar(&o.hosts, "host", nil, "names by which clients call the server, such as mcp.example.com, comma-separated")
}

// apply configures the server.
func (o *outsideOptions) apply(h *serve.HTTP, log *slog.Logger) (err error) {
	if (o.cert == "") != (o.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if o.cert != "" {
		if h.Certificate, err = serve.LoadCertificate(o.cert, o.key, log); err != nil {
			return err
		}
		if info, err := os.Stat(o.key); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			log.Warn("others on this machine can read the TLS key; chmod 600 it", "file", o.key)
		}
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
			return fmt.Errorf("--host: %q is no name: give it as clients do, without scheme and port, such as mcp.example.com", schemas.Escape(s, 80))
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
		return p, fmt.Errorf("--trusted-proxy: %q is no address: give one such as 10.0.0.5, or a range such as 10.0.0.0/28", schemas.Escape(s, 80))
	case p.Bits() == 0:
		return p, fmt.Errorf("--trusted-proxy: %s is everybody: name the proxy's own addresses", p)
	}
	return p.Masked(), nil
}
