package policy_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// line is an upstream that keeps how requests would wait for their turn. If waits is set, writes do,
// and what it does happens meanwhile.
type line struct {
	*scripted
	waits func()
	mu    sync.Mutex
	all   []rpc.Request
}

func (l *line) Validate(_ context.Context, r rpc.Request) *schemas.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
	return nil
}

func (l *line) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	l.mu.Lock()
	l.all = append(l.all, r)
	l.mu.Unlock()
	if l.waits != nil && !r.Read {
		l.waits()
		if r.Recheck == nil {
			return l.scripted.Run(ctx, r)
		}
		if fault := r.Recheck(ctx); fault != nil {
			return rpc.Result{}, fault
		}
	}
	return l.scripted.Run(ctx, r)
}

// TestTurn checks that requests wait as their caller's: reads last, hanging up first, and the reads
// that a call needs with the call.
func TestTurn(t *testing.T) {
	s := newTestGate(t, "desktop")
	up := &line{scripted: s.up}
	s.Upstream = up
	ranks := func(c policy.Call, want rpc.Rank, least int) {
		t.Helper()
		up.all = nil
		s.Do(t.Context(), c)
		if len(up.all) < least {
			t.Errorf("%s: %d requests, want %d or more", c.Payload.Action.Name, len(up.all), least)
		}
		for _, r := range up.all {
			if r.Caller != "ada" || r.Rank != want {
				t.Errorf("%s: %s of %q has rank %d, want %d", c.Payload.Action.Name, r.Action, r.Caller, r.Rank, want)
			}
		}
	}
	ranks(s.call(t, "list_contacts", `{"fields":["id"]}`), rpc.RankRead, 1)
	ranks(s.call(t, "update_contact", `{"identity":"`+anID+`","input":{"defaultLanguage":"de"}}`), rpc.RankWrite, 3)
	ranks(s.call(t, "end_call", `{"input":{"callUuid":"c-1"}}`), rpc.RankUrgent, 1)

	up.all = nil
	if _, fault := s.LiveCalls(t.Context()); fault != nil {
		t.Fatal(fault)
	}
	for _, r := range up.all {
		if r.Caller == "ada" || r.Caller == "" || r.Rank != rpc.RankUrgent {
			t.Errorf("%s of %q has rank %d", r.Action, r.Caller, r.Rank)
		}
	}
}

// TestRecheck checks that a call that waits for its turn does not run if an emergency stop begins, or if
// its client leaves before anybody approved it.
func TestRecheck(t *testing.T) {
	args := `{"input":{"fullName":"Ada","defaultLanguage":"en"}}`
	t.Run("stop", func(t *testing.T) {
		s := newTestGate(t, "desktop")
		s.Upstream = &line{scripted: s.up, waits: func() {
			if err := s.Ledger.Stop(context.Background(), ledger.StopScope{Kind: ledger.StopEverything}, ledger.Actor{Name: "grace"}, "wrong list"); err != nil {
				t.Error(err)
			}
		}}
		a := s.Do(t.Context(), s.call(t, "create_contact", args))
		if a.Outcome() != schemas.Stopped || slices.Contains(s.up.seen, "create_contact") {
			t.Errorf("%s: %v", a.Outcome(), a.Err)
		}
	})
	t.Run("client leaves", func(t *testing.T) {
		s := newTestGate(t, "desktop")
		ctx, leave := context.WithCancel(t.Context())
		s.Upstream = &line{scripted: s.up, waits: leave}
		a := s.Do(ctx, s.call(t, "create_contact", args))
		if a.Outcome() != schemas.UpstreamUnavailable || slices.Contains(s.up.seen, "create_contact") {
			t.Errorf("%s: %v", a.Outcome(), a.Err)
		}
		s.Upstream = s.up
		if a := s.Do(t.Context(), s.call(t, "create_contact", args)); a.Outcome() != schemas.Done {
			t.Errorf("again: %s: %v", a.Outcome(), a.Err)
		}
	})
}
