package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

const erase = `{"input":{"contactId":"` + anID + `"}}`

// forgeAnswer sends an answer without the page: as its form, and to the API with the cookie and
// with a token, if one is given. Each must be rejected for the reason, and change nothing.
func (v *visitor) forgeAnswer(req ledger.ApprovalRequest, answer, token, why string) {
	v.t.Helper()
	stamp := v.stampsOn("/inbox/approvals/" + req.ID)[req.ID]
	if stamp == "" {
		v.t.Fatal("the page has no stamp")
	}
	res, text := v.post("/inbox/answer", url.Values{"line": {stamp}, "answer": {answer}})
	if res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), why) {
		v.t.Errorf("a forged %s: HTTP %d: %s", answer, res.StatusCode, text)
	}
	v.w.untouched(v.t, "a forged "+answer, req)
	for _, by := range []string{"", token}[:1+min(1, len(token))] {
		var got struct{ Stamp, Barred string }
		res, text := v.json("GET", "/approvals/"+req.ID, by, "")
		if err := json.Unmarshal([]byte(text), &got); err != nil || res.StatusCode != 200 || got.Stamp == "" {
			v.t.Fatalf("the request over the API: HTTP %d: %s", res.StatusCode, text)
		}
		res, text = v.json("POST", "/approvals/"+req.ID, by, fmt.Sprintf(`{"answer":%q,"stamp":%q}`, answer, got.Stamp))
		if res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), why) {
			v.t.Errorf("a forged %s over the API: HTTP %d: %s", answer, res.StatusCode, text)
		}
		v.w.untouched(v.t, "a forged "+answer+" over the API", req)
	}
}

// TestBrowserOwn: if another person must approve, no token or login of the requester can.
func TestBrowserOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	b := newBrowser(t).strict(w)
	agent, approver := w.token(t, "bob", "agent"), w.token(t, "bob", "approver")
	call := w.later(t, agent, "delete_contact", erase)
	req := w.pending(t, 1)[0]
	const why = "another person must answer this request: you are bob, the requester, with any token"
	enter := map[string]func(){
		"by a link":  func() { b.goTo(w.loginLink(t, "bob", false) + "?approval=" + req.ID) },
		"by a token": func() { b.login(w, approver) },
	}
	for _, how := range []string{"by a link", "by a token"} {
		enter[how]()
		b.cards(1)
		b.sees(".barred", why)
		b.sees("[data-card]", "Needs a second person")
		if n := b.count("[data-card] button:not([hidden]), [data-card] input:not([type=hidden])"); n != 0 {
			t.Errorf("%s: %d controls", how, n)
		}
		b.press("ja\r")
		b.click(`form[action="/inbox/logout"] button`)
		b.until("the login", `location.pathname == "/inbox/login"`)
		w.untouched(t, how, req)
	}
	w.loggedIn(t, approver).forgeAnswer(req, "approve", approver, why)
	w.loggedIn(t, approver).forgeAnswer(req, "decline", approver, why)
	linked := w.visitor(t)
	linked.get(strings.TrimPrefix(w.loginLink(t, "bob", false), w.base))
	linked.forgeAnswer(req, "approve", "", why)
	// An admin is not an approver.
	grace := w.loggedIn(t, w.token(t, "grace", "admin"))
	if res, _ := grace.get("/inbox/approvals/" + req.ID); res.StatusCode != 404 {
		t.Errorf("an admin sees it: HTTP %d", res.StatusCode)
	}

	b.login(w, w.token(t, "carol", "approver"))
	b.cards(1)
	b.click("button[value=approve]")
	if a := get(t, call); a.Outcome != "done" || a.ApprovedBy != "carol" || w.ran("delete_contact") != 1 {
		t.Errorf("%s", a.frame)
	}
}

// TestBrowserFresh: approving what cannot be undone needs a login within the last 15 minutes.
// Declining does not.
func TestBrowserFresh(t *testing.T) {
	t.Parallel()
	clock := &offsetClock{}
	w := newWorld(t, setup{now: clock.now, wait: time.Minute})
	b := newBrowser(t).strict(w)
	agent, carol := w.token(t, "bob", "agent"), w.token(t, "carol", "approver")
	old := w.loggedIn(t, carol)
	b.login(w, carol)
	clock.add(14 * time.Minute)
	first := w.later(t, agent, "delete_contact", erase)
	req := w.pending(t, 1)[0]
	b.cards(1)
	b.until("the button, while the login is recent", `document.querySelector("button[value=approve]")`)
	// The login gets too old while the page is open. The button then has no effect, and becomes a
	// link to log in.
	clock.add(2 * time.Minute)
	b.click("button[value=approve]")
	b.until("the link to log in again", `document.querySelector("a.primary") && !document.querySelector("button[value=approve]")`)
	b.sees("[data-result]:not([hidden])", "a recent login is required")
	if n := b.count(".card"); n != 1 {
		t.Errorf("%d cards", n)
	}
	w.untouched(t, "with an old login", req)
	stamp := old.stampsOn("/inbox")[req.ID]
	if res, text := old.post("/inbox/answer", url.Values{"line": {stamp}, "answer": {"approve"}}); res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), "a recent login is required") {
		t.Errorf("a forged approval: HTTP %d: %s", res.StatusCode, text)
	}
	if res, text := old.json("POST", "/approvals/"+req.ID, "", fmt.Sprintf(`{"answer":"approve","stamp":%q}`, stamp)); res.StatusCode != 409 || !strings.Contains(strings.ToLower(text), "a recent login is required") {
		t.Errorf("a forged approval over the API: HTTP %d: %s", res.StatusCode, text)
	}
	w.untouched(t, "with an old login", req)
	b.click("button[value=decline]")
	if a := get(t, first); a.Outcome != "declined" {
		t.Errorf("declining with an old login: %s", a.frame)
	}

	// Hanging up, and what can be undone, do not need it.
	hang := w.later(t, agent, "end_call", `{"input":{"callUuid":"c-17"}}`)
	b.cards(1)
	b.click("button[value=approve]")
	if a := get(t, hang); a.Outcome != "done" {
		t.Errorf("hanging up with an old login: %s", a.frame)
	}

	second := w.later(t, agent, "archive_contact", `{"identity":"`+anID+`"}`)
	b.cards(1)
	b.click("a.primary")
	b.sees("h1", "Log in again")
	b.sees("main", "This needs a recent login, because it cannot be undone.")
	b.show(carol)
	b.until("the inbox", `location.pathname == "/inbox"`)
	b.cards(1)
	b.click("button[value=approve]")
	if a := get(t, second); a.Outcome != "done" || a.ApprovedBy != "carol" || w.ran("archive_contact") != 1 || w.ran("delete_contact") != 0 {
		t.Errorf("%s", a.frame)
	}
}
