package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// fixedUpstream answers at once, so that only this program is measured.
type fixedUpstream struct{ data json.RawMessage }

func (s fixedUpstream) Validate(context.Context, rpc.Request) *schemas.Error { return nil }
func (s fixedUpstream) Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error) {
	return rpc.Result{Data: s.data, Sent: true, Status: 200, Attempts: 1}, nil
}

// BenchmarkCall measures a read of 25 contacts through check, gate and rendering.
func BenchmarkCall(b *testing.B) {
	rows := make([]string, 25)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"defaultLanguage":"en","deletedAt":null,"email":"person%02d@example.com","erasedAt":null,"fullName":"Person Number %02d","id":"c0000000-0000-4000-8000-0000000000%02d","phoneE164":"+4477009001%02d"}`, i, i, i, i)
	}
	data := `{"after":null,"before":null,"count":null,"hasMore":true,"limit":25,"nextPage":"g2w","previousPage":"g2x","results":[` + strings.Join(rows, ",") + `],"type":"keyset"}`
	pol, err := rules.Load("desktop")
	if err != nil {
		b.Fatal(err)
	}
	r := &tools.Runner{Gate: &policy.Gate{Policy: policy.FixedPolicySet(pol), Upstream: fixedUpstream{json.RawMessage(data)}, Ledger: ledgertest.Open(b),
		Lifetime: 15 * time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
	q := tools.Request{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Action: "list_contacts",
		Args: []byte(`{"fields":["id","fullName","email","phoneE164","defaultLanguage","deletedAt","erasedAt"],"page":{"limit":25}}`)}
	b.ReportAllocs()
	for b.Loop() {
		if res := r.Call(context.Background(), q); res.Err != nil {
			b.Fatal(res.Err)
		}
	}
}
