package inbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

var proofData = regexp.MustCompile(`data-salt="([0-9a-f]{32})" data-key="([0-9a-f]{64})"`)

// proofOf returns the proof that a page with the key expects.
func proofOf(t *testing.T, key, origin, nonce string) string {
	t.Helper()
	raw, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, raw)
	m.Write([]byte(origin + "\x00" + nonce))
	return hex.EncodeToString(m.Sum(nil))
}

// proofData returns the salt and the key of a page.
func (v *visitor) proofData(path string) (salt, key string) {
	v.t.Helper()
	_, text := v.get(path)
	m := proofData.FindStringSubmatch(text)
	if m == nil {
		v.t.Fatalf("%s has no salt and key: %s", path, text)
	}
	return m[1], m[2]
}

// TestPageProof: the proof is of the salt, the nonce and an origin of the inbox itself, and tells
// nothing else.
func TestPageProof(t *testing.T) {
	w := newWorld(t, setup{})
	bob := w.loggedIn(t, w.token(t, "bob", "approver"))
	anybody := w.visitor(t)
	salt, key := bob.proofData("/inbox")
	if s, k := bob.proofData("/inbox"); s == salt || k == key {
		t.Error("two pages share a salt or a key")
	}
	ask := func(v *visitor, origin, salt, nonce string, more ...string) (int, string, string) {
		t.Helper()
		q := url.Values{"origin": {origin}, "salt": {salt}, "nonce": {nonce}}
		for i := 0; i < len(more); i += 2 {
			q.Set(more[i], more[i+1])
		}
		res, text := v.get("/inbox/owner?" + q.Encode())
		if len(res.Header["Set-Cookie"]) > 0 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("the headers of the proof: %v", res.Header)
		}
		var p struct{ Proof string }
		_ = json.Unmarshal([]byte(text), &p)
		return res.StatusCode, p.Proof, text
	}
	nonce := ledger.NewID()
	status, proof, text := ask(anybody, w.base, salt, nonce)
	if status != 200 || proof != proofOf(t, key, w.base, nonce) {
		t.Fatalf("HTTP %d: %s", status, text)
	}
	if text != `{"proof":"`+proof+"\"}\n" {
		t.Errorf("it tells more than the proof: %s", text)
	}
	if _, _, same := ask(bob, w.base, salt, nonce, "pages", proof); same != text {
		t.Errorf("a login changes it: %s", same)
	}
	if _, p, _ := ask(anybody, w.base, ledger.NewID(), nonce); p == proof || p == "" {
		t.Errorf("the proof for another salt: %q", p)
	}
	if _, p, _ := ask(anybody, w.base, salt, ledger.NewID()); p == proof || p == "" {
		t.Errorf("the proof for another nonce: %q", p)
	}

	// A program at another address cannot use it, whatever it changes in the request.
	for _, origin := range []string{"http://127.0.0.1:1", "http://localhost" + w.base[strings.LastIndex(w.base, ":"):], w.base + "/", "https" + strings.TrimPrefix(w.base, "http"),
		strings.ToUpper(w.base), "null", "", w.base + "\x00", "https://ops.example.com"} {
		if status, p, text := ask(anybody, origin, salt, nonce); status != http.StatusNotFound || p != "" {
			t.Errorf("the origin %q: HTTP %d %s", origin, status, text)
		}
	}
	other := "http://127.0.0.1:8765"
	res, text := anybody.get("/inbox/owner?"+url.Values{"origin": {other}, "salt": {salt}, "nonce": {nonce}}.Encode(), "Host", "127.0.0.1:8765", "X-Forwarded-Host", "127.0.0.1:8765")
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("with a forged Host: HTTP %d %s", res.StatusCode, text)
	}
	for _, bad := range []string{"", "0", salt[1:], salt + "0", strings.ToUpper(salt[:31]) + "A", strings.Repeat("g", 32), "<script>", strings.Repeat("0", 4000), "\x00"} {
		for _, c := range [][2]string{{bad, nonce}, {salt, bad}} {
			if status, p, text := ask(anybody, w.base, c[0], c[1]); status != http.StatusBadRequest || p != "" || bad != "" && len(bad) > 1 && strings.Contains(text, bad) {
				t.Errorf("salt %q, nonce %q: HTTP %d %s", c[0], c[1], status, text)
			}
		}
	}

	// Before a login a page gets a key of its own, which is of no use for another page.
	salt2, key2 := anybody.proofData("/inbox/login")
	if _, p, _ := ask(anybody, w.base, salt, nonce); p == proofOf(t, key2, w.base, nonce) {
		t.Error("a page can prove to another one")
	}
	if _, p, _ := ask(anybody, w.base, salt2, nonce); p != proofOf(t, key2, w.base, nonce) {
		t.Error("the login page cannot check the proof")
	}
}

// TestLocalhostRedirects: a page is never at the name localhost, which another program may also
// have. Its address would prove nothing.
func TestLocalhostRedirects(t *testing.T) {
	w := newWorld(t, setup{})
	port := w.base[strings.LastIndex(w.base, ":"):]
	for path, want := range map[string]string{"/inbox/login": w.base + "/inbox/login", "/inbox/enter/x?approval=1": w.base + "/inbox/enter/x?approval=1"} {
		if res, _ := w.visitor(t).get(path, "Host", "localhost"+port); res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != want {
			t.Errorf("%s: HTTP %d to %s", path, res.StatusCode, res.Header.Get("Location"))
		}
	}
	if res, _ := w.visitor(t).get("/inbox/api/approvals", "Host", "localhost"+port); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API: HTTP %d", res.StatusCode)
	}
	if res, _ := w.visitor(t).get("/inbox/login", "Host", "localhost:1"); res.StatusCode != http.StatusOK {
		t.Errorf("through a tunnel: HTTP %d", res.StatusCode)
	}
}

// TestBrowserHostileListener: the server of an open page ends, and another program listens at its
// address. It fakes the inbox, or passes everything on to the real one at another address. It gets
// no cookie, stamp or token, whatever the person presses. When the real server is back, the page
// continues.
func TestBrowserHostileListener(t *testing.T) {
	t.Parallel()
	for name, forward := range map[string]func(real *world) http.Handler{
		"fakes": func(*world) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Set-Cookie", "evil=1; Path=/")
				_, _ = rw.Write([]byte(`{"proof":"` + strings.Repeat("0", 64) + `"}`))
			})
		},
		"relays": func(real *world) http.Handler {
			target, err := url.Parse(real.base)
			if err != nil {
				t.Fatal(err)
			}
			return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		},
		"relays, for its own address": func(real *world) http.Handler {
			target, err := url.Parse(real.base)
			if err != nil {
				t.Fatal(err)
			}
			return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				q := r.Out.URL.Query()
				q.Set("origin", real.base)
				r.Out.URL.RawQuery = q.Encode()
			}}
		},
		"redirects": func(real *world) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, real.base+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup{dir: t.TempDir(), wait: 1}
			w := newWorld(t, s)
			agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver", "admin")
			w.call(t, agent, "start_outbound_call", ring)
			b := newBrowser(t)
			b.login(w, bob)
			b.cards(1)
			past, stop, login := b.tab(), b.tab(), newBrowser(t)
			past.goTo(w.base + "/inbox/history")
			stop.goTo(w.base + "/inbox/stop")
			login.goTo(w.base + "/inbox/login")
			login.paste("input[name=token]", bob)
			stays := []func(){b.stays(), past.stays(), stop.stays(), login.stays()}

			s.up = w.up
			real := newWorld(t, s) // of the same state directory
			w.stop()
			f := &otherProgram{forward: forward(real)}
			server := f.listen(t, strings.TrimPrefix(w.base, "http://"))
			for n := 0; n < 9; n++ {
				for _, b := range []*browser{b, past, stop, login} {
					eval[bool](b, `(() => {
						const links = [...document.querySelectorAll("a[href]:not([href^='#'])")], link = links[`+strconv.Itoa(n)+` % links.length];
						document.querySelectorAll("main button").forEach((e) => e.click());
						document.querySelectorAll("footer form").forEach((f) => f.requestSubmit());
						link.click();
						link.dispatchEvent(new MouseEvent("auxclick", { bubbles: true, cancelable: true, button: 1 }));
						link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey: true }));
						document.dispatchEvent(new Event("visibilitychange"));
						return true;
					})()`)
				}
				time.Sleep(time.Second)
			}
			for _, stayed := range stays {
				stayed()
			}
			b.sees(".offline", map[bool]string{true: "Not connected", false: "is not the inbox that made this page"}[name == "redirects"])
			b.sees("[data-result]", "your answer was not sent")
			b.shot("offline-" + strings.ReplaceAll(name, " ", "-"))
			b.look("dark", true)
			b.shot("offline-phone-" + strings.ReplaceAll(name, " ", "-"))
			b.look("light", false)
			server.Close()
			got := f.requests()
			for _, bad := range []string{"Cookie:", "POST ", "stamp=", "line=", bob, "Referer:"} {
				if strings.Contains(got, bad) {
					t.Errorf("it got %q: %s", bad, got)
				}
			}
			if n := strings.Count(got, "GET "); n < 10 || n != strings.Count(got, "GET /inbox/owner?") {
				t.Errorf("it got: %s", got)
			}
			if w.ran("start_outbound_call") != 0 || len(real.pending(t, 1)) != 1 {
				t.Error("the request was answered")
			}

			s.addr = strings.TrimPrefix(w.base, "http://")
			newWorld(t, s)
			b.until("that the page is connected", `document.querySelector("[data-offline]").hidden`)
			stays[0]()
			b.click("button[value=approve]")
			b.sees("[data-list=decided]", "bob approved, and it ran")
			stays[0]()
			past.click(`nav a[href="/inbox"]`)
			past.sees("[data-list=decided]", "bob approved, and it ran")
			login.click(`form[action="/inbox/login"] button`)
			login.sees("footer", "Logged in as bob")
		})
	}
}
