package rpc

import "testing"

// TestProxy: a proxy of the environment is used for TLS only.
func TestProxy(t *testing.T) {
	for base, want := range map[string]bool{"https://api.sippet.ai": true, "http://127.0.0.1:4000": false} {
		u, err := parseBase(base)
		if err != nil {
			t.Fatal(err)
		}
		if got := newTransport(u).Proxy != nil; got != want {
			t.Errorf("%s: proxy %v, want %v", base, got, want)
		}
	}
}
