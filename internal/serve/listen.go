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

// Listen listens on an address of this machine, for callers without names.
func Listen(addr string) (net.Listener, error) { return (&HTTP{}).Listen(addr) }

// Listen listens on the address. Beyond this machine it does so only if callers show tokens and
// nobody between can read them: with TLS, or behind a proxy that ends TLS. A server that has only
// an inbox, which has a login of its own, needs Public, the URL of its proxy.
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
	case h.Authenticate == nil && h.Server == nil && h.Public != nil:
		return nil
	case loopback(host) && (h.Authenticate != nil || len(h.Proxies)+len(h.Hosts) == 0):
		return nil
	case h.Authenticate == nil && len(h.Proxies)+len(h.Hosts) > 0:
		return errors.New("refusing to be available through a proxy or by another name: callers are not authenticated")
	case h.Authenticate == nil:
		return fmt.Errorf("refusing to listen on %q: callers are not authenticated, so only this machine may connect; use 127.0.0.1", host)
	case h.Certificate == nil && len(h.Proxies) == 0:
		return fmt.Errorf(`refusing to listen on %q without TLS: others could read the tokens of callers from other machines. Either
  serve TLS:      --tls-cert FILE --tls-key FILE
  behind a proxy: --trusted-proxy CIDR, the addresses of the proxy that ends TLS; all others are rejected
or stay on this machine: --addr 127.0.0.1:8765`, host)
	}
	return nil
}

// Open reports whether the server on that listener accepts everybody as Caller while no tokens are
// in use.
func (h *HTTP) Open(ln net.Listener) bool {
	return h.Authenticate == nil || !h.Strict && loopback(hostOf(ln)) && len(h.Proxies)+len(h.Hosts) == 0 &&
		(h.Public == nil || loopback(h.Public.Hostname()))
}

// hostOf returns the host of the address; empty if it has none, which is not this machine.
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

// guard rejects requests that did not come through the proxy, and those that a page made a browser
// send: of other origins, or with a host name that was rebound to this machine.
func (h *HTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(h.Proxies) > 0 && !h.proxied(peer(r)) {
			http.Error(w, "this server accepts connections from its proxy only", http.StatusForbidden)
			return
		}
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !h.named(r, host) {
			http.Error(w, "the Host header must name this machine, such as 127.0.0.1, or be a name given with --host or --public-url; "+
				"a proxy must pass on the Host of its client", http.StatusForbidden)
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

// named reports whether the host is this server: this machine, the host of Public, one of Hosts, or
// the very address of the connection, to which no name can be rebound. An inbox behind a proxy has
// only the first two.
func (h *HTTP) named(r *http.Request, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if loopback(host) || slices.Contains(h.Hosts, host) || h.Public != nil && host == h.Public.Hostname() {
		return true
	}
	if h.Public != nil && h.Server == nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return err == nil && local != nil && local.AddrPort().Addr().Unmap() == ip.Unmap()
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	return addrOf(r.RemoteAddr)
}

func addrOf(addrPort string) netip.Addr {
	a, _ := netip.ParseAddrPort(addrPort)
	return a.Addr().Unmap()
}

func (h *HTTP) proxied(a netip.Addr) bool {
	return slices.ContainsFunc(h.Proxies, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// remote returns the address of the client: the last entry of the proxy, because anybody can write
// the earlier ones. It is used for limits and logs only.
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
