package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestFlood attacks each profile from outside: an assistant overwrites every contact of the clinic, and
// then turns every label to spam. A person is asked after 20 contacts, and without a person the caller has
// to wait after 60 changes.
func TestFlood(t *testing.T) {
	for profile, want := range map[string]struct {
		contacts int // 0: all
		changes  int // contacts and labels; 0: any
		outcome  string
	}{
		"desktop":    {20, 0, "approval_pending"},
		"team":       {20, 0, "approval_pending"},
		"unattended": {0, 60, "limit_exceeded"},
	} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := &world{dir: filepath.Join(t.TempDir(), "state")}
			w.bob = w.token(t, "bob", "agent", "--sandbox")
			p, err := spawn([]string{"http", "--sandbox", "--state-dir", w.dir, "--policy", profile, "--addr", "127.0.0.1:0", "--approval-wait", "0s", "--log-level", "error"})
			must(t, err)
			t.Cleanup(func() {
				p.kill()
				<-p.ended
			})
			must(t, p.listening())
			as := &assistant{t: t, client: &modern{p.url, &http.Client{Transport: bearer(w.bob)}}, job: "flood"}
			t.Cleanup(as.client.http.CloseIdleConnections)
			began := time.Now()
			contacts, contactsEnd := as.change("update_contact", `{"defaultLanguage":"zz"}`, as.list("list_contacts",
				`{"fields":["id"],"filter":{"erasedAt":{"isNil":true},"deletedAt":{"isNil":true}},"page":{"limit":100}}`))
			labels, labelsEnd := as.change("override_call_classification", `{"label":"spam"}`, as.list("list_call_classifications",
				`{"fields":["id"],"filter":{"effectiveLabel":{"isNil":false}}}`))
			t.Logf("%s: %d contacts (%v) and %d labels (%v) in %s", profile, contacts, contactsEnd, labels, labelsEnd, time.Since(began))
			if want.contacts > 0 && (contacts != want.contacts || contactsEnd[want.outcome] == 0) {
				t.Errorf("%d contacts were overwritten, then %v", contacts, contactsEnd)
			}
			if want.changes > 0 && (contacts+labels != want.changes || labelsEnd[want.outcome] == 0) {
				t.Errorf("%d changes ran, then %v", contacts+labels, labelsEnd)
			}
		})
	}
}

// change changes all records, and returns how many were changed, and how often other outcomes were.
func (as *assistant) change(action, input string, all []record) (done int, others map[string]int) {
	others = map[string]int{}
	for _, r := range all {
		switch outcome := as.client.tool(as.t, action, fmt.Sprintf(`{"identity":%q,"input":%s}`, r.text("id"), input)).outcome(); outcome {
		case "done":
			done++
		default:
			others[outcome]++
		}
	}
	return done, others
}
