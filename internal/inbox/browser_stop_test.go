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
	b.sees("h1", "Stop everything")
	if got := eval[[]string](b, `[...document.querySelectorAll(".live li")].map(l => l.innerText)`); !slices.Equal(got, []string{"+442079460120", "+442079460121"}) {
		t.Errorf("live calls %q", got)
	}
	b.sees("main", "You can end them here after you stop everything.")
	if b.count(`form[action="/inbox/end-calls"]`) != 0 {
		t.Error("calls can be ended without a stop")
	}
	admin := w.loggedIn(t, grace)
	command := admin.stampsOn("/inbox/stop")["command"]
	if res, text := admin.post("/inbox/end-calls", url.Values{"stamp": {command}}); res.StatusCode != http.StatusConflict || !strings.Contains(text, "Stop everything first") {
		t.Errorf("ending calls without a stop: HTTP %d: %s", res.StatusCode, text)
	}

	b.write("input[name=note]", "the wrong <i>list</i>")
	b.click("button.danger")
	b.sees("h1", "Everything is stopped")
	b.sees(".panel.stop", "Pending requests and unused approvals that were revoked: 2")
	b.sees(".panel.stop", "“the wrong <i>list</i>”")
	other.sees(".strip.stopped", "Everything is stopped by grace, via inbox")
	other.sees(".strip.stopped", "“the wrong <i>list</i>”")
	other.cards(0)
	other.until("a title without a number", `document.title == "Inbox · Sippet"`)
	if other.count(".strip a") != 0 {
		t.Error("an approver sees the link to the emergency stop")
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
	b.sees("h1", "Stop everything")
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

// TestBrowserNoAdmin: without the role admin there is no stop button, and the command is rejected.
func TestBrowserNoAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	bob, grace := w.token(t, "bob", "approver"), w.token(t, "grace", "approver", "admin")
	w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	b.login(w, bob)
	b.cards(1)
	if n := b.count(`a[href="/inbox/stop"], .stop, .danger`); n != 0 {
		t.Errorf("%d links to the emergency stop", n)
	}
	b.goTo(w.base + "/inbox/stop")
	b.sees("h1", "You may not stop everything")
	if b.count("main form") != 0 {
		t.Error("there is a form")
	}
	v, admin := w.loggedIn(t, bob), w.loggedIn(t, grace)
	theirs := admin.stampsOn("/inbox/stop")["command"]
	stop := func(want bool) {
		t.Helper()
		if f, err := w.ledger.CurrentStops(t.Context()); err != nil || (len(f) > 0) != want {
			t.Fatalf("stopped: %+v, %v", f, err)
		}
	}
	rejected := func(paths ...string) {
		t.Helper()
		for _, path := range paths {
			for _, stamp := range []string{"", theirs, v.stampsOn("/inbox")["logout"]} {
				if res, _ := v.post("/inbox/"+path, url.Values{"stamp": {stamp}}); res.StatusCode != http.StatusForbidden {
					t.Errorf("%s: HTTP %d", path, res.StatusCode)
				}
			}
			if path == "end-calls" {
				continue
			}
			for _, by := range []string{"", bob} {
				if res, text := v.json("POST", "/"+path, by, `{}`); res.StatusCode != http.StatusConflict || !strings.Contains(text, "only somebody with the role admin") {
					t.Errorf("%s over the API: HTTP %d: %s", path, res.StatusCode, text)
				}
			}
		}
	}
	rejected("stop", "resume", "end-calls")
	if res, text := v.json("POST", "/stop", bob, `{"endCalls":true}`); res.StatusCode != http.StatusConflict {
		t.Errorf("HTTP %d: %s", res.StatusCode, text)
	}
	stop(false)
	if res, _ := admin.post("/inbox/stop", url.Values{"stamp": {theirs}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the admin's own: HTTP %d", res.StatusCode)
	}
	stop(true)
	rejected("stop", "resume", "end-calls")
	stop(true)
	if n := w.ran("end_call"); n != 0 {
		t.Errorf("%d calls were ended", n)
	}
}
