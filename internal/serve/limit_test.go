package serve_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

func TestTooManyFailures(t *testing.T) {
	g := listenWith(t, nil)
	for i := range 10 {
		if code, _, _ := g.try(t, as(fmt.Sprint("guess", i))...); code != 401 {
			t.Fatalf("%d: HTTP %d", i, code)
		}
	}
	code, head, body := g.try(t, as("guess")...)
	if code != 429 || head.Get("Retry-After") != "6" || strings.Contains(body, "jsonrpc") {
		t.Errorf("HTTP %d %v %s", code, head, body)
	}
	if code, _, _ := g.try(t); code != 429 {
		t.Errorf("HTTP %d", code)
	}
	// A valid token is not limited.
	if code, _, _ := g.try(t, as(bobs)...); code != 200 {
		t.Errorf("HTTP %d", code)
	}
	if n := strings.Count(g.log.String(), "without a valid token"); n != 10 {
		t.Errorf("%d lines in the log", n)
	}
	if !strings.Contains(g.log.String(), "further ones from this address") {
		t.Error("the log does not say that further ones are not logged")
	}
	g.clock.pass(6 * time.Second)
	if code, _, _ := g.try(t, as("guess")...); code != 401 {
		t.Errorf("HTTP %d", code)
	}
	if code, _, _ := g.try(t, as("guess")...); code != 429 {
		t.Errorf("HTTP %d", code)
	}
	g.clock.pass(time.Hour)
	if code, _, _ := g.try(t, as("guess")...); code != 401 {
		t.Errorf("HTTP %d", code)
	}
}

// TestFlood: wrong tokens from many addresses cost neither memory nor lines in the log.
func TestFlood(t *testing.T) {
	g := listenWith(t, func(h *serve.HTTP) { h.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	n := 6000
	if testing.Short() {
		n = 600
	}
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			code, _, _ := g.try(t, as(fmt.Sprint("guess-", i), "X-Forwarded-For", fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&0xff))...)
			if code != 401 && code != 429 {
				t.Fatalf("HTTP %d", code)
			}
		}
	}
	flood(0, 200)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) - int64(len(g.log.String()))*3
	}
	before := heap()
	flood(200, n)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes for %d wrong tokens", grown, n)
	}
	if code, _, _ := g.try(t, as(adas)...); code != 200 {
		t.Errorf("HTTP %d", code)
	}
}
