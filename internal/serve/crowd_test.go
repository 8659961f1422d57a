package serve

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestCallKeepsConnection checks that a connection with a call in progress is not closed for another one.
func TestCallKeepsConnection(t *testing.T) {
	SetCrowd(t, 3, 2)
	c := newCrowd(nil, func(netip.Addr) bool { return false })
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	enter := func(from netip.Addr) (*member, bool) {
		conn, end := net.Pipe()
		t.Cleanup(func() { end.Close() })
		m := &member{Conn: conn, crowd: c, from: from}
		return m, c.enter(m)
	}
	closed := func(m *member) bool { return m.SetDeadline(time.Time{}) != nil }
	first, _ := enter(one)
	end := beginCall(withMember(t.Context(), first))
	second, _ := enter(one)
	third, ok := enter(one)
	if !ok || closed(first) || !closed(second) {
		t.Fatalf("room %v, the call's connection is closed: %v, the idle one: %v", ok, closed(first), closed(second))
	}
	endThird := beginCall(withMember(t.Context(), third))
	if _, ok := enter(one); ok {
		t.Error("there is room for a third call of an address")
	}
	fourth, ok := enter(other)
	if !ok {
		t.Fatal("there is no room for another address")
	}
	end()
	endThird()
	if _, ok := enter(other); !ok || !closed(first) || closed(third) || closed(fourth) {
		t.Errorf("room %v, the oldest is closed: %v, newer ones: %v %v", ok, closed(first), closed(third), closed(fourth))
	}
}
