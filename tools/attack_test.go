package tools_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

const (
	forms   = `{"elicitation":{}}`
	noForms = `{}`
	erase   = "delete_contact" // approve
	ring    = "start_outbound_call"
)

var ringing = samples[ring] // confirm

// siege is a server with an inbox and a clock, and several callers of it over HTTP.
type siege struct {
	*world
	clock *ledgertest.Clock
	peers map[string]*peer
}

func besiege(t *testing.T, modern, idle bool) *siege {
	t.Helper()
	s := &siege{clock: ledgertest.NewClock(noon), peers: map[string]*peer{}}
	s.world = newWorld(t, setup{policy: byName, inbox: 20 * time.Millisecond, idle: idle, now: s.clock.Now})
	for name, c := range map[string]policy.Caller{
		"ada":             {Actor: ledger.Actor{Name: "ada", Via: "1"}, ID: "1", Person: "ada", Credential: "aaaaaaaaaaaa"},
		"ada's other":     {Actor: ledger.Actor{Name: "ada", Via: "1"}, ID: "2", Person: "ada", Credential: "bbbbbbbbbbbb"},
		"ada's principal": {Actor: ledger.Actor{Name: "ada", Via: "2"}, ID: "1", Person: "ada", Credential: "aaaaaaaaaaaa"},
		"eve":             {Actor: ledger.Actor{Name: "eve", Via: "3"}, ID: "3", Person: "eve", Credential: "cccccccccccc"},
	} {
		s.peers[name] = overHTTP(t, s.listen(t, tools.Caller{Caller: c, Interactive: true}), modern)
	}
	return s
}

// by is a peer that declares what it is told to from now on.
func (s *siege) by(name, capabilities string) *peer {
	p := s.peers[name]
	if p.capabilities != capabilities {
		p.capabilities = capabilities
		p.anew()
	}
	return p
}

// waits makes a call that must wait in the inbox, and gives the question's id.
func (s *siege) waits(t *testing.T, name, tool, args string) string {
	t.Helper()
	r := s.by(name, noForms).once(tool, args, "")
	approval, _ := r.field(t, "approval").(map[string]any)
	id, _ := approval["id"].(string)
	if r.outcome(t) != "approval_pending" || id == "" {
		t.Fatalf("%s %s does not wait: %s", tool, args, r.Frame)
	}
	return id
}

func (s *siege) state(t *testing.T, id string) ledger.ApprovalState {
	t.Helper()
	q, err := s.gate.Ledger.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return q.State
}

// TestNobodyElseAnswersTheInbox: whatever a client brings for a question that waits in the inbox, nothing runs, and the question is as it was.
func TestNobodyElseAnswersTheInbox(t *testing.T) {
	for name, c := range map[string]struct {
		tool, args, caller, capabilities string // "": those of the question
		state                            func(id string) string
		outcome, says                    string
	}{
		"a yes":                          {"", "", "", forms, nil, "denied", "in the inbox only"},
		"a yes without forms":            {"", "", "", noForms, nil, "approval_pending", ""},
		"a yes by URL only":              {"", "", "", `{"elicitation":{"url":{}}}`, nil, "approval_pending", ""},
		"with other arguments":           {"", `{"input":{"contactId":"` + anotherID + `"}}`, "", forms, nil, "denied", "in the inbox only"},
		"with another action":            {"archive_contact", `{"identity":"` + anID + `"}`, "", forms, nil, "denied", "in the inbox only"},
		"by another caller":              {"", "", "eve", forms, nil, "denied", "in the inbox only"},
		"with another credential":        {"", "", "ada's other", forms, nil, "denied", "in the inbox only"},
		"of another principal":           {"", "", "ada's principal", forms, nil, "denied", "in the inbox only"},
		"by another caller, no forms":    {"", "", "eve", noForms, nil, "approval_pending", ""},
		"with a longer id":               {"", "", "", forms, func(id string) string { return id + "0" }, "denied", "no such approval request"},
		"with the id in capitals":        {"", "", "", forms, func(id string) string { return "F" + strings.ToUpper(id[1:]) }, "denied", "no such approval request"},
		"with a made-up id":              {"", "", "", forms, func(string) string { return strings.Repeat("0", 32) }, "denied", "no such approval request"},
		"with SQL":                       {"", "", "", forms, func(id string) string { return id + "' OR '1'='1" }, "denied", "no such approval request"},
		"with arguments that do not fit": {"", `{}`, "", forms, nil, "invalid_arguments", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := besiege(t, true, false)
			for n, tool := range []string{erase, ring} {
				args, caller, call, callArgs := deleting, "ada", c.tool, c.args
				if tool == ring {
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
				id := s.waits(t, "ada", tool, args)
				state := id
				if c.state != nil {
					state = c.state(id)
				}
				for _, reply := range []string{accepts, accepts, refuses, cancels} {
					r := s.by(caller, c.capabilities).retry(call, callArgs, state, reply)
					if r.Result.ResultType == "input_required" {
						t.Fatalf("asked instead: %s", r.Frame)
					}
					checkShape(t, r)
					if r.outcome(t) != c.outcome || !strings.Contains(r.text(t, "message"), c.says) {
						t.Errorf("%s, %s: %s", tool, reply, r.Frame)
					}
					if got := s.state(t, id); got != ledger.Pending || runs(s.up.Requests()) != n {
						t.Fatalf("%s: after %s the question is %s, %d runs", tool, reply, got, runs(s.up.Requests()))
					}
				}
				// It is still there for whoever may answer it, once.
				if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
					t.Fatal(got[0].Err)
				}
				s.settled(t, id)
				r := s.by("ada", forms).retry(tool, args, id, accepts)
				if r.Result.ResultType == "input_required" || r.outcome(t) != "denied" || runs(s.up.Requests()) != n+1 {
					t.Errorf("%s replayed afterwards: %s, %d runs", tool, r.Frame, runs(s.up.Requests()))
				}
			}
		})
	}
}

// settled waits until what was agreed to has come to its end.
func (s *siege) settled(t *testing.T, id string) *reply {
	t.Helper()
	for range 2000 {
		if r := s.by("ada", noForms).once("approval_status", `{"id":"`+id+`"}`, ""); r.outcome(t) != "approval_pending" {
			return r
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("it does not end")
	return nil
}

// TestLegacyClientBringsAState: the older protocol knows none, and it does nothing there either.
func TestLegacyClientBringsAState(t *testing.T) {
	s := besiege(t, false, false)
	for _, capabilities := range []string{forms, noForms} {
		id := s.waits(t, "ada", erase, deleting)
		if r := s.by("ada", capabilities).retry(erase, deleting, id, accepts); r.outcome(t) == "done" || s.state(t, id) != ledger.Pending {
			t.Errorf("%s", r.Frame)
		}
	}
	noRun(t, s.world)
}

// TestAgreedButNotYetRun: the id of a yes in the inbox is nobody's to use: not the caller's, and nobody else's.
func TestAgreedButNotYetRun(t *testing.T) {
	s := besiege(t, true, true)
	for _, tool := range []string{erase, ring} {
		args := map[string]string{erase: deleting, ring: ringing}[tool]
		id := s.waits(t, "ada", tool, args)
		if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
			t.Fatal(got[0].Err)
		}
		for _, name := range []string{"ada", "eve", "ada's other"} {
			for _, capabilities := range []string{forms, noForms} {
				p := s.by(name, capabilities)
				if r := p.retry(tool, args, id, accepts); r.Result.ResultType == "input_required" || r.outcome(t) == "done" {
					t.Errorf("%s by %s %s: %s", tool, name, capabilities, r.Frame)
				}
			}
		}
		noRun(t, s.world)
		if got := s.state(t, id); got != ledger.Approved {
			t.Errorf("the yes to %s is %s", tool, got)
		}
		s.clock.Add(approval.ValidFor)
		if r := s.by("ada", forms).retry(tool, args, id, accepts); r.outcome(t) != "denied" {
			t.Errorf("%s, when it is void: %s", tool, r.Frame)
		}
		noRun(t, s.world)
	}
}

// TestRefusedAndOver: a no, and a question whose time is over, stay so whatever is brought.
func TestRefusedAndOver(t *testing.T) {
	s := besiege(t, true, false)
	refused := s.waits(t, "ada", erase, deleting)
	if got := s.approvals.Answer(t.Context(), []string{refused}, approver, approval.Reply{Note: "she is a customer"}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	over := s.waits(t, "ada", ring, ringing)
	s.clock.Add(15 * time.Minute)
	for id, args := range map[string][2]string{refused: {erase, deleting}, over: {ring, ringing}} {
		if r := s.by("ada", forms).retry(args[0], args[1], id, accepts); r.outcome(t) != "denied" {
			t.Errorf("%s", r.Frame)
		}
		if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err == nil {
			t.Errorf("a late yes to %s was taken", args[0])
		}
	}
	noRun(t, s.world)
	if r := s.by("ada", noForms).once("approval_status", `{"id":"`+refused+`"}`, ""); r.outcome(t) != "declined" || !strings.Contains(r.text(t, "message"), "she is a customer") {
		t.Errorf("%s", r.Frame)
	}
	if r := s.by("ada", noForms).once("approval_status", `{"id":"`+over+`"}`, ""); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "nobody answered the approval request in time") {
		t.Errorf("%s", r.Frame)
	}
}

// TestStatusIsTheCallersOwn: of a question of somebody else's, of one that was put to the client, and of none, the status
// says the same, so that nobody learns which there are.
func TestStatusIsTheCallersOwn(t *testing.T) {
	s := besiege(t, true, false)
	id := s.waits(t, "ada", erase, deleting)
	elicited := s.by("eve", forms).once(ring, ringing, "").Result.RequestState
	if elicited == "" {
		t.Fatal("eve's client was not asked")
	}
	status := func(name, args string) *reply {
		t.Helper()
		r := s.by(name, noForms).once("approval_status", args, "")
		checkShape(t, r)
		return r
	}
	mine := status("ada", `{"id":"`+id+`"}`)
	if mine.outcome(t) != "approval_pending" || mine.text(t, "action") != erase {
		t.Errorf("%s", mine.Frame)
	}
	none := object(t, status("ada", `{"id":"`+strings.Repeat("0", 32)+`"}`).Result.Structured)
	if none["outcome"] != "invalid_arguments" || none["ran"] != false {
		t.Errorf("%v", none)
	}
	for name, c := range map[string][2]string{
		"another's":                   {"eve", id},
		"of another credential":       {"ada's other", id},
		"of another principal":        {"ada's principal", id},
		"put to the client":           {"eve", elicited},
		"another's, put to theirs":    {"ada", elicited},
		"in capitals":                 {"ada", strings.ToUpper(id) + "A"},
		"the beginning of an id":      {"ada", id[:31]},
		"with a space":                {"ada", id + " "},
		"a pattern":                   {"ada", "%"},
		"SQL":                         {"ada", "' OR '1'='1"},
		"very long":                   {"ada", strings.Repeat("0", 900)},
		"of an intent":                {"ada", "00000000000100000000000000000000"},
		"invisible, and out of order": {"ada", "\u202e\u200b" + id},
	} {
		r := s.by(c[0], noForms).once("approval_status", string(mustJSON(map[string]string{"id": c[1]})), "")
		if diff := cmp.Diff(none, object(t, r.Result.Structured)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, args := range []string{``, `{}`, `null`, `[]`, `7`, `"` + id + `"`, `{"id":null}`, `{"id":7}`, `{"id":["` + id + `"]}`, `{"id":""}`, `{"ID":"` + id + `"}`,
		`{"id":"` + id + `","yes":true}`, `{"id":"` + strings.Repeat("0", 2000) + `"}`} {
		r := status("ada", args)
		if r.outcome(t) != "invalid_arguments" || strings.Contains(string(r.Frame), erase) || len(r.Frame) > 2000 {
			t.Errorf("%.200s: %.600s", args, r.Frame)
		}
	}
	if got := s.state(t, id); got != ledger.Pending {
		t.Errorf("looking made the question %s", got)
	}
	noRun(t, s.world)
}

// TestCredentialOverMCP: who asked is told that it was issued and to whom it goes, on every way, and never what it is.
func TestCredentialOverMCP(t *testing.T) {
	s := besiege(t, true, false)
	s.up.On("run", "issue_operator_access_token", rpctest.OK(`{"token":"op_0123456789"}`))
	const tool = "issue_operator_access_token"
	id := s.waits(t, "ada", tool, samples[tool])
	if got := s.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	for _, r := range []*reply{s.settled(t, id), s.by("ada", noForms).once("approval_status", `{"id":"`+id+`"}`, "")} {
		notes, _ := json.Marshal(r.field(t, "notes"))
		if r.outcome(t) != "done" || r.field(t, "result") != nil || !strings.Contains(string(notes), "issued, handed over: the approver can take it in the inbox once") || strings.Contains(string(r.Frame), "op_0123456789") {
			t.Errorf("%s", r.Frame)
		}
	}
	if raw, err := s.approvals.TakeHandover(t.Context(), id, approver); err != nil || string(raw) != `{"token":"op_0123456789"}` {
		t.Errorf("%s, %v", raw, err)
	}
	if r := s.by("ada", noForms).once("approval_status", `{"id":"`+id+`"}`, ""); !strings.Contains(string(r.Frame), "the approver has taken it") {
		t.Errorf("%s", r.Frame)
	}
	if strings.Contains(s.log.String(), "op_0123456789") {
		t.Error("it is in the log")
	}
}

// TestReadThatWaits: the calls that wait for a read share its question. One takes it, and no other is told that nothing was found.
func TestReadThatWaits(t *testing.T) {
	s := besiege(t, true, false)
	s.runner.Inbox.Wait = 5 * time.Second
	const args = `{"fields":["id"],"filter":{"callUuid":{"eq":"c-1"}}}`
	const n = 4
	frames := make(chan *reply, n)
	url := s.listen(t, adaAsks(false))
	for i := range n {
		p := overHTTP(t, url, true)
		p.capabilities = noForms
		go func() { frames <- p.once("list_calls", args, "") }()
		s.up.Await(t, i+1) // each validates it, and then waits
		for len(newIn(t, s.world, nil)) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	time.Sleep(30 * time.Millisecond)
	all := newIn(t, s.world, nil)
	if len(all) != 1 {
		t.Errorf("%d questions", len(all))
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
		case string(schemas.Denied), string(schemas.ApprovalPending): // the latter where it came too late to be one of them
		default:
			t.Errorf("%s", r.Frame)
		}
	}
	if done != 1 {
		t.Errorf("%d of %d calls got it with one yes", done, n)
	}
}
