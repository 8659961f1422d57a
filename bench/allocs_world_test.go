//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
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
		answers().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rpc/public/run", strings.NewReader(`{"action":"`+action+`"}`)))
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
	return &policy.Gate{Policy: policy.FixedPolicySet(p), Upstream: newInProcess(), Ledger: l, Organisation: "bench", Inbox: true,
		Wait: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

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
