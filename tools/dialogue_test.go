package tools_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// byName decides about a new contact by the beginning of its name.
const byName = `apiVersion: sippet.policy/v1
defaults:
  class: {read: allow, write: validate, outbound: confirm, destructive: approve, credential: approve}
  action: {list_calls: confirm, end_call: confirm}
rules:
  - {id: a, match: {actions: [create_contact]}, when: "input.fullName.startsWith('confirm')", decision: confirm, reason: Its name says so.}
  - {id: b, match: {actions: [create_contact]}, when: "input.fullName.startsWith('approve')", decision: approve, reason: Its name says so.}
  - {id: c, match: {actions: [create_contact]}, when: "input.fullName.startsWith('deny')", decision: deny, reason: Its name says so.}
`

var (
	requester = approval.Person{Name: "ada", Via: "inbox", Fresh: true}
	approver  = approval.Person{Name: "bob", Roles: []string{approval.RoleApprover}, Via: "inbox", Fresh: true}
)

// adaCaller returns a caller with a person's name.
func adaCaller(interactive bool) tools.Caller {
	return tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada", Via: "test"}, ID: "ada", Person: "ada"}, Interactive: interactive}
}

// declarations are what clients declare.
var declarations = []struct {
	name, declares string
	form, url      bool
}{
	{"forms, undeclared", `{"elicitation":{}}`, true, false},
	{"forms and URLs", `{"elicitation":{"form":{},"url":{}}}`, true, true},
	{"URLs only", `{"elicitation":{"url":{}}}`, false, true},
	{"nothing", `{}`, false, false},
}

// clientReplies are what clients do with a dialogue: what they send and after which time. form and
// url are what must come of it, for a form and for an address: done, declined, or the event that is
// recorded while the request stays pending; empty for none.
var clientReplies = []struct {
	name, sends string
	after       time.Duration
	form, url   string
}{
	{"accept at once", accepts, 0, "too_fast", ""},
	{"accept after 0.9 s", accepts, 900 * time.Millisecond, "too_fast", ""},
	{"accept after 2 s", accepts, 2 * time.Second, "done", ""},
	{"accept without the tick", unticks, 2 * time.Second, "unclear", ""},
	{"accept without content", `{"action":"accept"}`, 2 * time.Second, "unclear", ""},
	{"accept with a text", `{"action":"accept","content":{"approve":"true"}}`, 2 * time.Second, "unclear", ""},
	{"accept with another box", `{"action":"accept","content":{"Approve":true}}`, 2 * time.Second, "unclear", ""},
	{"decline at once", declines, 0, "too_fast", "too_fast"},
	{"decline after 2 s", declines, 2 * time.Second, "declined", "declined"},
	{"cancel at once", cancels, 0, "cancelled", "cancelled"},
	{"cancel after 60 s", cancels, time.Minute, "cancelled", "cancelled"},
	{"another action", `{"action":"ACCEPT","content":{"approve":true}}`, 2 * time.Second, "unclear", "unclear"},
	{"no action", `{"content":{"approve":true}}`, 2 * time.Second, "unclear", "unclear"},
	{"error", failed, 2 * time.Second, "failed", "failed"},
	{"silence", "", 0, "", ""},
}

// TestDialogues checks what comes of each reply of each client, for each decision, over both
// transports and protocols, with and without a person at the client. Whatever a client does, its
// person can still answer in the inbox, unless they have answered.
func TestDialogues(t *testing.T) {
	for _, interactive := range []bool{true, false} {
		for _, modern := range []bool{false, true} {
			for _, transport := range []string{"stdio", "http"} {
				t.Run(fmt.Sprintf("%s modern=%t interactive=%t", transport, modern, interactive), func(t *testing.T) {
					if transport == "http" {
						t.Parallel() // a process has one stdio transport
					}
					w := newWorld(t, setup{policy: byName, now: func() time.Time { return noon }}) // time passes only as clients think
					var p *peer
					if caller := adaCaller(interactive); transport == "http" {
						p = overHTTP(t, w.listen(t, caller), modern)
					} else {
						p = w.overStdio(t, caller, modern)
					}
					d := &dialogueTable{world: w, peer: p, known: map[string]bool{}}
					for _, client := range declarations {
						p.capabilities = client.declares
						p.newSession()
						for n, reply := range clientReplies {
							if testing.Short() && n%3 != 2 { // five of them: both answers, and three that are none
								continue
							}
							want := reply.url
							if client.form {
								want = reply.form
							}
							asked := interactive && (client.form || client.url)
							if !asked || modern && reply.sends == failed { // it cannot pass on an error
								want = ""
							}
							d.name = client.name + ", " + reply.name
							d.sends, d.after = reply.sends, reply.after
							d.check(t, "confirm", asked, want)
						}
						for _, decision := range []string{"allow", "validate", "approve", "deny"} {
							d.name, d.sends, d.after = client.name, accepts, 2*time.Second
							d.check(t, decision, false, map[string]string{"allow": "done", "validate": "done", "deny": "denied"}[decision])
						}
					}
				})
			}
		}
	}
}

// dialogueTable checks rows of the table in one world.
type dialogueTable struct {
	*world
	peer  *peer
	name  string
	sends string
	after time.Duration
	n     int
	known map[string]bool // requests of earlier rows
}

// check makes a call and checks its effects. want is done, declined, denied, or the recorded event.
func (d *dialogueTable) check(t *testing.T, decision string, asked bool, want string) {
	t.Helper()
	d.n++
	action, args := "create_contact", fmt.Sprintf(`{"input":{"fullName":"%s %d"},"reason":"as asked"}`, decision, d.n)
	if decision == "allow" {
		action, args = "list_operator_statuses", `{}` // its rows have no erased persons
	}
	name := decision + ", " + d.name
	pending := (decision == "confirm" || decision == "approve") && want != "done" && want != "declined"
	body := d.canonical(t, action, args)
	d.up.Forget()
	d.runner.Inbox.Wait = 20 * time.Second
	if pending && (d.after < time.Second || want == "") {
		d.runner.Inbox.Wait = 30 * time.Millisecond
		if asked {
			d.runner.Inbox.Wait = 300 * time.Millisecond // on a busy machine the dialogue takes as long
		}
	}
	before := len(d.peer.elicitations())
	d.peer.think = func() { d.shift.Add(int64(d.after)) }
	d.peer.answer = always(d.sends)
	began := time.Now()
	r := d.peer.call(action, args)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s: the call took %s", name, took)
	}
	if n := len(d.peer.elicitations()) - before; n != map[bool]int{true: 1}[asked] {
		t.Errorf("%s: the client was asked %d times", name, n)
	}
	requests := newRequests(t, d.world, d.known)
	for _, q := range requests {
		d.known[q.ID] = true
	}
	outcome := want
	if pending {
		outcome = "approval_pending"
	}
	got := r.Result.ResultType
	if got != "input_required" {
		got = r.outcome(t)
		checkShape(t, r)
	} else if pending && want == "" && asked && d.peer.modern && (d.sends == "" || d.sends == failed) {
		outcome = "input_required" // the client dropped the dialogue
	}
	if got != outcome {
		t.Errorf("%s: the outcome is %s, want %s: %s", name, got, outcome, r.Frame)
	}
	if asksNobody := decision != "confirm" && decision != "approve"; asksNobody {
		want := map[string][]string{"allow": {"run " + body}, "validate": {"validate " + body, "run " + body}, "deny": {}}[decision]
		if diff := cmp.Diff(want, lifecycle(d.up.Requests())); diff != "" || len(requests) != 0 {
			t.Errorf("%s: %d requests; what reached upstream (-want +got):\n%s", name, len(requests), diff)
		}
		return
	}
	if len(requests) != 1 {
		t.Fatalf("%s: %d new requests: %s", name, len(requests), r.Frame)
	}
	d.checkRequest(t, name, &requests[0], decision, asked, want)
	if got == "approval_pending" {
		d.checkPending(t, name, r, &requests[0], decision)
	}
	if pending {
		d.answerInInbox(t, name, requests[0].ID, decision, body)
	} else if n := runs(d.up.Requests()); n != map[string]int{"done": 1}[want] {
		t.Errorf("%s: %d runs", name, n)
	}
}

// checkRequest checks the request after the call: its state, from when it is shown, and what is
// recorded about the client.
func (d *dialogueTable) checkRequest(t *testing.T, name string, q *ledger.ApprovalRequest, decision string, asked bool, want string) {
	t.Helper()
	state := map[string]ledger.ApprovalState{"done": ledger.Used, "declined": ledger.Declined}[want]
	by := ledger.Actor{Name: "ada", Via: "client test 1"}
	if state == "" {
		state, by = ledger.Pending, ledger.Actor{}
	}
	if q.State != state || q.By != by || q.Needs != decision || q.Person != "ada" {
		t.Errorf("%s: the request %+v", name, q)
	}
	if shown := q.Shown.Sub(q.Requested); asked != (shown == d.gate.ClientFirst) || !asked && shown != 0 {
		t.Errorf("%s: approvers see it after %s", name, shown)
	}
	if lives := q.Expires.Sub(q.Requested); want != "done" && (lives < 14*time.Minute || lives > 15*time.Minute) {
		t.Errorf("%s: it is open for %s", name, lives)
	}
	var records []ledger.Record
	waitFor(t, func() bool { // a fast reply of a legacy client may be recorded after the call's answer
		var err error
		if records, err = d.gate.Ledger.Records(t.Context(), ledger.Filter{ApprovalID: q.ID}); err != nil {
			t.Fatal(err)
		}
		return state != ledger.Pending || len(records) > 1 || want == ""
	})
	event := ""
	for _, r := range records {
		switch r.Phase {
		case ledger.PhaseUnanswered:
			event += r.Note
			if r.By != (ledger.Actor{Via: "client test 1"}) {
				t.Errorf("%s: %s is recorded as by %s", name, r.Note, r.By)
			}
		case ledger.PhaseAnswered:
			if r.By != by || state == ledger.Pending {
				t.Errorf("%s: recorded as a person's answer: %s by %s", name, r.State, r.By)
			}
		}
	}
	if state != ledger.Pending {
		want = ""
	}
	if event != want {
		t.Errorf("%s: recorded about the client: %q, want %q", name, event, want)
	}
}

// checkPending checks an answer that says that a person must answer, and what approval_status says.
func (d *dialogueTable) checkPending(t *testing.T, name string, r *reply, q *ledger.ApprovalRequest, decision string) {
	t.Helper()
	who := map[string]string{"confirm": "ada or an approver", "approve": "an approver other than ada"}[decision]
	for _, a := range []*reply{r, d.peer.callOnce("approval_status", `{"id":"`+q.ID+`","waitSeconds":0}`, "")} {
		approval, _ := a.field(t, "approval").(map[string]any)
		if approval["id"] != q.ID || approval["needs"] != decision || approval["link"] != "http://127.0.0.1/inbox/approvals/"+q.ID || approval["mayAnswer"] != who ||
			a.field(t, "ran") != false || a.Result.IsError || !strings.Contains(a.text(t, "nextStep"), who) {
			t.Errorf("%s: %s", name, a.Frame)
		}
	}
	if n := runs(d.up.Requests()); n != 0 {
		t.Errorf("%s: %d runs while it is pending", name, n)
	}
}

// answerInInbox approves a pending request in the inbox: the requester's person if they may, and
// otherwise another. It must run once, and the repeated call must get the result.
func (d *dialogueTable) answerInInbox(t *testing.T, name, id, decision, body string) {
	t.Helper()
	if decision == "approve" {
		if got := d.approvals.Answer(t.Context(), []string{id}, requester, approval.Reply{Approve: true}); got[0].Err == nil {
			t.Errorf("%s: the requester approved for another person", name)
		}
	}
	by := map[string]approval.Person{"confirm": requester, "approve": approver}[decision]
	if got := d.approvals.Answer(t.Context(), []string{id}, by, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatalf("%s: %v", name, got[0].Err)
	}
	var status *reply
	waitFor(t, func() bool {
		status = d.peer.callOnce("approval_status", `{"id":"`+id+`"}`, "")
		return status.outcome(t) != "approval_pending"
	})
	if status.outcome(t) != "done" || status.text(t, "approvedBy") != by.Name {
		t.Errorf("%s: %s", name, status.Frame)
	}
	if got := lifecycle(d.up.Requests()); !slices.Equal(got, []string{"validate " + body, "validate " + body, "run " + body}) {
		t.Errorf("%s: %q", name, got)
	}
}

// newRequests returns the requests that are not among the known ones.
func newRequests(t testing.TB, w *world, known map[string]bool) (all []ledger.ApprovalRequest) {
	t.Helper()
	every, err := w.gate.Ledger.Approvals(context.Background(), ledger.ApprovalFilter{})
	if err != nil {
		t.Error(err)
	}
	for _, q := range every {
		if !known[q.ID] {
			all = append(all, q)
		}
	}
	return all
}
