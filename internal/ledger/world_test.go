package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func open(t testing.TB, o ledger.Options) *ledger.SQLite {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "state")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	l, err := ledger.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// call is a mutating call whose payload is told apart by n.
func call(n string) ledger.Txn {
	body, _ := json.Marshal(map[string]any{"action": "create_contact", "input": map[string]any{"firstName": n}})
	return ledger.Txn{Call: ledger.Call{Request: "req-" + n, Caller: ledger.Actor{Name: "ada"}, Credential: "cred", Client: "test", Organisation: "acme", Action: "create_contact", Class: schemas.Write,
		Hash: "hash-" + n, Decision: "validate", Why: "class write", Policy: "v1", Payload: body}}
}

func commit(t testing.TB, l ledger.Ledger, x ledger.Txn) ledger.Intent {
	t.Helper()
	in, err := l.Commit(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func settle(t testing.TB, l ledger.Ledger, in ledger.Intent, state ledger.IntentState) {
	t.Helper()
	outcome := map[ledger.IntentState]schemas.Outcome{ledger.Succeeded: schemas.Done, ledger.Failed: schemas.UpstreamError,
		ledger.NotSent: schemas.UpstreamUnavailable, ledger.Unknown: schemas.OutcomeUnknown}[state]
	s := ledger.Settlement{Intent: in.ID, State: state, Sent: state != ledger.NotSent, Outcome: outcome, Status: 200, Latency: 5 * time.Millisecond}
	if state == ledger.Succeeded {
		s.Result = []byte(`{"id":"r1"}`)
	}
	if err := l.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func clean(t testing.TB, l ledger.Ledger) ledger.Report {
	t.Helper()
	r, err := l.Verify(t.Context(), ledger.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("verify: %+v", f)
	}
	return r
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// ask opens a question for the call and gives the grant to answer it with.
func ask(t testing.TB, l ledger.Ledger, x ledger.Txn, expires time.Time) ledger.ApprovalRequest {
	t.Helper()
	g := approvalFor(x, expires)
	if err := l.CreateApproval(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func approvalFor(x ledger.Txn, expires time.Time) ledger.ApprovalRequest {
	return ledger.ApprovalRequest{ID: ledger.NewID(), Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation, Action: x.Action, Hash: x.Hash, Policy: x.Policy,
		Needs: "confirm", Payload: x.Payload, Card: []byte(`{"sentence":"Create a contact"}`), Subjects: x.Subjects, Expires: expires}
}

func answer(t testing.TB, l ledger.Ledger, g ledger.ApprovalRequest, s ledger.ApprovalState) {
	t.Helper()
	if err := l.AnswerApproval(context.Background(), g, ledger.Reply{State: s, By: ledger.Actor{Name: "ada, in the terminal"}}); err != nil {
		t.Fatal(err)
	}
}
