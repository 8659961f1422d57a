package inbox_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// proxy is how a proxy passes requests on.
type proxy struct {
	strips bool // it removes the path of the public URL
	host   bool // it keeps the Host header
}

var proxies = map[string]proxy{
	"strips the path":                   {true, true},
	"strips the path and sets the host": {true, false},
	"leaves the path":                   {false, true},
	"leaves the path and sets the host": {false, false},
}

// behind returns a server that people reach only through a proxy, below the path /sippet.
func (p proxy) behind(t *testing.T, s setup) *world {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/sippet/") {
			t.Errorf("a request for %s, which belongs to another server of the host", r.URL)
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	public, err := url.Parse(server.URL + "/sippet")
	if err != nil {
		t.Fatal(err)
	}
	s.public = public
	w := newWorld(t, s)
	target, err := url.Parse(w.direct)
	if err != nil {
		t.Fatal(err)
	}
	handler = &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if p.host {
			r.Out.Host = r.In.Host
		}
	}}
	if p.strips {
		handler = http.StripPrefix("/sippet", handler)
	}
	t.Cleanup(func() { w.stop(); server.Close() })
	return w
}

var ownLink = regexp.MustCompile(`(?:href|src|action|data-live|data-inbox)="/[^"]*"`)

// TestProxy: below a path of a proxy everything works as at the root of a host, whether or not the
// proxy removes the path and keeps the Host header.
func TestProxy(t *testing.T) {
	t.Parallel()
	for name, p := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := p.behind(t, setup{wait: 20 * time.Second})
			agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver", "admin")
			v := w.visitor(t)
			if res, _ := v.get("/inbox"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sippet/inbox/login" {
				t.Errorf("without a login: HTTP %d to %s", res.StatusCode, res.Header.Get("Location"))
			}
			if res, _ := v.get("/inbox/"); res.Header.Get("Location") != "/sippet/inbox" {
				t.Errorf("with a slash one is sent to %s", res.Header.Get("Location"))
			}
			origin := strings.TrimSuffix(w.base, "/sippet")
			res, _ := v.post("/inbox/login", url.Values{"token": {bob}}, "Origin", origin)
			if c := res.Cookies(); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sippet/inbox" || len(c) != 1 || c[0].Path != "/sippet/inbox" || c[0].Secure {
				t.Fatalf("logging in: HTTP %d to %s, %+v", res.StatusCode, res.Header.Get("Location"), c)
			}
			link := strings.TrimPrefix(w.loginLink(t, "bob", false), w.base)
			if res, _ := w.visitor(t).get(link); res.Header.Get("Location") != "/sippet/inbox" {
				t.Errorf("after a link one is sent to %s", res.Header.Get("Location"))
			}

			call := w.later(t, agent, "start_outbound_call", ring)
			id := w.pending(t, 1)[0].ID
			for _, path := range []string{"/inbox", "/inbox/approvals/" + id, "/inbox/history", "/inbox/stop", "/inbox/login?again"} {
				res, page := v.get(path)
				links := ownLink.FindAllString(page, -1)
				if res.StatusCode != 200 || len(links) < 7 {
					t.Errorf("%s: HTTP %d, %d links", path, res.StatusCode, len(links))
				}
				for _, l := range links {
					if !strings.Contains(l, `="/sippet/inbox`) {
						t.Errorf("%s has %s", path, l)
					}
				}
			}
			if res, _ := v.get("/inbox/assets/inbox.js"); res.StatusCode != 200 {
				t.Errorf("the script: HTTP %d", res.StatusCode)
			}
			stamp := v.stampsOn("/inbox")[id]
			if stamp == "" {
				t.Fatal("the page has no stamp")
			}
			form := url.Values{"line": {stamp}, "answer": {"approve"}}
			for _, evil := range []string{"https://evil.example", "http://127.0.0.1:1", "null"} {
				if res, _ := v.post("/inbox/answer", form, "Origin", evil, "Sec-Fetch-Site", "cross-site"); res.StatusCode != http.StatusForbidden {
					t.Errorf("a form of %s: HTTP %d", evil, res.StatusCode)
				}
			}
			if res, _ := v.post("/inbox/answer", form, "Origin", origin); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/sippet/inbox/approvals/"+id {
				t.Fatalf("approving: HTTP %d to %s", res.StatusCode, res.Header.Get("Location"))
			}
			if a := get(t, call); a.Outcome != "done" || !strings.HasPrefix(a.frame, "{") {
				t.Errorf("%s", a.frame)
			}
			salt, key := v.proofData("/inbox")
			nonce := ledger.NewID()
			if _, text := v.get("/inbox/owner?" + url.Values{"origin": {origin}, "salt": {salt}, "nonce": {nonce}}.Encode()); !strings.Contains(text, proofOf(t, key, origin, nonce)) {
				t.Errorf("the proof for the public address: %s", text)
			}
		})
	}
}

// TestCookieOfAPath: with TLS below a path of a host, other servers of that host do not get the
// cookie, so that it cannot have the prefix __Host-.
func TestCookieOfAPath(t *testing.T) {
	for public, want := range map[string]struct{ prefix, path string }{
		"https://inbox.example.com":      {"__Host-", "/"},
		"https://ops.example.com/sippet": {"__Secure-", "/sippet/inbox"},
	} {
		u, err := url.Parse(public)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, setup{public: u})
		w.base, w.box.Secure = w.direct, true
		v := w.visitor(t)
		bob := w.token(t, "bob", "approver")
		res, _ := v.post("/inbox/login", url.Values{"token": {bob}}, "Host", u.Host, "Origin", "https://"+u.Host)
		if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
			t.Fatalf("%s: HTTP %d", public, res.StatusCode)
		}
		c := res.Cookies()[0]
		if !strings.HasPrefix(c.Name, want.prefix+"sippet-inbox-") || c.Path != want.path || !c.Secure || c.Domain != "" || c.MaxAge != 30*24*3600 {
			t.Errorf("%s: %+v", public, c)
		}
		res, _ = v.get("/inbox/history", "Cookie", c.Name+"="+c.Value, "Host", u.Host)
		if res.StatusCode != 200 {
			t.Errorf("%s: with the cookie: HTTP %d", public, res.StatusCode)
		}
		w.stop()
	}
}

// TestBrowserProxy: the pages work below a path of a proxy: login, live updates, approving, links,
// forms and logging out.
func TestBrowserProxy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"strips the path and sets the host", "leaves the path"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := proxies[name].behind(t, setup{wait: time.Minute})
			b := newBrowser(t).strict(w)
			agent, bob := w.token(t, "ada", "agent"), w.token(t, "bob", "approver", "admin")
			b.goTo(w.base + "/inbox")
			b.until("the login", `location.pathname == "/sippet/inbox/login"`)
			b.paste("input[name=token]", bob)
			b.click(`form[action="/sippet/inbox/login"] button`)
			b.until("that the login succeeded", `location.pathname == "/sippet/inbox" && document.querySelector("[data-live]")`)
			b.until("the style", `getComputedStyle(document.querySelector("header")).display != "block"`)
			stayed := b.stays()
			for end := time.Now().Add(20 * time.Second); w.box.Pages() != 1; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the page is not connected")
				}
			}
			call := w.later(t, agent, "start_outbound_call", ring)
			b.cards(1)
			b.click("button[value=approve]")
			b.sees("[data-list=decided]", "bob approved, and it ran")
			stayed()
			if a := get(t, call); a.Outcome != "done" {
				t.Errorf("%s", a.frame)
			}
			b.click(`[data-list=decided] a`)
			b.until("the page of the request", `location.pathname.startsWith("/sippet/inbox/approvals/")`)
			b.sees("[data-list=decided]", "bob approved, and it ran")
			b.click(`a[href="/sippet/inbox/stop"]`)
			b.click("button.danger")
			b.sees("h1", "Everything is stopped")
			b.click(`form[action="/sippet/inbox/resume"] button`)
			b.sees("h1", "Emergency stop")
			b.click(`form[action="/sippet/inbox/logout"] button`)
			b.until("the login", `location.pathname == "/sippet/inbox/login"`)
		})
	}
}
