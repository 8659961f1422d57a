package inbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// visitor is a browser without scripts. It keeps cookies and does not follow redirects.
type visitor struct {
	t      *testing.T
	w      *world
	client *http.Client
}

func (w *world) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(c.CloseIdleConnections)
	return &visitor{t, w, c}
}

// loggedIn returns a visitor who logged in with a token.
func (w *world) loggedIn(t *testing.T, token string) *visitor {
	t.Helper()
	v := w.visitor(t)
	if res, _ := v.post("/inbox/login", url.Values{"token": {token}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("logging in: HTTP %d", res.StatusCode)
	}
	return v
}

func (v *visitor) do(method, path, body string, headers ...string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequest(method, v.w.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res, string(raw)
}

func (v *visitor) get(path string, headers ...string) (*http.Response, string) {
	v.t.Helper()
	return v.do("GET", path, "", headers...)
}

func (v *visitor) post(path string, form url.Values, headers ...string) (*http.Response, string) {
	v.t.Helper()
	return v.do("POST", path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

var stampPattern = regexp.MustCompile(`name="line" value="([0-9a-f]{32}\.[0-9]+\.[A-Za-z0-9_-]+)"`)

// stamps returns the stamps of the lines on the page, in order.
func (v *visitor) stamps() (all []string) {
	v.t.Helper()
	_, page := v.get("/inbox")
	for _, m := range stampPattern.FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

// untouched fails the test unless the request is still pending and nothing ran.
func (w *world) untouched(t *testing.T, what string, req ledger.ApprovalRequest) {
	t.Helper()
	now, err := w.ledger.Approval(t.Context(), req.ID)
	if err != nil || now.State != ledger.Pending || w.ran(req.Action) != 0 {
		t.Fatalf("%s: the request is %s, it ran %d times, %v", what, now.State, w.ran(req.Action), err)
	}
}

// TestForged: an answer counts only from the session that was shown the request, and only for that
// request.
func TestForged(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	bob, cem := w.token(t, "bob", "approver"), w.token(t, "cem", "approver")
	agent := w.token(t, "ada", "agent")
	w.call(t, agent, "start_outbound_call", ring)
	w.call(t, agent, "archive_contact", `{"identity":"`+anID+`"}`)
	all := w.pending(t, 2)
	req := all[0]
	v, other, nobody := w.loggedIn(t, bob), w.loggedIn(t, cem), w.visitor(t)
	mine, theirs := v.stamps(), other.stamps()
	if len(mine) != 2 || len(theirs) != 2 || mine[0] == theirs[0] {
		t.Fatalf("stamps %q and %q", mine, theirs)
	}
	parts := strings.Split(mine[0], ".")
	form := func(stamp string) url.Values { return url.Values{"line": {stamp}, "answer": {"approve"}} }
	later := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
	for name, stamp := range map[string]string{
		"nothing": "", "another session's": theirs[0], "an id alone": req.ID, "another request's code": all[1].ID + "." + parts[1] + "." + parts[2],
		"another time": parts[0] + "." + later + "." + parts[2], "a cut code": strings.TrimSuffix(mine[0], mine[0][len(mine[0])-1:]),
		"no code": parts[0] + "." + parts[1] + ".", "more parts": mine[0] + ".x",
	} {
		if res, body := v.post("/inbox/answer", form(stamp)); res.StatusCode < 400 {
			t.Errorf("%s: HTTP %d: %s", name, res.StatusCode, body)
		}
		w.untouched(t, name, req)
	}
	// A valid stamp without a session, or with a cookie that is invented, cut or a code of another
	// kind.
	code, err := w.ledger.CreateLogin(t.Context(), ledger.Login{Kind: ledger.LinkCode, Person: "bob", Expires: time.Now().Add(time.Hour)}, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	name := "sippet-inbox-" + w.ledger.ID()[:8]
	for _, cookie := range []string{"", name + "=", name + "=" + strings.Repeat("A", 43), name + "=" + code, name + "=" + bob, "sippet-inbox=" + code, name + "='; DROP TABLE logins; --"} {
		if res, _ := nobody.post("/inbox/answer", form(mine[0]), "Cookie", cookie); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("the cookie %.30q: HTTP %d", cookie, res.StatusCode)
		}
		if res, _ := nobody.get("/inbox", "Cookie", cookie); res.StatusCode != http.StatusSeeOther {
			t.Errorf("the cookie %.30q opens the page: HTTP %d", cookie, res.StatusCode)
		}
		w.untouched(t, "without a session", req)
	}
	// Other commands need their own stamps. The stamp of an answer does not stop or log out.
	for _, path := range []string{"/inbox/stop", "/inbox/resume", "/inbox/end-calls", "/inbox/logout", "/inbox/again", "/inbox/take"} {
		if res, _ := v.post(path, url.Values{"stamp": {mine[0]}, "id": {req.ID}}); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s with another stamp: HTTP %d", path, res.StatusCode)
		}
	}
	// After logging out the session is invalid for everybody who kept the cookie.
	u, _ := url.Parse(w.base + "/inbox")
	kept := v.client.Jar.Cookies(u)
	_, page := v.get("/inbox")
	stamp := regexp.MustCompile(`action="/inbox/logout"><input type="hidden" name="stamp" value="([^"]+)"`).FindStringSubmatch(page)
	if res, _ := v.post("/inbox/logout", url.Values{"stamp": {stamp[1]}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("logging out: HTTP %d", res.StatusCode)
	}
	if res, _ := nobody.post("/inbox/answer", form(mine[0]), "Cookie", kept[0].String()); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logging out: HTTP %d", res.StatusCode)
	}
	w.untouched(t, "after logging out", req)
	// The same holds after the token was revoked.
	if err := w.ledger.RevokeToken(t.Context(), ledger.TokenID(cem), ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	if res, _ := other.post("/inbox/answer", form(theirs[0])); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a revoked token's session: HTTP %d", res.StatusCode)
	}
	w.untouched(t, "with a revoked token's session", req)
}

// TestOtherOrigins: another page cannot send an answer, frame the inbox, or load it under another
// host name.
func TestOtherOrigins(t *testing.T) {
	w := newWorld(t, setup{wait: 1})
	bob := w.token(t, "bob", "approver", "admin")
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	req := w.pending(t, 1)[0]
	v := w.loggedIn(t, bob)
	stamp := v.stamps()[0]
	form := url.Values{"line": {stamp}, "answer": {"approve"}}
	for _, from := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "http://127.0.0.1:1"}, {"Host", "evil.example"}, {"Host", "evil.example:80"},
	} {
		if res, body := v.post("/inbox/answer", form, from...); res.StatusCode != http.StatusForbidden {
			t.Errorf("%v: HTTP %d: %.80s", from, res.StatusCode, body)
		}
		if res, _ := v.post("/inbox/login", url.Values{"token": {bob}}, from...); res.StatusCode != http.StatusForbidden {
			t.Errorf("logging in by %v: HTTP %d", from, res.StatusCode)
		}
		w.untouched(t, from[0]+from[1], req)
	}
	// The API rejects forms of other pages, also with the cookie.
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""} {
		if res, _ := v.do("POST", "/inbox/api/stop", `{"note":"x"}`, "Content-Type", kind); res.StatusCode != http.StatusBadRequest {
			t.Errorf("the API takes %q: HTTP %d", kind, res.StatusCode)
		}
	}
	if f, err := w.ledger.CurrentStops(t.Context()); err != nil || len(f) != 0 {
		t.Errorf("it was stopped: %v, %v", f, err)
	}
	for _, path := range []string{"/inbox", "/inbox/login?again", "/inbox/history", "/inbox/approvals/" + req.ID, "/inbox/stop", "/inbox/nothing", "/inbox/api/approvals", "/inbox/assets/inbox.js"} {
		res, body := v.get(path)
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || res.Header.Get("X-Frame-Options") != "DENY" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
		if !strings.HasPrefix(path, "/inbox/assets/") && res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, res.Header.Get("Cache-Control"))
		}
		if found := regexp.MustCompile(`(?i)<script>|style="|\son[a-z]+="|javascript:|(src|href|action)="(https?:)?//`).FindString(body); found != "" && !strings.HasPrefix(path, "/inbox/assets/") {
			t.Errorf("%s holds %s", path, found)
		}
	}
}

// TestGuessing: wrong tokens are limited after a few attempts, a valid one never is, and no secret
// is in the log.
func TestGuessing(t *testing.T) {
	w := newWorld(t, setup{})
	bob := w.token(t, "bob", "approver")
	agent, both := w.token(t, "ada", "agent"), w.token(t, "eve", "agent", "approver")
	v := w.visitor(t)
	seen := map[int]int{}
	for n := range 20 {
		guess := fmt.Sprintf("smcp_%012x_%s", n, strings.Repeat("g", 43))
		res, _ := v.post("/inbox/login", url.Values{"token": {guess}})
		seen[res.StatusCode]++
		if strings.Contains(w.log.String(), guess) {
			t.Fatal("a token is in the log")
		}
	}
	if seen[http.StatusUnauthorized] == 0 || seen[http.StatusTooManyRequests] < 5 {
		t.Errorf("%v", seen)
	}
	for _, rejected := range []string{agent, both} {
		if res, body := w.visitor(t).post("/inbox/login", url.Values{"token": {rejected}}); res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusUnauthorized || strings.Contains(body, "data-live") {
			t.Errorf("a program's token logs in: HTTP %d", res.StatusCode)
		}
		if res, _ := v.do("GET", "/inbox/api/approvals", "", "Authorization", "Bearer "+rejected); res.StatusCode != http.StatusForbidden {
			t.Errorf("a program's token reads the API: HTTP %d", res.StatusCode)
		}
	}
	if res, _ := v.do("GET", "/inbox/api/approvals", "", "Authorization", "Bearer nonsense"); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the API is not limited: HTTP %d", res.StatusCode)
	}
	w.loggedIn(t, bob) // from the same address
	if res, _ := w.visitor(t).get("/inbox/login?token=" + bob); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a token in the address: HTTP %d", res.StatusCode)
	}
	// After a login the redirect stays within the inbox.
	for _, to := range []string{"//evil.example", "https://evil.example", "../../mcp", strings.Repeat("a", 31) + "/"} {
		link := strings.TrimPrefix(w.loginLink(t, "bob", false), w.base)
		res, _ := w.visitor(t).get(link + "?approval=" + url.QueryEscape(to))
		if at := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || at != "/inbox" {
			t.Errorf("after %q one is sent to %q (HTTP %d)", to, at, res.StatusCode)
		}
	}
	if res, _ := w.visitor(t).post("/inbox/login", url.Values{"token": {strings.Repeat("x", 1<<20)}}); res.StatusCode < 400 {
		t.Errorf("a huge form: HTTP %d", res.StatusCode)
	}
}

// TestSessionCookie: the cookie is for the inbox only, and expires.
func TestSessionCookie(t *testing.T) {
	w := newWorld(t, setup{})
	bob := w.token(t, "bob", "approver")
	res, _ := w.visitor(t).post("/inbox/login", url.Values{"token": {bob}})
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/inbox" || c.Secure || c.MaxAge != 12*3600 {
		t.Errorf("over plain HTTP on this machine: %+v", c)
	}
	lasts := func(c *http.Cookie) time.Duration {
		t.Helper()
		l, err := w.ledger.FindLogin(t.Context(), c.Value)
		if err != nil {
			t.Fatal(err)
		}
		return l.Expires.Sub(l.Created).Round(time.Minute)
	}
	if d := lasts(c); d != 12*time.Hour {
		t.Errorf("over plain HTTP the session lasts %s", d)
	}
	if raw := w.log.String(); strings.Contains(raw, c.Value) || strings.Contains(raw, bob) {
		t.Error("a secret is in the log")
	}
	w.box.Secure = true
	res, _ = w.visitor(t).post("/inbox/login", url.Values{"token": {bob}})
	if c := res.Cookies()[0]; !c.Secure || !c.HttpOnly || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" || c.MaxAge != 30*24*3600 ||
		lasts(c) != 30*24*time.Hour {
		t.Errorf("over TLS: %+v", c)
	}
}

// TestServerStops: a request while the server stops gets an error, and no empty page.
func TestServerStops(t *testing.T) {
	w := newWorld(t, setup{})
	v := w.loggedIn(t, w.token(t, "bob", "approver"))
	u, err := url.Parse(w.base + "/inbox")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"/inbox", "/inbox/events", "/inbox/api/approvals"} {
		r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
		for _, c := range v.client.Jar.Cookies(u) {
			r.AddCookie(c)
		}
		got := httptest.NewRecorder()
		w.box.Handler().ServeHTTP(got, r)
		if got.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: HTTP %d: %s", path, got.Code, got.Body)
		}
	}
}
