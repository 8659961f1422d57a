//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/inbox"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// inProcess is an upstream that answers at once, without a connection.
type inProcess struct{ page, record json.RawMessage }

func newInProcess() inProcess {
	data := func(action string) json.RawMessage {
		w := httptest.NewRecorder()
		answers(0).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rpc/public/run", strings.NewReader(`{"action":"`+action+`"}`)))
		body := bytes.TrimPrefix(w.Body.Bytes(), []byte(`{"success":true,"data":`))
		return bytes.TrimSuffix(body, []byte("}"))
	}
	return inProcess{page: data("list_contacts"), record: data("create_contact")}
}

func (inProcess) Validate(context.Context, rpc.Request) *schemas.Error { return nil }

func (u inProcess) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	data := u.record
	if r.Action == "list_contacts" {
		data = u.page
	}
	return rpc.Result{Data: data, Sent: true, Status: http.StatusOK, Attempts: 1}, nil
}

func testGate(p *rules.Policy, l ledger.Ledger) *policy.Gate {
	return &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: newInProcess(), Ledger: l, Organisation: "bench",
		Lifetime: 15 * time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

var benchCaller = policy.Caller{Actor: ledger.Actor{Name: "ada", Via: "stdio"}, ID: "ada", Person: "ada"}

func load(t *testing.T, profile string) *rules.Policy {
	t.Helper()
	p, err := rules.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func check(t *testing.T, action, args string) *schemas.Payload {
	a, fault := schemas.Find(action)
	if fault != nil {
		t.Fatal(fault)
	}
	p, fault := a.Check([]byte(args), schemas.Limits{})
	if fault != nil {
		t.Fatal(fault)
	}
	return p
}

func resolve(t *testing.T, p *schemas.Payload) {
	set, fault := recipients.Resolve(context.Background(), p, nil)
	if fault != nil {
		t.Fatal(fault)
	}
	if set.Count != 1 {
		t.Fatalf("%d recipients, want 1", set.Count)
	}
}

// cardPage returns the request of a browser for the page of one pending approval request.
func cardPage(t *testing.T, p *schemas.Payload) func() {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store := ledgertest.Open(t)
	gate := testGate(load(t, "desktop"), store)
	watch := &approval.Watcher{Ledger: store, Log: log}
	box := &inbox.Inbox{Approvals: &approval.Approvals{Ledger: store, Watch: watch, Now: time.Now}, Ledger: store, Watch: watch,
		Gates: func() []*policy.Gate { return nil }, Now: time.Now, Log: log}
	a := gate.Do(context.Background(), policy.Call{Caller: benchCaller, Payload: p})
	if a.Pending == nil {
		t.Fatalf("it ended with %s: %v", a.Outcome(), a.Err)
	}
	token, _, err := store.CreateToken(context.Background(), ledger.Token{Person: "grace", Roles: []string{approval.RoleApprover}}, ledger.Actor{Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	handler := box.Handler()
	login := httptest.NewRequest(http.MethodPost, inbox.Path+"/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, login)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the login is answered with %d: %s", w.Code, w.Body)
	}
	return func() {
		r := httptest.NewRequest(http.MethodGet, inbox.Path+"/approvals/"+a.Pending.ApprovalID, nil)
		r.AddCookie(cookies[0])
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "20 7946 0123") {
			t.Fatalf("the page is answered with %d: %.300s", w.Code, w.Body)
		}
	}
}
