package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// switchboard is an upstream with calls that are live until they are ended, and a bulk call that
// starts one more with each read.
type switchboard struct {
	mu      sync.Mutex
	live    []string
	entries []string // of a bulk call: a callUuid, or empty if it has not begun
	waiting int      // calls that the bulk call has not begun
	ended   []string
	stuck   map[string]bool // calls that cannot be ended
	down    int             // how many lists fail first
	noKey   bool
	busy    time.Time // it asks for fewer requests until then
}

func (s *switchboard) Validate(context.Context, rpc.Request) *schemas.Error {
	panic("hanging up needs no validation")
}

func (s *switchboard) Run(_ context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.busy) {
		return rpc.Result{Sent: true, Status: 429}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "too many requests (HTTP 429)", RetryAfter: time.Second}
	}
	switch r.Action {
	case "list_calls":
		if s.noKey {
			return rpc.Result{Sent: true}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "sippet did not accept the key"}
		}
		if s.down--; s.down >= 0 {
			return rpc.Result{}, &schemas.Error{Outcome: schemas.UpstreamUnavailable, Message: "sippet cannot be reached"}
		}
		var rows []string
		for _, c := range s.live {
			rows = append(rows, fmt.Sprintf(`{"callUuid":%q,"toNumber":"+44"}`, c))
		}
		return rpc.Result{Data: json.RawMessage("[" + strings.Join(rows, ",") + "]"), Sent: true}, nil
	case "list_bulk_outbound_call_entries":
		var rows []string
		if strings.Contains(string(r.Body), `"callUuid":{"isNil":true}`) {
			if s.waiting > 0 {
				s.waiting--
				rows = append(rows, `{"callUuid":null}`)
				s.entries = append(s.entries, fmt.Sprint("bulk-", s.waiting))
			}
		} else {
			for _, c := range s.entries {
				rows = append(rows, fmt.Sprintf(`{"callUuid":%q}`, c))
			}
		}
		return rpc.Result{Data: json.RawMessage(`{"results":[` + strings.Join(rows, ",") + `],"hasMore":false,"type":"keyset"}`), Sent: true}, nil
	case "end_call":
		var body struct{ Input struct{ CallUUID string } }
		if err := json.Unmarshal(r.Body, &body); err != nil {
			panic(err)
		}
		c := body.Input.CallUUID
		s.ended = append(s.ended, c)
		if s.stuck[c] {
			return rpc.Result{Sent: true, Status: 200}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "not found"}
		}
		gone := func(e string) bool { return e == c }
		s.live, s.entries = slices.DeleteFunc(s.live, gone), slices.DeleteFunc(s.entries, gone)
		return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(`{}`)}, nil
	}
	panic(r.Action + " was not expected")
}

// TestEndCalls checks that every live call is ended, also one that starts meanwhile: without a
// ledger, after one that cannot be ended, and under a policy that denies everything.
func TestEndCalls(t *testing.T) {
	for _, at := range []string{"none", "commit", "settle"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, _ := gate(t, "read-only")
				up := &switchboard{live: []string{"a", "b", `c"\u00e9`}, waiting: 12, stuck: map[string]bool{"b": true}, down: 2}
				g.Upstream = up
				if at == "none" {
					g.Ledger = nil
				} else {
					g.Ledger = brokenStore{g.Ledger, at}
				}
				var ended []policy.EndedCall
				began := time.Now()
				if err := g.EndCalls(t.Context(), ledger.Actor{Name: "grace"}, func(e policy.EndedCall) { ended = append(ended, e) }); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 4*time.Second || took > 30*time.Second {
					t.Errorf("it took %s", took)
				}
				failed := 0
				for _, e := range ended {
					if e.Err != nil {
						failed++
					}
				}
				// Two lists fail, which is told once, and the call that cannot be ended is tried three times.
				if len(up.ended) != 2+12+3 || !slices.Equal(up.live, []string{"b"}) || failed > 2 || len(ended) != 2+12+failed {
					t.Errorf("ended %q, live %q, reported %+v", up.ended, up.live, ended)
				}
			})
		})
	}
}

// TestEndCallsRecorded checks that each ended call has a record, also during an emergency stop.
func TestEndCallsRecorded(t *testing.T) {
	t.Parallel()
	s := newTestGate(t, "desktop")
	up := &switchboard{live: []string{"a", "b"}}
	s.Upstream = up
	if err := s.Ledger.Stop(t.Context(), everything, ledger.Actor{Name: "grace"}, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.EndCalls(t.Context(), ledger.Actor{Name: "grace"}, func(policy.EndedCall) {}); err != nil {
		t.Fatal(err)
	}
	in, err := s.Ledger.Intents(t.Context(), ledger.IntentFilter{Action: "end_call", State: ledger.Succeeded, Caller: "grace"})
	if err != nil || len(in) != 2 {
		t.Errorf("%d intents, %v", len(in), err)
	}
}

// TestEndCallsBusy checks that EndCalls goes on while Sippet asks for fewer requests.
func TestEndCallsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := gate(t, "desktop")
		up := &switchboard{live: []string{"a"}, busy: time.Now().Add(20 * time.Second)}
		g.Ledger, g.Upstream = nil, up
		if err := g.EndCalls(t.Context(), ledger.Actor{Name: "grace"}, func(policy.EndedCall) {}); err != nil || len(up.live) != 0 {
			t.Errorf("%v, live %q", err, up.live)
		}
	})
}

// TestEndCallsStops checks that EndCalls returns if Sippet rejects the list of calls, and if its
// context ends.
func TestEndCallsStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := gate(t, "desktop")
		g.Ledger, g.Upstream = nil, &switchboard{noKey: true}
		if err := g.EndCalls(t.Context(), ledger.Actor{Name: "grace"}, func(policy.EndedCall) {}); err == nil || !strings.Contains(err.Error(), "key") {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		g.Upstream = &switchboard{waiting: 1000}
		if err := g.EndCalls(ctx, ledger.Actor{Name: "grace"}, func(policy.EndedCall) {}); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

// fixedAnswer is an upstream that answers every list the same.
type fixedAnswer struct {
	switchboard
	answer string
}

func (m *fixedAnswer) Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error) {
	return rpc.Result{Data: json.RawMessage(m.answer), Sent: true}, nil
}

// TestUnreadableList checks that an unreadable answer does not count as a list without live calls.
func TestUnreadableList(t *testing.T) {
	for answer, quiet := range map[string]bool{`[]`: true, `{"results":[],"hasMore":false}`: true,
		`null`: false, `{"data":[]}`: false, `{"results":[{"callUuid":123}]}`: false, `{"results":{}}`: false, `"none"`: false} {
		synctest.Test(t, func(t *testing.T) {
			g, _ := gate(t, "desktop")
			g.Ledger, g.Upstream = nil, &fixedAnswer{answer: answer}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			reported := 0
			if err := g.EndCalls(ctx, ledger.Actor{Name: "grace"}, func(policy.EndedCall) { reported++ }); (err == nil) != quiet || (reported == 0) != quiet {
				t.Errorf("%s: %v, reported %d", answer, err, reported)
			}
		})
	}
}
