package serve

import (
	"net"
	"net/netip"
	"sync"
)

// Variables only for tests.
var (
	maxConns   = 4096 // in all
	maxConnsOf = 2048 // of one address, which may be that of many programs: each call that waits has one
)

// crowd is a listener that closes connections at once if there are too many: in all, or of one
// address. Proxies have no limit of their own.
type crowd struct {
	net.Listener
	unlimited func(netip.Addr) bool
	mu        sync.Mutex
	all       int
	of        map[netip.Addr]int
}

func newCrowd(ln net.Listener, unlimited func(netip.Addr) bool) *crowd {
	return &crowd{Listener: ln, unlimited: unlimited, of: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := network(addrOf(conn.RemoteAddr().String()))
		if c.enter(from) {
			return &member{Conn: conn, leave: func() { c.leave(from) }}, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxConns || c.of[from] >= maxConnsOf && !c.unlimited(from) {
		return false
	}
	c.all++
	c.of[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// member is a connection that is counted until it is closed.
type member struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (m *member) Close() error {
	m.once.Do(m.leave)
	return m.Conn.Close()
}

// network returns the address by which the owner of a connection is counted: of an IPv6 address its
// /64, which usually belongs to one owner.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return a.WithZone("")
}
