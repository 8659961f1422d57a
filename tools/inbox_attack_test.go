package tools_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

const (
	withForms    = `{"elicitation":{}}`
	withoutForms = `{}`
	eraseTool    = "delete_contact" // approve
	ringTool     = "start_outbound_call"
)

var ringArgs = samples[ringTool]

// inboxWorld is a server with an inbox and a clock, and clients of several callers over HTTP.
type inboxWorld struct {
	*world
	clock *ledgertest.Clock
	peers map[string]*peer
}

func newInboxWorld(t *testing.T, modern, idle bool) *inboxWorld {
	t.Helper()
	s := &inboxWorld{clock: ledgertest.NewClock(noon), peers: map[string]*peer{}}
	s.world = newWorld(t, setup{policy: byName, inbox: 20 * time.Millisecond, idle: idle, now: s.clock.Now})
	for name, c := range map[string]policy.Caller{
		"ada":            {Actor: ledger.Actor{Name: "ada", Via: "1"}, ID: "1", Person: "ada", Credential: "aaaaaaaaaaaa"},
		"ada's other":    {Actor: ledger.Actor{Name: "ada", Via: "1"}, ID: "2", Person: "ada", Credential: "bbbbbbbbbbbb"},
		"ada as another": {Actor: ledger.Actor{Name: "ada", Via: "2"}, ID: "1", Person: "ada", Credential: "aaaaaaaaaaaa"},
		"eve":            {Actor: ledger.Actor{Name: "eve", Via: "3"}, ID: "3", Person: "eve", Credential: "cccccccccccc"},
	} {
		s.peers[name] = overHTTP(t, s.listen(t, tools.Caller{Caller: c, Interactive: true}), modern)
	}
	return s
}

// as returns the caller's client, with new capabilities.
func (s *inboxWorld) as(name, capabilities string) *peer {
	p := s.peers[name]
	if p.capabilities != capabilities {
		p.capabilities = capabilities
		p.newSession()
	}
	return p
}

// request makes a call that must become pending in the inbox, and returns the request's id.
func (s *inboxWorld) request(t *testing.T, name, tool, args string) string {
	t.Helper()
	r := s.as(name, withoutForms).callOnce(tool, args, "")
	approval, _ := r.field(t, "approval").(map[string]any)
	id, _ := approval["id"].(string)
	if r.outcome(t) != "approval_pending" || id == "" {
		t.Fatalf("%s %s is not pending: %s", tool, args, r.Frame)
	}
	return id
}

func (s *inboxWorld) state(t *testing.T, id string) ledger.ApprovalState {
	t.Helper()
	q, err := s.gate.Ledger.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return q.State
}

// TestClientCannotAnswerInbox checks that no response of a client to a request in the inbox runs
// anything or changes the request.
func TestClientCannotAnswerInbox(t *testing.T) {
	for name, c := range map[string]struct {
		tool, args, caller, capabilities string // empty: those of the request
		state                            func(id string) string
		outcome, says                    string
	}{
		"an approval":                    {"", "", "", withForms, nil, "denied", "not one of this caller's"},
		"without forms":                  {"", "", "", withoutForms, nil, "approval_pending", ""},
		"with URLs only":                 {"", "", "", `{"elicitation":{"url":{}}}`, nil, "denied", "not one of this caller's"},
		"with other arguments":           {"", `{"input":{"contactId":"` + anotherID + `"}}`, "", withForms, nil, "denied", "not one of this caller's"},
		"with another action":            {"archive_contact", `{"identity":"` + anID + `"}`, "", withForms, nil, "denied", "not one of this caller's"},
		"by another caller":              {"", "", "eve", withForms, nil, "denied", "not one of this caller's"},
		"with another credential":        {"", "", "ada's other", withForms, nil, "denied", "not one of this caller's"},
		"as another":                     {"", "", "ada as another", withForms, nil, "denied", "not one of this caller's"},
		"by another caller, no forms":    {"", "", "eve", withoutForms, nil, "approval_pending", ""},
		"with a longer id":               {"", "", "", withForms, func(id string) string { return id + "0" }, "denied", "not one of this caller's"},
		"with the id in capitals":        {"", "", "", withForms, func(id string) string { return "F" + strings.ToUpper(id[1:]) }, "denied", "not one of this caller's"},
		"with a made-up id":              {"", "", "", withForms, func(string) string { return strings.Repeat("0", 32) }, "denied", "not one of this caller's"},
		"with SQL":                       {"", "", "", withForms, func(id string) string { return id + "' OR '1'='1" }, "denied", "not one of this caller's"},
		"with arguments that do not fit": {"", `{}`, "", withForms, nil, "denied", "not one of this caller's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newInboxWorld(t, true, false)
			for n, tool := range []string{eraseTool, ringTool} {
				args, caller, call, callArgs := deleteArgs, "ada", c.tool, c.args
				if tool == ringTool {
					args = `{"input":{"contactId":"` + anID + `"}}`
				}
				if callArgs == "" {
					callArgs = args
				}
				if call == "" {
					call = tool
				}
				if c.caller != "" {
					caller = c.caller
				}
				id := s.request(t, "ada", tool, args)
				state := id
				if c.state != nil {
					state = c.state(id)
				}
				for _, reply := range []string{accepts, accepts, declines, cancels} {
					r := s.as(caller, c.capabilities).retry(call, callArgs, state, reply)
					if r.Result.ResultType == "input_required" {
						t.Fatalf("the client was asked: %s", r.Frame)
					}
					checkShape(t, r)
					if r.outcome(t) != c.outcome || !strings.Contains(r.text(t, "message"), c.says) {
						t.Errorf("%s, %s: %s", tool, reply, r.Frame)
					}
					if got := s.state(t, id); got != ledger.Pending || runs(s.up.Requests()) != n {
						t.Fatalf("%s: after %s the request is %s, %d runs", tool, reply, got, runs(s.up.Requests()))
					}
				}
				// An approver can still answer it, once.
				if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
					t.Fatal(got[0].Err)
				}
				s.await(t, id)
				r := s.as("ada", withForms).retry(tool, args, id, accepts)
				if r.Result.ResultType == "input_required" || r.outcome(t) != "denied" || runs(s.up.Requests()) != n+1 {
					t.Errorf("%s replayed: %s, %d runs", tool, r.Frame, runs(s.up.Requests()))
				}
			}
		})
	}
}

// await waits for the outcome of a request of ada's.
func (s *inboxWorld) await(t *testing.T, id string) (r *reply) {
	t.Helper()
	waitFor(t, func() bool {
		r = s.as("ada", withoutForms).callOnce("approval_status", `{"id":"`+id+`"}`, "")
		return r.outcome(t) != "approval_pending"
	})
	return r
}

// TestLegacyRequestState checks that requestState has no effect in the legacy protocol, which has
// none.
func TestLegacyRequestState(t *testing.T) {
	s := newInboxWorld(t, false, false)
	for _, capabilities := range []string{withForms, withoutForms} {
		id := s.request(t, "ada", eraseTool, deleteArgs)
		if r := s.as("ada", capabilities).retry(eraseTool, deleteArgs, id, accepts); r.outcome(t) == "done" || s.state(t, id) != ledger.Pending {
			t.Errorf("%s", r.Frame)
		}
	}
	checkNothingRan(t, s.world)
}

// TestApprovedNotYetRun checks that no client can use the id of an approval from the inbox.
func TestApprovedNotYetRun(t *testing.T) {
	s := newInboxWorld(t, true, true)
	for _, tool := range []string{eraseTool, ringTool} {
		args := map[string]string{eraseTool: deleteArgs, ringTool: ringArgs}[tool]
		id := s.request(t, "ada", tool, args)
		if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
			t.Fatal(got[0].Err)
		}
		for _, name := range []string{"ada", "eve", "ada's other"} {
			for _, capabilities := range []string{withForms, withoutForms} {
				p := s.as(name, capabilities)
				if r := p.retry(tool, args, id, accepts); r.Result.ResultType == "input_required" || r.outcome(t) == "done" {
					t.Errorf("%s by %s %s: %s", tool, name, capabilities, r.Frame)
				}
			}
		}
		checkNothingRan(t, s.world)
		if got := s.state(t, id); got != ledger.Approved {
			t.Errorf("the approval of %s is %s", tool, got)
		}
		s.clock.Add(approval.ValidFor)
		if r := s.as("ada", withForms).retry(tool, args, id, accepts); r.outcome(t) != "denied" {
			t.Errorf("%s, once the approval has expired: %s", tool, r.Frame)
		}
		checkNothingRan(t, s.world)
	}
}

// TestDeclinedAndExpired checks that no response changes a declined or an expired request.
func TestDeclinedAndExpired(t *testing.T) {
	s := newInboxWorld(t, true, false)
	declined := s.request(t, "ada", eraseTool, deleteArgs)
	if got := s.approvals.Answer(t.Context(), []string{declined}, approver, approval.Reply{Note: "she is a customer"}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	expired := s.request(t, "ada", ringTool, ringArgs)
	s.clock.Add(15 * time.Minute)
	for id, args := range map[string][2]string{declined: {eraseTool, deleteArgs}, expired: {ringTool, ringArgs}} {
		if r := s.as("ada", withForms).retry(args[0], args[1], id, accepts); r.outcome(t) != "denied" {
			t.Errorf("%s", r.Frame)
		}
		if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err == nil {
			t.Errorf("a late approval of %s counted", args[0])
		}
	}
	checkNothingRan(t, s.world)
	if r := s.as("ada", withoutForms).callOnce("approval_status", `{"id":"`+declined+`"}`, ""); r.outcome(t) != "declined" || !strings.Contains(r.text(t, "message"), "she is a customer") {
		t.Errorf("%s", r.Frame)
	}
	if r := s.as("ada", withoutForms).callOnce("approval_status", `{"id":"`+expired+`"}`, ""); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "nobody answered the approval request in time") {
		t.Errorf("%s", r.Frame)
	}
}

// TestStatusOfOwnRequests checks that approval_status answers the same for a request of another
// caller, for one to the client, and for none, so that nobody learns which requests exist.
func TestStatusOfOwnRequests(t *testing.T) {
	s := newInboxWorld(t, true, false)
	id := s.request(t, "ada", eraseTool, deleteArgs)
	elicited := idOfState(s.as("eve", withForms).callOnce(ringTool, ringArgs, "").Result.RequestState)
	if elicited == "" {
		t.Fatal("eve's client was not asked")
	}
	status := func(name, args string) *reply {
		t.Helper()
		r := s.as(name, withoutForms).callOnce("approval_status", args, "")
		checkShape(t, r)
		return r
	}
	mine := status("ada", `{"id":"`+id+`"}`)
	if mine.outcome(t) != "approval_pending" || mine.text(t, "action") != eraseTool {
		t.Errorf("%s", mine.Frame)
	}
	none := object(t, status("ada", `{"id":"`+strings.Repeat("0", 32)+`"}`).Result.Structured)
	if none["outcome"] != "invalid_arguments" || none["ran"] != false {
		t.Errorf("%v", none)
	}
	for name, c := range map[string][2]string{
		"another caller's":            {"eve", id},
		"of another credential":       {"ada's other", id},
		"as another":                  {"ada as another", id},
		"to another client":           {"ada", elicited},
		"in capitals":                 {"ada", strings.ToUpper(id) + "A"},
		"the beginning of an id":      {"ada", id[:31]},
		"with a space":                {"ada", id + " "},
		"a pattern":                   {"ada", "%"},
		"SQL":                         {"ada", "' OR '1'='1"},
		"very long":                   {"ada", strings.Repeat("0", 900)},
		"of an intent":                {"ada", "00000000000100000000000000000000"},
		"invisible, and out of order": {"ada", "\u202e\u200b" + id},
	} {
		r := s.as(c[0], withoutForms).callOnce("approval_status", string(mustJSON(map[string]string{"id": c[1]})), "")
		if diff := cmp.Diff(none, object(t, r.Result.Structured)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, args := range []string{``, `{}`, `null`} {
		r := status("ada", args)
		list, _ := r.field(t, "pending").([]any)
		if r.outcome(t) != "done" || len(list) != 1 || list[0].(map[string]any)["id"] != id || strings.Contains(string(r.Frame), elicited) {
			t.Errorf("the list for %q: %s", args, r.Frame)
		}
	}
	if r := status("ada's other", `{}`); len(r.field(t, "pending").([]any)) != 0 {
		t.Errorf("%s", r.Frame)
	}
	for _, args := range []string{`[]`, `7`, `"` + id + `"`, `{"id":7}`, `{"id":"` + id + `","waitSeconds":46}`, `{"waitSeconds":-1}`, `{"id":"` + id + `","waitSeconds":"1"}`, `{"id":["` + id + `"]}`, `{"id":""}`, `{"ID":"` + id + `"}`,
		`{"id":"` + id + `","approve":true}`, `{"id":"` + strings.Repeat("0", 2000) + `"}`} {
		r := status("ada", args)
		if r.outcome(t) != "invalid_arguments" || strings.Contains(string(r.Frame), eraseTool) || len(r.Frame) > 2000 {
			t.Errorf("%.200s: %.600s", args, r.Frame)
		}
	}
	if got := s.state(t, id); got != ledger.Pending {
		t.Errorf("approval_status made the request %s", got)
	}
	checkNothingRan(t, s.world)
}

// TestCredentialOverMCP checks that the requester learns that a credential was issued and who can
// take it, and never the credential.
func TestCredentialOverMCP(t *testing.T) {
	s := newInboxWorld(t, true, false)
	s.up.On("run", "issue_operator_access_token", rpctest.OK(`{"token":"op_0123456789"}`))
	const tool = "issue_operator_access_token"
	id := s.request(t, "ada", tool, samples[tool])
	if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	for _, r := range []*reply{s.await(t, id), s.as("ada", withoutForms).callOnce("approval_status", `{"id":"`+id+`"}`, "")} {
		notes, _ := json.Marshal(r.field(t, "notes"))
		if r.outcome(t) != "done" || r.field(t, "result") != nil || !strings.Contains(string(notes), "issued, handed over: the approver can take it in the inbox once") || strings.Contains(string(r.Frame), "op_0123456789") {
			t.Errorf("%s", r.Frame)
		}
	}
	if raw, err := s.approvals.TakeHandover(t.Context(), id, approver); err != nil || string(raw) != `{"token":"op_0123456789"}` {
		t.Errorf("%s, %v", raw, err)
	}
	if r := s.as("ada", withoutForms).callOnce("approval_status", `{"id":"`+id+`"}`, ""); !strings.Contains(string(r.Frame), "the approver has taken it") {
		t.Errorf("%s", r.Frame)
	}
	if strings.Contains(s.log.String(), "op_0123456789") {
		t.Error("the credential is in the log")
	}
}

// TestPendingRead checks that the calls that wait for one approved read share the request: one gets
// the result, and no other gets an empty list.
func TestPendingRead(t *testing.T) {
	s := newInboxWorld(t, true, false)
	s.runner.Inbox.Wait = 5 * time.Second
	const args = `{"fields":["id"],"filter":{"callUuid":{"eq":"c-1"}}}`
	const n = 4
	frames := make(chan *reply, n)
	url := s.listen(t, adaCaller(false))
	for i := range n {
		p := overHTTP(t, url, true)
		p.capabilities = withoutForms
		go func() { frames <- p.callOnce("list_calls", args, "") }()
		s.up.Await(t, i+1) // each validates, then waits
		waitFor(t, func() bool { return len(newRequests(t, s.world, nil)) > 0 })
	}
	time.Sleep(30 * time.Millisecond)
	all := newRequests(t, s.world, nil)
	if len(all) != 1 {
		t.Errorf("%d requests", len(all))
	}
	s.approvals.Answer(t.Context(), []string{all[0].ID}, approver, approval.Reply{Approve: true})
	done := 0
	for range n {
		switch r := <-frames; r.outcome(t) {
		case "done":
			done++
			if rows, _ := r.field(t, "results").([]any); len(rows) != 1 {
				t.Errorf("an empty list: %s", r.Frame)
			}
		case string(schemas.Denied), string(schemas.ApprovalPending): // the latter if it began too late
		default:
			t.Errorf("%s", r.Frame)
		}
	}
	if done != 1 {
		t.Errorf("%d of %d calls got the result with one approval", done, n)
	}
}
