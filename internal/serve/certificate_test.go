package serve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

// writePair writes a self-signed certificate and its key.
func writePair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"mcp.example.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, like, like, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: raw}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func selfSigned(t *testing.T, dir, name string) *serve.Certificate {
	t.Helper()
	cert, key := writePair(t, dir, name)
	c, err := serve.LoadCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	var log *buffer
	g := listenWith(t, func(h *serve.HTTP) {
		cert, key := writePair(t, dir, "first")
		c, err := serve.LoadCertificate(cert, key, h.Log)
		if err != nil {
			t.Fatal(err)
		}
		h.Certificate, h.Hosts = c, []string{"mcp.example.com"}
	})
	log = g.log
	plain := g.base
	g.base = strings.Replace(g.base, "http:", "https:", 1)
	tr := g.client.Transport.(*http.Transport)
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	tr.DisableKeepAlives = true
	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(plain, "http://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if code, _, body := g.try(t, as(adas)...); code != 200 || shown() != "first" {
		t.Errorf("HTTP %d %s", code, body)
	}
	if code, _, _ := g.try(t); code != 401 {
		t.Errorf("HTTP %d", code)
	}
	if _, err := tls.Dial("tcp", strings.TrimPrefix(plain, "http://"), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	res, err := http.Get(plain + "/healthz")
	if err == nil {
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("without TLS: HTTP %d %s", res.StatusCode, b)
		}
	}

	two := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	old := g.client
	g.client = two
	id := g.request(t, "POST", "/mcp", initialize, as(adas)...)
	id.Body.Close()
	stream := g.request(t, "GET", "/mcp", "", as(adas, "Mcp-Session-Id", id.Header.Get("Mcp-Session-Id"))...)
	if stream.ProtoMajor != 2 || stream.StatusCode != 200 {
		t.Errorf("%s, HTTP %d", stream.Proto, stream.StatusCode)
	}
	stream.Body.Close()
	g.client = old

	// Half of a new pair is not used, nor an invalid certificate. A missing file ends nothing.
	other := t.TempDir()
	newCert, newKey := writePair(t, other, "second")
	put := func(from, to string) {
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(newCert, "cert.pem")
	if got := shown(); got != "first" || !strings.Contains(log.String(), "cannot be used") {
		t.Errorf("%s %s", got, log)
	}
	shown()
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	put(newKey, "key.pem")
	if got := shown(); got != "second" {
		t.Error(got)
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "second" {
		t.Error(got)
	}
	if code, _, _ := g.try(t, as(adas)...); code != 200 {
		t.Errorf("HTTP %d", code)
	}
}

func TestBadCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "a")
	_, other := writePair(t, t.TempDir(), "b")
	for name, c := range map[string][2]string{"missing": {cert + "x", key}, "no key": {cert, key + "x"}, "another's key": {cert, other}, "swapped": {key, cert}} {
		if _, err := serve.LoadCertificate(c[0], c[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "TLS certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
