package tools_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// byName demands of a new contact what its name begins with.
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
	owner    = approval.Person{Name: "ada", Via: "inbox", Fresh: true}
	approver = approval.Person{Name: "bob", Roles: []string{approval.RoleApprover}, Via: "inbox", Fresh: true}
)

// adaAsks is a caller with a person's name, who sits behind it or does not.
func adaAsks(interactive bool) tools.Caller {
	return tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada", Via: "test"}, ID: "ada", Person: "ada"}, Interactive: interactive}
}

// Where a question is put.
const (
	nowhere = ""
	client  = "client"
	inInbox = "inbox"
)

// askings are the kinds of clients: where a confirmation is put where somebody sits behind the caller (else it is the
// inbox), and what the model gets of one that is put to the client, in both eras.
var askings = []struct{ name, declares, answers, put, legacy, modern string }{
	{"forms, as before there were others", `{"elicitation":{}}`, accepts, client, "done", "done"},
	{"forms and URLs", `{"elicitation":{"form":{},"url":{}}}`, accepts, client, "done", "done"},
	{"URLs only", `{"elicitation":{"url":{}}}`, accepts, inInbox, "", ""},
	{"none", `{}`, accepts, inInbox, "", ""},
	{"forms, declined by itself", `{"elicitation":{"form":{}}}`, refuses, client, "declined", "declined"},
	{"forms, never answered", `{"elicitation":{"form":{}}}`, "", client, "denied", "input_required"},
	{"forms, cancelled", `{"elicitation":{"form":{}}}`, cancels, client, "declined", "declined"},
}

// inboxAnswers is what the model gets of a question in the inbox, by what it needs and who answers.
var inboxAnswers = []struct {
	name                 string
	who                  *approval.Person
	approves             bool
	onConfirm, onApprove string
}{
	{"nobody", nil, false, "approval_pending", "approval_pending"},
	{"the owner says yes", &owner, true, "done", "approval_pending"},
	{"the owner says no", &owner, false, "declined", "approval_pending"},
	{"another person says yes", &approver, true, "done", "done"},
}

// TestWhereRequestsGo is the whole table, over both transports and eras.
func TestWhereRequestsGo(t *testing.T) {
	for _, interactive := range []bool{true, false} {
		for _, modern := range []bool{false, true} {
			for _, transport := range []string{"stdio", "http"} {
				t.Run(fmt.Sprintf("%s modern=%t interactive=%t", transport, modern, interactive), func(t *testing.T) {
					if transport == "http" {
						t.Parallel() // of the other there can be one at a time
					}
					w := newWorld(t, setup{policy: byName, inbox: time.Minute})
					var p *peer
					if who := adaAsks(interactive); transport == "http" {
						p = overHTTP(t, w.listen(t, who), modern)
					} else {
						p = w.overStdio(t, who, modern)
					}
					m := &matrix{w: w, p: p, known: map[string]bool{}}
					for _, a := range askings {
						p.capabilities, w.gate.Wait = a.declares, time.Minute
						if a.answers == "" {
							w.gate.Wait = 400 * time.Millisecond
						}
						p.anew()
						for _, decision := range []string{"allow", "validate", "confirm", "approve", "deny"} {
							m.kind, m.answers = a.name+", "+decision, a.answers
							put, outcome := nowhere, map[string]string{"allow": "done", "validate": "done", "deny": "denied"}[decision]
							switch {
							case decision == "confirm" && interactive && a.put == client:
								put, outcome = client, a.legacy
								if modern {
									outcome = a.modern
								}
							case decision == "confirm", decision == "approve":
								put = inInbox
							}
							if put != inInbox {
								m.one(t, decision, put, outcome, nil, false)
								continue
							}
							for _, by := range inboxAnswers {
								m.kind = a.name + ", " + decision + ", " + by.name
								outcome := by.onConfirm
								if decision == "approve" {
									outcome = by.onApprove
								}
								m.one(t, decision, put, outcome, by.who, by.approves)
							}
						}
					}
				})
			}
		}
	}
}

// matrix is one world of the table.
type matrix struct {
	w       *world
	p       *peer
	kind    string
	answers string // of the client
	n       int
	known   map[string]bool // questions of earlier calls
}

// one makes a call and looks at all that came of it. who answers in the inbox; nil: nobody.
func (m *matrix) one(t *testing.T, decision, put, outcome string, who *approval.Person, yes bool) {
	t.Helper()
	m.n++
	action, args := "create_contact", fmt.Sprintf(`{"input":{"fullName":"%s %d"},"reason":"as asked"}`, decision, m.n)
	if decision == "allow" {
		action, args = "list_operator_statuses", `{}` // of whose answer nobody is known to be erased
	}
	body := m.w.canonical(t, action, args)
	m.w.up.Forget()
	m.w.runner.Inbox.Wait = 20 * time.Second
	if outcome == "approval_pending" {
		m.w.runner.Inbox.Wait = 20 * time.Millisecond
	}
	asked := len(m.p.questions())
	m.p.answer = func(string) string {
		m.notThere(t) // what is put to the client is answered nowhere else
		return m.answers
	}
	over, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answered)
		if who != nil {
			m.answer(t, *who, yes, outcome != "approval_pending", over)
		}
	}()
	r := m.p.call(action, args)
	close(over)
	<-answered

	validate, run := "validate "+body, "run "+body
	lifecycle1 := map[string][]string{"allow": {run}, "validate": {validate, run}, "deny": {}}[decision]
	switch {
	case put == nowhere:
	case outcome == "done":
		lifecycle1 = []string{validate, validate, run} // for the question, and again after the wait
	default:
		lifecycle1 = []string{validate}
	}
	if diff := cmp.Diff(lifecycle1, lifecycle(m.w.up.Requests())); diff != "" {
		t.Errorf("%s: what reached upstream (-want +got):\n%s", m.kind, diff)
	}
	got := r.Result.ResultType
	if got != "input_required" {
		got = r.outcome(t)
		checkShape(t, r)
	}
	if got != outcome {
		t.Errorf("%s: the model gets %s, want %s: %s", m.kind, got, outcome, r.Frame)
	}
	if n := len(m.p.questions()) - asked; n != map[string]int{client: 1}[put] {
		t.Errorf("%s: the client was asked %d times", m.kind, n)
	}
	since := newIn(t, m.w, m.known)
	if len(since) != map[string]int{inInbox: 1}[put] {
		t.Errorf("%s: %d questions came to the inbox", m.kind, len(since))
	}
	for _, q := range since {
		m.known[q.ID] = true
	}
	if put == inInbox && len(since) == 1 {
		m.inTheInbox(t, r, &since[0], decision, outcome, who)
	}
}

// inTheInbox looks at the question, and at what the model is told of it.
func (m *matrix) inTheInbox(t *testing.T, r *reply, q *ledger.ApprovalRequest, decision, outcome string, who *approval.Person) {
	t.Helper()
	state := map[string]ledger.ApprovalState{"done": ledger.Used, "declined": ledger.Declined, "approval_pending": ledger.Pending}[outcome]
	if q.Needs != decision || q.Person != "ada" || q.State != state || q.Reported != (outcome != "approval_pending") {
		t.Errorf("%s: the question %+v", m.kind, q)
	}
	status := m.p.once("approval_status", `{"id":"`+q.ID+`"}`, "")
	checkShape(t, status)
	if status.outcome(t) != outcome {
		t.Errorf("%s: the status is %s", m.kind, status.Frame)
	}
	for _, a := range []*reply{r, status} {
		switch outcome {
		case "approval_pending":
			approval, _ := a.field(t, "approval").(map[string]any)
			if approval["id"] != q.ID || approval["needs"] != decision || approval["link"] != "http://127.0.0.1/inbox/q/"+q.ID || a.field(t, "ran") != false {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		case "done":
			if a.text(t, "approvedBy") != who.Name || a.field(t, "result") == nil {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		case "declined":
			if !strings.Contains(a.text(t, "message"), who.Name+" declined") {
				t.Errorf("%s: %s", m.kind, a.Frame)
			}
		}
	}
}

// newIn gives the questions that came to the inbox and are not among the known ones.
func newIn(t testing.TB, w *world, known map[string]bool) (all []ledger.ApprovalRequest) {
	t.Helper()
	every, err := w.gate.Ledger.Approvals(context.Background(), ledger.ApprovalFilter{Inbox: true})
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

// answer waits for a new question in the inbox and answers it; counts says whether that answer must be taken.
func (m *matrix) answer(t *testing.T, who approval.Person, yes, counts bool, over <-chan struct{}) {
	for last := false; ; {
		if all := newIn(t, m.w, m.known); len(all) > 0 {
			q := all[0]
			err := m.w.approvals.Answer(t.Context(), []string{q.ID}, who, approval.Reply{Approve: yes})[0].Err
			if (err == nil) != counts || err != nil && err.Outcome != schemas.Denied {
				t.Errorf("%s: the answer in the inbox: %v", m.kind, err)
			}
			return
		}
		if last {
			t.Errorf("%s: nothing waits in the inbox", m.kind)
			return
		}
		select {
		case <-over:
			last = true
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// notThere tries to answer in the inbox what is put to the client.
func (m *matrix) notThere(t *testing.T) {
	open, err := m.w.gate.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
	if err != nil {
		t.Error(err)
	}
	for _, q := range open {
		if q.Inbox {
			continue
		}
		for _, who := range []approval.Person{owner, approver} {
			if got := m.w.approvals.Answer(t.Context(), []string{q.ID}, who, approval.Reply{Approve: true}); got[0].Err == nil || !strings.Contains(got[0].Err.Message, "answered in the client, not here") {
				t.Errorf("%s: a question to the client was answered in the inbox: %v", m.kind, got[0].Err)
			}
		}
	}
}
