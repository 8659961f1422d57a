//go:build unix

package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOneInbox: two programs of one state directory have one inbox. It goes on if one of them ends.
func TestOneInbox(t *testing.T) {
	for name, c := range map[string]struct {
		end func(*process)
		// both is true if the other program has made a request too.
		both bool
	}{
		"killed":                     {end: (*process).kill},
		"killed, both made requests": {end: (*process).kill, both: true},
		"stopped":                    {end: func(p *process) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }},
		"left by its client":         {end: func(p *process) { _ = p.in.Close() }, both: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			addr := w.fix(t)
			first, one := w.stdio(t, nil)
			_, two := w.stdio(t, nil)
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				t.Fatal("an inbox is served without a request")
			}
			id, base := one.tool(t, "delete_contact", erase(1)).waits(t)
			if base != "http://"+addr {
				t.Fatalf("the inbox is at %s, want %s", base, addr)
			}
			var other string
			if c.both {
				var there string
				if other, there = two.tool(t, "delete_contact", erase(2)).waits(t); there != base {
					t.Errorf("the other inbox is at %s, want %s", there, base)
				}
			} else {
				time.Sleep(2500 * time.Millisecond) // until it has seen that the inbox is served
			}
			ada := &answerer{base, w.ada}
			if q, err := ada.look(id); err != nil || q.State != "pending" {
				t.Fatalf("%+v %v", q, err)
			}
			c.end(first)
			<-first.ended
			began := time.Now()
			var q pending
			var err error
			until(t, 6*time.Second, func() bool { q, err = ada.look(id); return err == nil }, func() string { return "no process serves the inbox: " + err.Error() })
			t.Logf("the other process serves it after %v", time.Since(began).Round(time.Millisecond))
			if q.State != "pending" || !strings.Contains(q.Card.Title, "Erase the contact") {
				t.Errorf("the request is not pending any more: %+v", q)
			}
			// Only the other process can run it.
			ada.approveOrphan(t, id)
			ada.awaitStatus(t, id, "ada approved, and it ran")
			if r := two.tool(t, "approval_status", `{"id":"`+id+`"}`); r.outcome() != "done" || r.Result.StructuredContent.ApprovedBy != "ada" {
				t.Errorf("its status: %+v", r.Result)
			}
			if c.both {
				ada.approve(t, other)
				ada.awaitStatus(t, other, "ada approved, and it ran")
			}
			if again, there := two.tool(t, "delete_contact", erase(3)).waits(t); there != base || again == id {
				t.Errorf("the next request is at %s", there)
			}
			if n := w.erased(); n != 1 && !c.both || n != 2 && c.both {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}
