package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// switchboard simulates live calls upstream.
type switchboard struct {
	mu    sync.Mutex
	live  []string
	ended []string
}

func (s *switchboard) connect(up *rpctest.Server) {
	up.On(rpctest.Run, "list_calls", func(rpctest.Request) rpctest.Answer {
		s.mu.Lock()
		defer s.mu.Unlock()
		rows := []string{}
		for n, c := range s.live {
			rows = append(rows, fmt.Sprintf(`{"callUuid":%q,"toNumber":"+44207946012%d"}`, c, n))
		}
		return rpctest.Answer{Body: `{"success":true,"data":[` + strings.Join(rows, ",") + `]}`}
	})
	up.On(rpctest.Run, "list_bulk_outbound_call_entries", rpctest.OK(`{"results":[],"hasMore":false,"type":"keyset"}`))
	up.On(rpctest.Run, "end_call", func(r rpctest.Request) rpctest.Answer {
		var body struct{ Input struct{ CallUUID string } }
		_ = json.Unmarshal(r.Body, &body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, body.Input.CallUUID)
		s.live = slices.DeleteFunc(s.live, func(c string) bool { return c == body.Input.CallUUID })
		return rpctest.Answer{Body: `{"success":true,"data":{}}`}
	})
}

// TestBrowserStop: an admin stops everything. Other pages show it live, pending requests are
// revoked and counted, and calls are rejected. Then the live calls are ended, and everything
// resumes.
func TestBrowserStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: time.Minute})
	board := &switchboard{live: []string{"call-1", "call-2"}}
	board.connect(w.up)
	b := newBrowser(t).strict(w)
	other := newBrowser(t).strict(w)
	agent, bob, grace := w.token(t, "ada", "agent"), w.token(t, "bob", "approver"), w.token(t, "grace", "admin")
	waits := w.later(t, agent, "start_outbound_call", ringArgs(1))
	hangs := w.later(t, agent, "end_call", `{"input":{"callUuid":"call-9"}}`)
	w.pending(t, 2)
	other.login(w, bob)
	other.cards(2)
	live := other.stays()
	b.login(w, grace)
	b.click(`a[href="/inbox/stop"]`)
	b.sees("h1", "Emergency stop")
	if got := eval[[]string](b, `[...document.querySelectorAll(".live li")].map(l => l.innerText)`); !slices.Equal(got, []string{"+442079460120", "+442079460121"}) {
		t.Errorf("live calls %q", got)
	}
	b.sees("main", "You can end them here after you stop ringing, or everything.")
	if b.count(`form[action="/inbox/end-calls"]`) != 0 {
		t.Error("calls can be ended without a stop")
	}
	admin := w.loggedIn(t, grace)
	command := admin.stampsOn("/inbox/stop")["command"]
	if res, text := admin.post("/inbox/end-calls", url.Values{"stamp": {command}}); res.StatusCode != http.StatusConflict || !strings.Contains(text, "Stop ringing first") {
		t.Errorf("ending calls without a stop: HTTP %d: %s", res.StatusCode, text)
	}

	b.write("input[name=note]", "the wrong <i>list</i>")
	b.click("button[value=everything]")
	b.sees("h1", "Everything is stopped")
	b.sees(".panel.stop", "Pending requests and unused approvals that were revoked: 2")
	b.sees(".panel.stop", "“the wrong <i>list</i>”")
	other.sees(".strip.stopped", "Everything is stopped by grace, via inbox")
	other.sees(".strip.stopped", "“the wrong <i>list</i>”")
	other.cards(0)
	other.until("a title without a number", `document.title == "Inbox · Sippet"`)
	if other.count(`form[action="/inbox/resume"]`) != 0 {
		t.Error("an approver sees the button to resume")
	}
	if res, text := admin.json("POST", "/stop", "", `{"note":"once more"}`); res.StatusCode != http.StatusOK || !strings.Contains(text, `"revoked":2`) {
		t.Errorf("stopping once more: HTTP %d: %s", res.StatusCode, text)
	}
	b.goTo(w.base + "/inbox/stop")
	b.sees(".panel.stop", "Pending requests and unused approvals that were revoked: 2")
	for _, call := range []<-chan answer{waits, hangs} {
		if a := get(t, call); a.Outcome != "denied" && a.Outcome != "stopped" || a.Ran != false {
			t.Errorf("a pending call: %s", a.frame)
		}
	}
	if a := w.call(t, agent, "start_outbound_call", ringArgs(2)); a.Outcome != "stopped" || !strings.Contains(a.frame, "grace") {
		t.Errorf("%s", a.frame)
	}
	if a := w.call(t, agent, "list_contacts", `{}`); a.Outcome != "done" {
		t.Errorf("a read: %s", a.frame)
	}

	b.click(`form[action="/inbox/end-calls"] button`)
	b.sees("main", "Ending calls, requested by grace, via inbox")
	ended := `[...document.querySelectorAll(".live li .good")].length == 2 && !document.querySelector("main").innerText.includes("Ending calls")`
	for end := time.Now().Add(30 * time.Second); !eval[bool](b, ended); time.Sleep(100 * time.Millisecond) {
		b.goTo(w.base + "/inbox/stop")
		if time.Now().After(end) {
			b.shot("failed")
			t.Fatalf("the calls were not ended: %s", b.text("main"))
		}
	}
	b.sees("main", "None.")
	board.mu.Lock()
	if slices.Sort(board.ended); !slices.Equal(board.ended, []string{"call-1", "call-2"}) {
		t.Errorf("ended %q", board.ended)
	}
	board.mu.Unlock()

	b.click(`form[action="/inbox/resume"] button`)
	b.sees("h1", "Emergency stop")
	other.until("that the banner is removed", `!document.querySelector(".strip.stopped")`)
	other.cards(0) // revoked requests stay revoked
	again := w.later(t, agent, "start_outbound_call", ringArgs(1))
	other.cards(1)
	other.click("button[value=approve]")
	if a := get(t, again); a.Outcome != "done" {
		t.Errorf("after resuming: %s", a.frame)
	}
	live()
}

// visitorBy returns a visitor who logged in with a link, as somebody without a role in the inbox does.
func (w *world) visitorBy(t *testing.T, person string) *visitor {
	t.Helper()
	v := w.visitor(t)
	if res, _ := v.get(strings.TrimPrefix(w.loginLink(t, person, false), w.base)); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("logging in: HTTP %d", res.StatusCode)
	}
	return v
}

// stopped fails the test unless exactly these stops are in force.
func (w *world) stopped(t *testing.T, want ...string) {
	t.Helper()
	all, err := w.ledger.CurrentStops(t.Context())
	got := []string{}
	for _, s := range all {
		got = append(got, s.StopScope.String())
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("stopped: %q, want %q; %v", got, want, err)
	}
}

// TestBrowserStopRinging: an approver stops ringing. Other requests stay, other calls run, and live
// calls can be ended. Only an admin resumes.
func TestBrowserStopRinging(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	board := &switchboard{live: []string{"call-1"}}
	board.connect(w.up)
	b, other := newBrowser(t).strict(w), newBrowser(t).strict(w)
	agent, bob, grace := w.token(t, "ada", "agent"), w.token(t, "bob", "approver"), w.token(t, "grace", "admin")
	w.call(t, agent, "start_outbound_call", ring)
	w.call(t, agent, "archive_contact", `{"identity":"`+anID+`"}`)
	other.login(w, bob)
	other.cards(2)
	b.login(w, bob)
	b.click(`a[href="/inbox/stop"]`)
	b.sees("h1", "Emergency stop")
	b.shot("stop-of-an-approver")
	b.write("input[name=note]", "wrong list")
	b.click("button[value=ringing]")
	b.sees("h1", "Ringing is stopped")
	b.sees(".panel.stop", "Everything but ringing goes on.")
	b.sees(".panel.stop", "that were revoked: 1.")
	b.sees(".panel.stop", "Only an admin can resume.")
	b.shot("stop-of-ringing")
	if b.count(`button[value=ringing], form[action="/inbox/resume"]`) != 0 || b.count("button[value=everything]") != 1 {
		t.Error("the wrong buttons")
	}
	other.sees(".strip.stopped", "Ringing is stopped by bob, via inbox")
	other.cards(1)
	other.sees("[data-card]", "Archive")
	if a := w.call(t, agent, "start_outbound_call", ringArgs(2)); a.Outcome != "stopped" || !strings.Contains(a.Message, "bob stopped ringing") ||
		!strings.Contains(a.Message, "everything but ringing goes on") || !strings.Contains(a.Message, "wrong list") {
		t.Errorf("%s", a.frame)
	}
	if a := w.call(t, agent, "create_contact", `{"input":{"fullName":"Ada"}}`); a.Outcome != "done" {
		t.Errorf("a call that does not ring: %s", a.frame)
	}
	other.click("button[value=approve]")
	other.cards(0)

	v := w.loggedIn(t, bob)
	stamp := v.stampsOn("/inbox/stop")["command"]
	if res, text := v.post("/inbox/resume", url.Values{"stamp": {stamp}, "scope": {"ringing"}}); res.StatusCode != http.StatusConflict || !strings.Contains(text, "Only somebody with the role admin may resume") {
		t.Errorf("an approver resumes: HTTP %d: %s", res.StatusCode, text)
	}
	w.stopped(t, "ringing")
	b.click(`form[action="/inbox/end-calls"] button`)
	for end := time.Now().Add(30 * time.Second); w.ran("end_call") == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the call was not ended")
		}
	}
	admin := newBrowser(t).strict(w)
	admin.login(w, grace)
	admin.click(`a[href="/inbox/stop"]`)
	admin.click(`form[action="/inbox/resume"] button`)
	admin.sees("h1", "Emergency stop")
	w.stopped(t)
	other.until("that the banner is removed", `!document.querySelector(".strip.stopped")`)
}

// TestBrowserStopOwn: somebody without a role stops their own assistants, and nothing else. Others
// neither see that stop nor are covered by it.
func TestBrowserStopOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	ada, carl := w.token(t, "ada", "agent"), w.token(t, "carl", "agent", "operator")
	second, bob, grace := w.token(t, "ada", "agent", "operator"), w.token(t, "bob", "approver"), w.token(t, "grace", "admin")
	w.call(t, ada, "start_outbound_call", ring)
	w.call(t, second, "archive_contact", `{"identity":"`+anID+`"}`)
	w.call(t, carl, "start_outbound_call", ringArgs(1))
	w.pending(t, 3)
	b.goTo(w.loginLink(t, "ada", false))
	b.cards(2)
	b.click(`a[href="/inbox/stop"]`)
	b.sees("main", "Stop my assistants")
	if n := b.count("main button"); n != 1 {
		t.Errorf("%d buttons", n)
	}
	if strings.Contains(b.text("main"), "Live outbound calls") {
		t.Error("somebody without a role sees the live calls")
	}
	v := w.visitorBy(t, "ada")
	stamp := v.stampsOn("/inbox/stop")["command"]
	for _, scope := range []string{"everything", "ringing", "all", ""} {
		if res, text := v.post("/inbox/stop", url.Values{"stamp": {stamp}, "scope": {scope}}); res.StatusCode != http.StatusConflict || !strings.Contains(text, "Only somebody with the role approver or admin") {
			t.Errorf("stopping %q: HTTP %d: %s", scope, res.StatusCode, text)
		}
		if res, text := v.json("POST", "/stop", "", fmt.Sprintf(`{"scope":%q}`, scope)); res.StatusCode != http.StatusConflict {
			t.Errorf("stopping %q over the API: HTTP %d: %s", scope, res.StatusCode, text)
		}
	}
	for _, body := range []string{`{}`, `{"scope":"assistant","person":"carl"}`, `{"scope":"everything","person":"ada"}`, `{"endCalls":true}`} {
		if res, text := v.json("POST", "/stop", "", body); res.StatusCode != http.StatusConflict {
			t.Errorf("%s: HTTP %d: %s", body, res.StatusCode, text)
		}
	}
	if res, _ := v.post("/inbox/end-calls", url.Values{"stamp": {stamp}}); res.StatusCode != http.StatusConflict {
		t.Errorf("ending calls: HTTP %d", res.StatusCode)
	}
	w.stopped(t)

	b.click("button[value=assistant]")
	b.sees("h1", "The assistants of ada are stopped")
	b.sees(".panel.stop", "For them only reads and hanging up go on.")
	b.sees(".panel.stop", "that were revoked: 2.")
	b.shot("stop-of-own-assistants")
	w.stopped(t, "the assistants of ada")
	w.pending(t, 1)
	for _, token := range []string{ada, second} {
		if a := w.call(t, token, "create_contact", `{"input":{"fullName":"Ada"}}`); a.Outcome != "stopped" || !strings.Contains(a.Message, "ada stopped the assistants of ada") {
			t.Errorf("%s", a.frame)
		}
	}
	if a := w.call(t, carl, "create_contact", `{"input":{"fullName":"Ada"}}`); a.Outcome != "done" {
		t.Errorf("another's assistant: %s", a.frame)
	}
	for _, body := range []string{`{}`, `{"scope":"assistant"}`, `{"scope":"assistant","person":"ada"}`} {
		if res, text := v.json("POST", "/resume", "", body); res.StatusCode != http.StatusConflict || !strings.Contains(text, "only somebody with the role admin may resume") {
			t.Errorf("resuming by %s: HTTP %d: %s", body, res.StatusCode, text)
		}
	}
	if _, text := w.visitorBy(t, "carl").json("GET", "/stop", "", ""); strings.Contains(text, "ada") {
		t.Errorf("another person sees %s", text)
	}
	if _, text := w.loggedIn(t, bob).json("GET", "/stop", "", ""); !strings.Contains(text, `"scope":"assistant","person":"ada"`) || !strings.Contains(text, `"revoked":2`) {
		t.Errorf("an approver sees %s", text)
	}

	// An approver stops another's; a misspelt name would stop nobody.
	if res, text := v.json("POST", "/stop", bob, `{"scope":"assistant","person":"karl"}`); res.StatusCode != http.StatusConflict || !strings.Contains(text, "known: ada, bob, carl, grace") {
		t.Errorf("nobody is called so: HTTP %d: %s", res.StatusCode, text)
	}
	approver := newBrowser(t).strict(w)
	approver.login(w, bob)
	approver.click(`a[href="/inbox/stop"]`)
	approver.sees("main", "Stop the assistants of")
	eval[bool](approver, `!!(document.querySelector("select[name=person]").value = "carl")`)
	approver.click("button[value=assistant]")
	approver.sees("main", "The assistants of carl are stopped")
	w.stopped(t, "the assistants of ada", "the assistants of carl")
	w.pending(t, 0)

	// An admin ends one of two.
	if res, text := v.json("POST", "/resume", grace, `{"person":"ada"}`); res.StatusCode != http.StatusConflict {
		t.Errorf("resuming without a scope: HTTP %d: %s", res.StatusCode, text)
	}
	if res, text := v.json("POST", "/resume", grace, `{"scope":"assistant","person":"Ada"}`); res.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	w.stopped(t, "the assistants of carl")
	if a := w.call(t, ada, "create_contact", `{"input":{"fullName":"Ada"}}`); a.Outcome != "done" {
		t.Errorf("after resuming: %s", a.frame)
	}
	if a := w.call(t, carl, "create_contact", `{"input":{"fullName":"Carl"}}`); a.Outcome != "stopped" {
		t.Errorf("still stopped: %s", a.frame)
	}
}

// TestStopForged: a command needs a stamp of the session for commands.
func TestStopForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	bob, grace := w.token(t, "bob", "approver"), w.token(t, "grace", "approver", "admin")
	v, admin := w.loggedIn(t, bob), w.loggedIn(t, grace)
	theirs := admin.stampsOn("/inbox/stop")["command"]
	rejected := func() {
		t.Helper()
		for _, path := range []string{"stop", "resume", "end-calls"} {
			for _, stamp := range []string{"", theirs, v.stampsOn("/inbox")["logout"]} {
				if res, _ := v.post("/inbox/"+path, url.Values{"stamp": {stamp}, "scope": {"everything"}}); res.StatusCode != http.StatusForbidden {
					t.Errorf("%s: HTTP %d", path, res.StatusCode)
				}
			}
		}
	}
	rejected()
	w.stopped(t)
	if res, _ := admin.post("/inbox/stop", url.Values{"stamp": {theirs}, "scope": {"everything"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the admin's own: HTTP %d", res.StatusCode)
	}
	w.stopped(t, "everything")
	rejected()
	for _, by := range []string{"", bob} {
		if res, text := v.json("POST", "/resume", by, `{}`); res.StatusCode != http.StatusConflict || !strings.Contains(text, "only somebody with the role admin") {
			t.Errorf("resume over the API: HTTP %d: %s", res.StatusCode, text)
		}
	}
	w.stopped(t, "everything")
	if n := w.ran("end_call"); n != 0 {
		t.Errorf("%d calls were ended", n)
	}
}
