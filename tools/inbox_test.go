package tools_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
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

// Who is asked.
const (
	asksNobody = ""
	asksClient = "client"
	asksInbox  = "inbox"
)

// replyingClients are the kinds of clients: who is asked for a confirm if the caller is interactive
// (otherwise the inbox), and the outcome of a request to the client in both protocols.
var replyingClients = []struct{ name, declares, answers, asks, legacy, modern string }{
	{"forms, undeclared", `{"elicitation":{}}`, accepts, asksClient, "done", "done"},
	{"forms and URLs", `{"elicitation":{"form":{},"url":{}}}`, accepts, asksClient, "done", "done"},
	{"URLs only", `{"elicitation":{"url":{}}}`, accepts, asksInbox, "", ""},
	{"none", `{}`, accepts, asksInbox, "", ""},
	{"forms, declined by itself", `{"elicitation":{"form":{}}}`, declines, asksClient, "declined", "declined"},
	{"forms, never answered", `{"elicitation":{"form":{}}}`, "", asksClient, "denied", "input_required"},
	{"forms, cancelled", `{"elicitation":{"form":{}}}`, cancels, asksClient, "declined", "declined"},
}

// inboxReplies are the outcomes of a request in the inbox, by its need and who answers.
var inboxReplies = []struct {
	name                 string
	by                   *approval.Person
	approves             bool
	onConfirm, onApprove string
}{
	{"nobody", nil, false, "approval_pending", "approval_pending"},
	{"the requester approves", &requester, true, "done", "approval_pending"},
	{"the requester declines", &requester, false, "declined", "approval_pending"},
	{"another person approves", &approver, true, "done", "done"},
}

// TestWhereRequestsGo checks the whole table over both transports and protocols.
func TestWhereRequestsGo(t *testing.T) {
	for _, interactive := range []bool{true, false} {
		for _, modern := range []bool{false, true} {
			for _, transport := range []string{"stdio", "http"} {
				t.Run(fmt.Sprintf("%s modern=%t interactive=%t", transport, modern, interactive), func(t *testing.T) {
					if transport == "http" {
						t.Parallel() // a process has one stdio transport
					}
					w := newWorld(t, setup{policy: byName, inbox: time.Minute})
					var p *peer
					if caller := adaCaller(interactive); transport == "http" {
						p = overHTTP(t, w.listen(t, caller), modern)
					} else {
						p = w.overStdio(t, caller, modern)
					}
					m := &requestTable{w: w, p: p, known: map[string]bool{}}
					for _, a := range replyingClients {
						p.capabilities, w.gate.Wait = a.declares, time.Minute
						if a.answers == "" {
							w.gate.Wait = 400 * time.Millisecond
						}
						p.newSession()
						for _, decision := range []string{"allow", "validate", "confirm", "approve", "deny"} {
							m.kind, m.answers = a.name+", "+decision, a.answers
							asks, outcome := asksNobody, map[string]string{"allow": "done", "validate": "done", "deny": "denied"}[decision]
							switch {
							case decision == "confirm" && interactive && a.asks == asksClient:
								asks, outcome = asksClient, a.legacy
								if modern {
									outcome = a.modern
								}
							case decision == "confirm", decision == "approve":
								asks = asksInbox
							}
							if asks != asksInbox {
								m.check(t, decision, asks, outcome, nil, false)
								continue
							}
							for _, reply := range inboxReplies {
								m.kind = a.name + ", " + decision + ", " + reply.name
								outcome := reply.onConfirm
								if decision == "approve" {
									outcome = reply.onApprove
								}
								m.check(t, decision, asks, outcome, reply.by, reply.approves)
							}
						}
					}
				})
			}
		}
	}
}

// requestTable checks the table in one world.
type requestTable struct {
	w       *world
	p       *peer
	kind    string
	answers string // of the client
	n       int
	known   map[string]bool // requests of earlier calls
}

// check makes a call and checks its effects. by answers in the inbox; nil: nobody.
func (m *requestTable) check(t *testing.T, decision, asks, outcome string, by *approval.Person, approves bool) {
	t.Helper()
	m.n++
	action, args := "create_contact", fmt.Sprintf(`{"input":{"fullName":"%s %d"},"reason":"as asked"}`, decision, m.n)
	if decision == "allow" {
		action, args = "list_operator_statuses", `{}` // its rows have no erased persons
	}
	body := m.w.canonical(t, action, args)
	m.w.up.Forget()
	m.w.runner.Inbox.Wait = 20 * time.Second
	if outcome == "approval_pending" {
		m.w.runner.Inbox.Wait = 20 * time.Millisecond
	}
	before := len(m.p.elicitations())
	m.p.answer = func(string) string {
		m.checkClientOnly(t)
		return m.answers
	}
	done, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answered)
		if by != nil {
			m.answer(t, *by, approves, outcome != "approval_pending", done)
		}
	}()
	r := m.p.call(action, args)
	close(done)
	<-answered

	validate, run := "validate "+body, "run "+body
	want := map[string][]string{"allow": {run}, "validate": {validate, run}, "deny": {}}[decision]
	switch {
	case asks == asksNobody:
	case outcome == "done":
		want = []string{validate, validate, run} // for the request, and again after the wait
	default:
		want = []string{validate}
	}
	if diff := cmp.Diff(want, lifecycle(m.w.up.Requests())); diff != "" {
		t.Errorf("%s: what reached upstream (-want +got):\n%s", m.kind, diff)
	}
	got := r.Result.ResultType
	if got != "input_required" {
		got = r.outcome(t)
		checkShape(t, r)
	}
	if got != outcome {
		t.Errorf("%s: the outcome is %s, want %s: %s", m.kind, got, outcome, r.Frame)
	}
	if n := len(m.p.elicitations()) - before; n != map[string]int{asksClient: 1}[asks] {
		t.Errorf("%s: the client was asked %d times", m.kind, n)
	}
	since := newRequests(t, m.w, m.known)
	if len(since) != map[string]int{asksInbox: 1}[asks] {
		t.Errorf("%s: %d new requests in the inbox", m.kind, len(since))
	}
	for _, q := range since {
		m.known[q.ID] = true
	}
	if asks == asksInbox && len(since) == 1 {
		m.checkRequest(t, r, &since[0], decision, outcome, by)
	}
}

// checkRequest checks the request in the inbox and the answers about it.
func (m *requestTable) checkRequest(t *testing.T, r *reply, q *ledger.ApprovalRequest, decision, outcome string, by *approval.Person) {
	t.Helper()
	state := map[string]ledger.ApprovalState{"done": ledger.Used, "declined": ledger.Declined, "approval_pending": ledger.Pending}[outcome]
	if q.Needs != decision || q.Person != "ada" || q.State != state || q.Reported != (outcome != "approval_pending") {
		t.Errorf("%s: the request %+v", m.kind, q)
	}
	status := m.p.callOnce("approval_status", `{"id":"`+q.ID+`"}`, "")
	checkShape(t, status)
	if status.outcome(t) != outcome {
		t.Errorf("%s: the status is %s", m.kind, status.Frame)
	}
	for _, a := range []*reply{r, status} {
		switch outcome {
		case "approval_pending":
			approval, _ := a.field(t, "approval").(map[string]any)
			if approval["id"] != q.ID || approval["needs"] != decision || approval["link"] != "http://127.0.0.1/inbox/approvals/"+q.ID || a.field(t, "ran") != false {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		case "done":
			if a.text(t, "approvedBy") != by.Name || a.field(t, "result") == nil {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		case "declined":
			if !strings.Contains(a.text(t, "message"), by.Name+" declined") {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		}
	}
}

// newRequests returns the requests in the inbox that are not among the known ones.
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

// answer waits for a new request in the inbox and answers it. counts says whether the answer must
// count.
func (m *requestTable) answer(t *testing.T, by approval.Person, approves, counts bool, done <-chan struct{}) {
	for last := false; ; {
		if all := newRequests(t, m.w, m.known); len(all) > 0 {
			q := all[0]
			err := m.w.approvals.Answer(t.Context(), []string{q.ID}, by, approval.Reply{Approve: approves})[0].Err
			if (err == nil) != counts || err != nil && err.Outcome != schemas.Denied {
				t.Errorf("%s: the answer in the inbox: %v", m.kind, err)
			}
			return
		}
		if last {
			t.Errorf("%s: no request in the inbox", m.kind)
			return
		}
		select {
		case <-done:
			last = true
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// checkClientOnly checks that a request to the client cannot be answered in the inbox.
func (m *requestTable) checkClientOnly(t *testing.T) {
	open, err := m.w.gate.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
	if err != nil {
		t.Error(err)
	}
	for _, q := range open {
		if q.Inbox {
			continue
		}
		for _, person := range []approval.Person{requester, approver} {
			if got := m.w.approvals.Answer(t.Context(), []string{q.ID}, person, approval.Reply{Approve: true}); got[0].Err == nil || !strings.Contains(got[0].Err.Message, "answered in the client, not here") {
				t.Errorf("%s: a request to the client was answered in the inbox: %v", m.kind, got[0].Err)
			}
		}
	}
}
