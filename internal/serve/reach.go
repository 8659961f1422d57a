package serve

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Listen opens an address of this machine only, for callers without names.
func Listen(addr string) (net.Listener, error) { return (&HTTP{}).Listen(addr) }

// Listen opens the address. Beyond this machine it is opened only where callers show tokens, and nobody between can read
// them: by TLS of its own, or by a proxy that ends it.
func (h *HTTP) Listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not host:port, such as 127.0.0.1:8765", addr)
	}
	if err := h.mayListen(host); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; choose another with --addr", addr, err)
	}
	return ln, nil
}

func (h *HTTP) mayListen(host string) error {
	switch {
	case loopback(host) && (h.Authenticate != nil || len(h.Proxies)+len(h.Hosts) == 0):
		return nil
	case h.Authenticate == nil && len(h.Proxies)+len(h.Hosts) > 0:
		return errors.New("refusing to be reached through a proxy or by another name: callers are not authenticated")
	case h.Authenticate == nil:
		return fmt.Errorf("refusing to listen on %q: callers are not authenticated, so only this machine may reach the server; use 127.0.0.1", host)
	case h.Certificate == nil && len(h.Proxies) == 0:
		return fmt.Errorf(`refusing to listen on %q without TLS: callers from other machines show tokens, and whoever is between could read them. Either
  serve TLS:      --tls-cert FILE --tls-key FILE
  behind a proxy: --trusted-proxy CIDR, the addresses of the proxy that ends TLS; others are turned away
or stay on this machine: --addr 127.0.0.1:8765`, host)
	}
	return nil
}

// Open reports whether the server on that listener takes everybody as Caller while no tokens are in use.
func (h *HTTP) Open(ln net.Listener) bool {
	return h.Authenticate == nil || !h.Strict && loopback(hostOf(ln)) && len(h.Proxies)+len(h.Hosts) == 0
}

// hostOf gives the address that is listened on; one that is none is not this machine's.
func hostOf(ln net.Listener) string {
	host, _, _ := net.SplitHostPort(ln.Addr().String())
	return host
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// guard turns away whom the proxy did not send, and what a browser was tricked into: pages of other origins, and names
// that were rebound to this machine.
func (h *HTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(h.Proxies) > 0 && !h.proxied(peer(r)) {
			http.Error(w, "this server is reached through its proxy only", http.StatusForbidden)
			return
		}
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !h.named(r, host) {
			http.Error(w, "the Host header must name this machine, such as 127.0.0.1, or be a name that this server was given with --host", http.StatusForbidden)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || !h.named(r, u.Hostname()) {
				http.Error(w, "pages of other origins may not use this server", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// named reports whether the host is this server's: this machine, the very address that was connected to, which no name
// can be rebound to, or a name that it was given.
func (h *HTTP) named(r *http.Request, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if loopback(host) || slices.Contains(h.Hosts, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return err == nil && local != nil && local.AddrPort().Addr().Unmap() == ip.Unmap()
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr().Unmap()
}

func (h *HTTP) proxied(a netip.Addr) bool {
	return slices.ContainsFunc(h.Proxies, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// remote is where a request comes from: what the proxy says last, for what was said before it anybody can have written.
// Nobody is trusted for it.
func (h *HTTP) remote(r *http.Request) netip.Addr {
	from := peer(r)
	if !h.proxied(from) {
		return from
	}
	all := r.Header.Values("X-Forwarded-For")
	if len(all) == 0 {
		return from
	}
	hops := strings.Split(all[len(all)-1], ",")
	last := strings.TrimSpace(hops[len(hops)-1])
	if a, err := netip.ParseAddr(strings.Trim(last, "[]")); err == nil {
		return a.Unmap()
	}
	if a, err := netip.ParseAddrPort(last); err == nil {
		return a.Addr().Unmap()
	}
	return from
}
