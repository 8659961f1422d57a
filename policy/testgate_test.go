package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

const anID = "0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11"

const head = "apiVersion: sippet.policy/v1\n"

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// upstream passes everything and counts.
type upstream struct{ validates, runs int }

func (u *upstream) Validate(context.Context, rpc.Request) *schemas.Error { u.validates++; return nil }
func (u *upstream) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	if found := usualRead(r); found != nil {
		return rpc.Result{Data: found, Sent: true}, nil // a read of recipients or of a record
	}
	u.runs++
	return rpc.Result{Data: json.RawMessage(`{}`), Sent: true}, nil
}

// usualRead answers a read of contacts by their ids with contacts that can be rung, and a read of
// one record with Ada's. It returns nil for all else.
func usualRead(r rpc.Request) json.RawMessage {
	var one struct {
		Filter map[string]struct{ Eq string }
	}
	if strings.HasPrefix(r.Action, "list_") && json.Unmarshal(r.Body, &one) == nil && len(one.Filter) == 1 {
		for key, op := range one.Filter {
			if op.Eq != "" {
				raw, _ := json.Marshal([]map[string]any{{"id": op.Eq, key: op.Eq, "fullName": "Ada", "email": nil}})
				return raw
			}
		}
	}
	var body struct {
		Filter struct{ ID struct{ In []string } }
	}
	if strings.Contains(string(r.Body), `"filter":{"or":`) { // contacts that share something, and what an erasure leaves
		return json.RawMessage(`{"results":[],"hasMore":false}`)
	}
	if r.Action != "list_contacts" || json.Unmarshal(r.Body, &body) != nil {
		return nil
	}
	if body.Filter.ID.In == nil {
		return nil
	}
	rows := []map[string]any{}
	for i, id := range body.Filter.ID.In {
		rows = append(rows, map[string]any{"id": id, "fullName": "Ada", "phoneE164": fmt.Sprintf("+442079460%03d", i%1000), "erasedAt": nil, "deletedAt": nil, "metadata": nil})
	}
	raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": false, "limit": 250, "type": "keyset"})
	return raw
}

func gate(t *testing.T, name string) (*policy.Gate, *upstream) {
	t.Helper()
	p, err := rules.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{}
	now := func() time.Time { return noon }
	return &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: u, Ledger: ledgertest.Open(t, ledger.Options{Now: now}), Organisation: "here", Lifetime: 15 * time.Minute, Now: now, Log: slog.New(slog.DiscardHandler)}, u
}

func payload(t *testing.T, action, args string) *schemas.Payload {
	t.Helper()
	a, err := schemas.Find(action)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check([]byte(args), schemas.Limits{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// scripted is an upstream that answers as a test sets it, and keeps what it was sent.
type scripted struct {
	upstream
	fault *schemas.Error
	sent  bool
	hold  chan struct{} // Run waits until it is closed; nil: not

	mu   sync.Mutex
	seen []string
}

func (s *scripted) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Action)
	s.mu.Unlock()
	if s.hold != nil && !r.Read {
		<-s.hold
	}
	if found := usualRead(r); found != nil && !strings.Contains(string(r.Body), `"eq"`) {
		return rpc.Result{Sent: true, Status: 200, Data: found}, nil
	}
	if s.fault != nil {
		return rpc.Result{Sent: s.sent}, s.fault
	}
	record := `{"id":"` + anID + `","fullName":"Ada"}`
	if r.Read {
		record = "[" + record + "]"
	}
	return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(record)}, nil
}

// testGate is a gate with a clock that a test moves.
type testGate struct {
	*policy.Gate
	up    *scripted
	clock *ledgertest.Clock
}

func newTestGate(t *testing.T, profile string) *testGate {
	t.Helper()
	g, _ := gate(t, profile)
	s := &testGate{Gate: g, up: &scripted{}, clock: ledgertest.NewClock(noon)}
	g.Upstream, g.Now = s.up, s.clock.Now
	g.Ledger = ledgertest.Open(t, ledger.Options{Now: g.Now})
	return s
}

func (s *testGate) call(t *testing.T, action, args string) policy.Call {
	t.Helper()
	return policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, action, args), CanAsk: true}
}

// approve takes a call through the gate, approves its request, and takes it through the gate again.
func (s *testGate) approve(t *testing.T, c policy.Call) policy.Result {
	t.Helper()
	a := s.Do(t.Context(), c)
	if a.Pending == nil {
		t.Fatalf("no request: %+v", a)
	}
	c.ApprovalID = a.Pending.ApprovalID
	if a.Pending.Dialogue == policy.NoDialogue { // its card is too long for a client
		if err := s.answerInInbox(t, c.ApprovalID, approval.Reply{Approve: true, StatedNumber: a.Pending.Card.StateNumber}); err != nil {
			t.Fatal(err)
		}
	} else if event, err := s.RecordReply(t.Context(), c, clientApproves); event != "" || err != nil {
		t.Fatal(event, err)
	}
	res := s.Do(t.Context(), c)
	s.report(t, c.ApprovalID)
	return res
}

// answerInInbox records an approver's answer.
func (s *testGate) answerInInbox(t *testing.T, id string, reply approval.Reply) *schemas.Error {
	t.Helper()
	approvals := &approval.Approvals{Ledger: s.Ledger, Watch: &approval.Watcher{Ledger: s.Ledger, Log: s.Log}, Now: s.Now}
	return approvals.Answer(t.Context(), []string{id}, bobPerson, reply)[0].Err
}

// report marks the outcome of a request as received by its caller.
func (s *testGate) report(t *testing.T, id string) {
	t.Helper()
	r, err := s.Ledger.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s.MarkReported(t.Context(), s.ResultOf(t.Context(), r))
}

const (
	createArgs = `{"input":{"fullName":"Ada Lovelace"}}`
	ringNumber = `{"input":{"phoneNumber":"+442079460123"}}`
)

var lost = &schemas.Error{Outcome: schemas.OutcomeUnknown, Message: "the connection broke"}
