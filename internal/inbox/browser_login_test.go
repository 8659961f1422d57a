package inbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// session returns the session cookie of the browser; empty without one.
func (b *browser) session(w *world) string {
	b.t.Helper()
	c, err := run(b, chromedp.Action[string](func(ctx context.Context, t *chromedp.Target) (string, error) {
		all, err := cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{w.base + "/inbox"}})
		if err != nil || len(all.Cookies) == 0 {
			return "", err
		}
		return all.Cookies[0].Name + "=" + all.Cookies[0].Value, nil
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// TestBrowserToken: the token of an approver or admin logs in. Any other is rejected with the
// reason.
func TestBrowserToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	bob := w.token(t, "bob", "approver")
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	b.goTo(w.base + "/inbox/approvals/" + w.pending(t, 1)[0].ID)
	b.until("the login", `location.pathname == "/inbox/login" && document.querySelector("input[name=token]")`)
	for _, c := range []struct{ token, says string }{
		{w.token(t, "ada", "agent"), "role agent"},
		{w.token(t, "eve", "agent", "approver"), "role agent"},
		{w.token(t, "oz", "operator"), "does not have the approver or admin role"},
		{"smcp_0123456789ab_" + strings.Repeat("x", 43), "invalid, expired or revoked"},
		{"nonsense", "invalid, expired or revoked"},
	} {
		b.show(c.token)
		b.sees("[role=alert]", c.says)
		if got := b.text("main"); strings.Contains(got, c.token) || b.count(`input[value^="smcp"]`) != 0 {
			t.Errorf("the page repeats the token: %s", got)
		}
		if c := b.session(w); c != "" {
			t.Errorf("a rejected login sets the cookie %s", c)
		}
		b.goTo(w.base + "/inbox")
		b.until("the login again", `location.pathname == "/inbox/login" && document.querySelector("input[name=token]")`)
	}
	b.login(w, bob)
	b.cards(1)
	b.sees("footer", "Logged in as bob")
	if got := eval[string](b, `document.cookie`); got != "" {
		t.Errorf("a script of the page can read %q", got)
	}

	// Logging out ends the session in every window, and for everybody who kept the cookie.
	kept, other := b.session(w), b.tab().strict(w)
	other.goTo(w.base + "/inbox")
	other.cards(1)
	b.click(`form[action="/inbox/logout"] button`)
	b.until("the login", `location.pathname == "/inbox/login"`)
	other.until("that the other window is at the login too", `location.pathname == "/inbox/login"`)
	b.goTo(w.base + "/inbox/history")
	b.until("the login", `location.pathname == "/inbox/login"`)
	if res, _ := w.visitor(t).get("/inbox", "Cookie", kept); res.Header.Get("Location") != "/inbox/login" {
		t.Errorf("the cookie is valid after logging out: HTTP %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}

// TestBrowserLink: a link logs in once. The link for this machine's browser does so at once. The
// link for a person needs a button, so that a program that previews links does not use it up.
func TestBrowserLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	w.token(t, "bob", "approver")
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	req := w.pending(t, 1)[0].ID
	link := w.loginLink(t, "bob", false) + "?approval=" + req
	b.goTo(link)
	b.until("the request", `location.pathname + location.hash == "/inbox#approval-`+req+`" && document.querySelector("#approval-`+req+` button[value=approve]")`)
	b.sees("footer", "Logged in as bob")
	b.goTo(link) // the same browser, from its history
	b.until("the request", `location.pathname + location.hash == "/inbox#approval-`+req+`"`)
	other := newBrowser(t).strict(w)
	other.goTo(link)
	other.sees("[role=alert]", "This link was used")
	other.goTo(w.base + "/inbox")
	other.until("the login", `location.pathname == "/inbox/login"`)

	code, err := w.ledger.CreateLogin(t.Context(), ledger.Login{Kind: ledger.LinkCode, Person: "bob", Expires: time.Now().Add(time.Minute)}, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	link = w.base + "/inbox/enter/" + code
	if res, text := w.visitor(t).get("/inbox/enter/" + code); res.StatusCode != 200 || len(res.Cookies()) != 0 || !strings.Contains(text, "Welcome") {
		t.Fatalf("previewing a link: HTTP %d, %v", res.StatusCode, res.Cookies())
	}
	phone := newBrowser(t).strict(w)
	phone.goTo(link + "?approval=" + req)
	phone.sees("h1", "Welcome, bob")
	if c := phone.session(w); c != "" {
		t.Errorf("previewing the link logs in: %s", c)
	}
	phone.click("main form button")
	phone.until("the request", `location.pathname + location.hash == "/inbox#approval-`+req+`"`)
	phone.sees("footer", "Logged in as bob")
	other.goTo(link)
	other.sees("[role=alert]", "This link was used")
	if res, _ := w.visitor(t).post("/inbox/enter/"+code, nil); res.StatusCode != 401 || len(res.Cookies()) != 0 {
		t.Errorf("using a link again: HTTP %d, %v", res.StatusCode, res.Cookies())
	}
	other.goTo(w.base + "/inbox/enter/" + strings.Repeat("x", 43))
	other.sees("[role=alert]", "This link was used already, or it has expired")

	// A person who has only a program's token can log in with a link, and answer that program's
	// requests.
	other.goTo(w.loginLink(t, "ada", false) + "?approval=" + req)
	other.click("#approval-" + req + " button[value=approve]")
	other.sees("[data-list=decided]", "ada approved, and it ran")
}
