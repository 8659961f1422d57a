package ledger_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
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

func (c *clock) advance(d time.Duration) {
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

// call returns a mutating call; n makes its payload unique.
func call(n string) ledger.Txn {
	body, _ := json.Marshal(map[string]any{"action": "create_contact", "input": map[string]any{"firstName": n}})
	return ledger.Txn{Repeats: true, Call: ledger.Call{Request: "req-" + n, Caller: ledger.Actor{Name: "ada"}, Credential: "cred", Client: "test", Organisation: "acme", Action: "create_contact", Class: schemas.Write,
		Hash: "hash-" + n, EffectKey: "effect-" + n, Decision: "validate", Why: "class write", Policy: "v1", Payload: body}}
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

func verifyClean(t testing.TB, l ledger.Ledger) ledger.Report {
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

// createApproval stores an approval request for the call and returns it.
func createApproval(t testing.TB, l ledger.Ledger, x ledger.Txn, expires time.Time) ledger.ApprovalRequest {
	t.Helper()
	request := approvalFor(x, expires)
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return request
}

func approvalFor(x ledger.Txn, expires time.Time) ledger.ApprovalRequest {
	return ledger.ApprovalRequest{ID: ledger.NewID(), Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation, Action: x.Action, Hash: x.Hash, EffectKey: x.EffectKey, Policy: x.Policy,
		Needs: "confirm", Payload: x.Payload, Card: []byte(`{"title":"Create a contact"}`), Subjects: x.Subjects, Expires: expires}
}

func answer(t testing.TB, l ledger.Ledger, request ledger.ApprovalRequest, s ledger.ApprovalState) {
	t.Helper()
	if err := l.AnswerApproval(context.Background(), request, ledger.Reply{State: s, By: ledger.Actor{Name: "ada, in the terminal"}}); err != nil {
		t.Fatal(err)
	}
}

func wantStoreError(t *testing.T, what string, err error, kind ledger.StoreErrorKind) {
	t.Helper()
	var storeErr *ledger.StoreError
	if !errors.As(err, &storeErr) || storeErr.Kind != kind {
		t.Errorf("%s: got %v, want %s", what, err, kind)
		return
	}
	t.Logf("%s: %v", what, err)
}

func within(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in ten seconds: " + what)
		}
	}
}

func event(subjects ...string) ledger.Event {
	return ledger.Event{Call: ledger.Call{Caller: ledger.Actor{Name: "ada"}, Action: "list_contacts", Class: schemas.Read, Subjects: subjects}, Outcome: schemas.Done}
}

func records(t *testing.T, l ledger.Ledger, f ledger.Filter) []ledger.Record {
	t.Helper()
	all, err := l.Records(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// tamper changes the closed file without the keys.
func tamper(t *testing.T, dir string, change func(db *sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	change(db)
}

func run(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}
