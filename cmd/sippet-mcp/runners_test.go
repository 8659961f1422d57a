package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// attached has the organisations of keys, by the names of the keys.
type attached struct {
	ledger.OrganisationStore
	ids map[string]string
}

func (a attached) OpenOrganisation(_ context.Context, key string) (string, bool, error) {
	return a.ids[key], false, nil
}

// TestKeysShareTurns checks that an HTTP 429 for one key pauses the other keys of its organisation, and
// no key of another organisation.
func TestKeysShareTurns(t *testing.T) {
	up := rpctest.New(t)
	up.On(rpctest.Run, "", rpctest.InTurn(rpctest.Status(429, "", 20), rpctest.Usual))
	ids := map[string]string{}
	r := &runners{ledger: attached{ids: ids}, log: slog.New(slog.DiscardHandler), clients: map[string]*rpc.Client{},
		make: func(*rpc.Client, string, string) *tools.Runner { return &tools.Runner{} }}
	var clients []*rpc.Client
	for _, key := range []struct{ key, organisation string }{{"sk_test_one_0123", "acme"}, {"sk_test_two_0123", "acme"}, {"sk_test_three_01", "other"}} {
		c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpc.Key(key.key)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		ids[c.KeyName()] = key.organisation
		if _, err := r.live(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for i, want := range []schemas.Outcome{schemas.UpstreamError, schemas.UpstreamUnavailable, schemas.Done} {
		got := schemas.Done
		if _, fault := clients[i].Run(t.Context(), rpc.Request{Action: "who_am_i", Body: []byte(`{"action":"who_am_i","fields":["id"]}`), Read: true}); fault != nil {
			got = fault.Outcome
		}
		if got != want {
			t.Errorf("key %d: %s, want %s", i+1, got, want)
		}
	}
}
