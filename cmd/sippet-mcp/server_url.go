package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// publicURLFlag defines --public-url.
func publicURLFlag(c *cobra.Command, o *connection) {
	c.Flags().StringVar(&o.publicURL, "public-url", "",
		"URL under which people reach the server, such as https://ops.example.com/sippet: that of its proxy, or of its container")
	bindVariables(c, "public-url")
}

// inboxAddrFlag defines --inbox-addr.
func inboxAddrFlag(c *cobra.Command, o *connection) {
	c.Flags().StringVar(&o.inboxAddr, "inbox-addr", "",
		"address to serve the inbox at, such as 127.0.0.1:9000 (default: a port of this machine that the state directory keeps)")
	bindVariables(c, "inbox-addr")
}

// public returns the value of --public-url; nil without one.
func (o *connection) public() (*url.URL, error) {
	if o.publicURL == "" {
		return nil, nil
	}
	u, err := parseServerURL("--public-url", o.publicURL)
	if err == nil && u.Scheme == "http" && u.Hostname() == "localhost" {
		return nil, errors.New("--public-url: localhost has several addresses, and another program may listen at one of them: give 127.0.0.1 instead")
	}
	return u, err
}

// checkInboxAddr reports what is wrong with the value of --inbox-addr.
func (o *connection) checkInboxAddr(public *url.URL) error {
	if o.inboxAddr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(o.inboxAddr)
	n, numberErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numberErr != nil || n == 0 || host != "" && host != "localhost" && !isAddress(host) {
		return fmt.Errorf("--inbox-addr: %q is not an address and a port: give one such as 127.0.0.1:9000", schemas.Escape(o.inboxAddr, 80))
	}
	if !loopback(host) && public == nil {
		return fmt.Errorf("--inbox-addr: %q is beyond this machine: give --public-url URL as well, the https address of the proxy "+
			"in front of it; or stay on this machine with --inbox-addr 127.0.0.1:%s", schemas.Escape(o.inboxAddr, 80), port)
	}
	return nil
}

// parseServerURL returns a server's URL, which may have a path, without the path of the inbox. It
// must be https beyond this machine, because others could read cookies and login codes.
func parseServerURL(flag, s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSuffix(strings.TrimRight(s, "/"), inbox.Path), "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !plainHost(u) || u.User != nil || !plainPath(u.EscapedPath()) ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("%s: %q is not the address of a server: give one such as https://mcp.example.com or https://ops.example.com/sippet",
			flag, schemas.Escape(s, 80))
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, errors.New(flag + ": beyond this machine the address must be https, or others could read logins")
	}
	// As browsers write it, to compare it with the origins that they send.
	port := ":" + map[string]string{"https": "443", "http": "80"}[u.Scheme]
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(strings.TrimSuffix(u.Host, port)), Path: u.Path}, nil
}

// plainHost reports whether a URL has a host name in ASCII, or an address.
func plainHost(u *url.URL) bool {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	name := host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
	n, portErr := strconv.ParseUint(port, 10, 16)
	return (name || isAddress(host)) && !strings.HasSuffix(u.Host, ":") && (port == "" || portErr == nil && n > 0)
}

// isAddress reports whether a host is an address without a zone.
func isAddress(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Zone() == ""
}

// plainPath reports whether a path is empty or has segments that need no encoding.
func plainPath(path string) bool {
	if path == "" {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if segment == "" || segment == "." || segment == ".." ||
			strings.Trim(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" {
			return false
		}
	}
	return true
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
