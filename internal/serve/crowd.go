package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Variables only for tests.
var (
	maxConns   = 4096 // in all
	maxConnsOf = 2048 // of one address, which may be that of many programs: each call that waits has one
)

// crowd is a listener that bounds the connections: in all, and of one address. Proxies have no limit of
// their own. If there are too many, the oldest one that waits for a request, or that only listens, is
// closed for the next. So a program that holds connections open keeps nobody out.
type crowd struct {
	net.Listener
	unlimited func(netip.Addr) bool
	mu        sync.Mutex
	members   list.List // of *member, the oldest first
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
		m := &member{Conn: conn, crowd: c, from: network(addrOf(conn.RemoteAddr().String()))}
		if c.enter(m) {
			return m, nil
		}
		conn.Close()
	}
}

// enter adds a connection, and closes others for it. It reports whether there is room.
func (c *crowd) enter(m *member) bool {
	for {
		c.mu.Lock()
		full := c.of[m.from] >= maxConnsOf && !c.unlimited(m.from)
		if !full && c.members.Len() < maxConns {
			c.of[m.from]++
			m.elem = c.members.PushBack(m)
			c.mu.Unlock()
			return true
		}
		var oldest *member
		for e := c.members.Front(); e != nil && oldest == nil; e = e.Next() {
			if other := e.Value.(*member); other.calls.Load() == 0 && (!full || other.from == m.from) {
				oldest = other
			}
		}
		c.mu.Unlock()
		if oldest == nil {
			return false
		}
		oldest.Close()
	}
}

func (c *crowd) leave(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members.Remove(m.elem)
	if c.of[m.from]--; c.of[m.from] == 0 {
		delete(c.of, m.from)
	}
}

// member is a connection that is counted until it is closed.
type member struct {
	net.Conn
	crowd *crowd
	from  netip.Addr
	elem  *list.Element
	once  sync.Once
	calls atomic.Int32 // that have arrived and are handled
}

func (m *member) Close() error {
	m.once.Do(func() { m.crowd.leave(m) })
	return m.Conn.Close()
}

type memberKey struct{}

// withMember lets begin find the connection of a request.
func withMember(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return context.WithValue(ctx, memberKey{}, conn)
}

// beginCall keeps the connection of a call that has arrived open until end is called.
func beginCall(ctx context.Context) (end func()) {
	m, ok := ctx.Value(memberKey{}).(*member)
	if !ok {
		return func() {}
	}
	m.calls.Add(1)
	return func() { m.calls.Add(-1) }
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
