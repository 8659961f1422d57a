package main

import (
	"strings"
	"testing"
)

// TestServerURL: a server's URL is one that a browser accepts, with TLS beyond this machine, as a
// browser writes its origin.
func TestServerURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://mcp.example.com":                   "https://mcp.example.com",
		"https://mcp.example.com/":                  "https://mcp.example.com",
		"https://mcp.example.com/inbox":             "https://mcp.example.com",
		"HTTPS://Ops.Example.com:443/Sippet/inbox/": "https://ops.example.com/Sippet",
		"https://ops.example.com:8443/a/b-c_d.e~f":  "https://ops.example.com:8443/a/b-c_d.e~f",
		"http://127.0.0.1:9000":                     "http://127.0.0.1:9000",
		"http://127.0.0.1:80/x":                     "http://127.0.0.1/x",
		"http://[::1]:9000":                         "http://[::1]:9000",
		"https://192.0.2.7":                         "https://192.0.2.7",
		"https://mcp.example.com:80":                "https://mcp.example.com:80",
	} {
		u, err := parseServerURL("--public-url", in)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", in, u, err)
		}
	}
	for _, in := range []string{"", "ops.example.com", "//ops.example.com", "https://", "https://:8443", "ftp://ops.example.com", "https://ops.example.com?x", "https://ops.example.com?", "https://ops.example.com#x",
		"https://ada@ops.example.com", "https://ops.example.com/a//b", "https://ops.example.com/../a", "https://ops.example.com/a/.", "https://ops.example.com/a%20b", "https://ops.example.com/a b",
		"https://ops.example.com/\"onload=", "https://ops.example.com/a;b", "https://bücher.example", "https://ops.example.com:", "https://ops.example.com:0", "https://ops.example.com:99999",
		"https://ops_.example.com/{{.}}", "javascript:alert(1)", "http://ops.example.com", "http://127.0.0.1.example.com", "http://10.0.0.5:8766", "http://0.0.0.0:8766", "https://[::1%25eth0]"} {
		if u, err := parseServerURL("--public-url", in); err == nil || !strings.HasPrefix(err.Error(), "--public-url: ") {
			t.Errorf("%s: %v, %v", in, u, err)
		}
	}
}
