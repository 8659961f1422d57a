package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// exchange is an upstream on which calls can be started: each ring gets the next callUuid, a bulk
// call rings one person.
type exchange struct {
	upstream
	calls   int
	entries []map[string]any
	ended   []string
	noRead  bool // the entries of bulk calls cannot be read
}

func (x *exchange) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	answer := func(v any) (rpc.Result, *schemas.Error) {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return rpc.Result{Data: raw, Sent: true, Status: 200}, nil
	}
	var body struct {
		Identity string
		Input    struct{ CallUUID string }
		Filter   struct{ CallUUID struct{ Eq string } }
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		panic(err)
	}
	switch r.Action {
	case "start_outbound_call":
		x.calls++
		return answer(map[string]any{"callUuid": fmt.Sprint("call-", x.calls)})
	case "start_bulk_outbound_call":
		x.calls++
		x.entries = append(x.entries, map[string]any{"callUuid": fmt.Sprint("call-", x.calls), "bulkOutboundCallId": fmt.Sprint("bulk-", x.calls)})
		return answer(map[string]any{"bulk_outbound_call_id": fmt.Sprint("bulk-", x.calls)})
	case "list_bulk_outbound_call_entries":
		if x.noRead {
			return rpc.Result{Sent: true, Status: 500}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "sippet failed"}
		}
		rows := []map[string]any{}
		for _, e := range x.entries {
			if e["callUuid"] == body.Filter.CallUUID.Eq {
				rows = append(rows, e)
			}
		}
		return answer(map[string]any{"results": rows, "hasMore": false})
	case "end_call", "leave_call", "flag_call_for_review":
		x.ended = append(x.ended, r.Action+" "+body.Input.CallUUID+body.Identity)
		return answer(map[string]any{})
	}
	return x.upstream.Run(ctx, r)
}

func onCall(uuid string) string { return `{"input":{"callUuid":"` + uuid + `"}}` }

// startCalls rings one number, and one person by a bulk call.
func startCalls(t *testing.T, s *testGate) *exchange {
	t.Helper()
	x := &exchange{}
	s.Upstream = x
	for action, args := range map[string]string{"start_outbound_call": ringNumber, "start_bulk_outbound_call": `{"input":{"contactIds":["` + anID + `"]}}`} {
		if res := s.approve(t, s.call(t, action, args)); res.Err != nil {
			t.Fatalf("%s: %v", action, res.Err)
		}
	}
	return x
}

// TestOwnCallsEndAtOnce checks that a caller hangs up and leaves the calls that their own work
// started without asking anybody, also during an emergency stop, and any number of times.
func TestOwnCallsEndAtOnce(t *testing.T) {
	t.Parallel()
	for _, stopped := range []bool{false, true} {
		s := newTestGate(t, "desktop")
		x := startCalls(t, s)
		if stopped {
			if err := s.Ledger.Stop(t.Context(), everything, ledger.Actor{Name: "grace"}, ""); err != nil {
				t.Fatal(err)
			}
		}
		want := 0
		for _, call := range []string{"call-1", "call-2"} {
			for _, action := range []string{"end_call", "leave_call", "end_call"} {
				c := s.call(t, action, onCall(call))
				if e := s.Explain(t.Context(), c); e.Verdict.Decision != rules.Validate || e.Fault != nil {
					t.Errorf("stopped %v: %s of %s is explained as %+v", stopped, action, call, e)
				}
				if res := s.Do(t.Context(), c); res.Err != nil {
					t.Errorf("stopped %v: %s of %s: %v", stopped, action, call, res.Err)
				}
				want++
			}
		}
		if res := s.Do(t.Context(), s.call(t, "flag_call_for_review", `{"identity":"`+anID+`"}`)); res.Err != nil {
			t.Errorf("stopped %v: a flag: %v", stopped, res.Err)
		}
		if len(x.ended) != want+1 {
			t.Errorf("stopped %v: Sippet got %q", stopped, x.ended)
		}
		if report, err := s.Ledger.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || len(report.Findings) > 0 {
			t.Errorf("stopped %v: %+v, %v", stopped, report, err)
		}
	}
}

// TestOtherCallsAreAskedAbout checks that a live call of which the caller only says that it is theirs
// is not, and that one that cannot be known is not either.
func TestOtherCallsAreAskedAbout(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testGate, *exchange, *policy.Call) string{
		"another's name":       func(_ *testGate, _ *exchange, c *policy.Call) string { c.Actor.Name = "eve"; return "call-1" },
		"another channel":      func(_ *testGate, _ *exchange, c *policy.Call) string { c.Actor.Via = "call"; return "call-1" },
		"another token":        func(_ *testGate, _ *exchange, c *policy.Call) string { c.Credential = "t2"; return "call-2" },
		"another organisation": func(s *testGate, _ *exchange, _ *policy.Call) string { s.Organisation = "there"; return "call-1" },
		"no such call":         func(*testGate, *exchange, *policy.Call) string { return "call-3" },
		"the bulk call's id":   func(*testGate, *exchange, *policy.Call) string { return "bulk-1" },
		"another spelling":     func(*testGate, *exchange, *policy.Call) string { return "CALL-1" },
		"an old call":          func(s *testGate, _ *exchange, _ *policy.Call) string { s.clock.Add(25 * time.Hour); return "call-1" },
		"another's bulk call": func(_ *testGate, x *exchange, _ *policy.Call) string {
			x.entries = append(x.entries, map[string]any{"callUuid": "call-9", "bulkOutboundCallId": "bulk-9"})
			return "call-9"
		},
		"unreadable entries": func(_ *testGate, x *exchange, _ *policy.Call) string { x.noRead = true; return bulkCall(x) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestGate(t, "desktop")
			x := startCalls(t, s)
			c := s.call(t, "end_call", onCall("-"))
			uuid := change(s, x, &c)
			c.Payload = payload(t, "end_call", onCall(uuid))
			if res := s.Do(t.Context(), c); res.Pending == nil || len(x.ended) > 0 {
				t.Errorf("%+v, %q", res, x.ended)
			}
		})
	}
}

// bulkCall returns the callUuid of the call that a bulk call started.
func bulkCall(x *exchange) string { return x.entries[0]["callUuid"].(string) }

// TestSafeIsDenied checks that a policy which denies a call is obeyed also where the call is safe, and
// that nothing milder keeps it waiting.
func TestSafeIsDenied(t *testing.T) {
	t.Parallel()
	s := newTestGate(t, "desktop")
	x := startCalls(t, s)
	const usual, never = "class: {read: allow, outbound: confirm, destructive: confirm}", "class: {read: allow, destructive: deny}"
	for name, c := range map[string]struct {
		defaults, rest string
		want           schemas.Outcome
	}{
		"a rule that denies":     {usual, "rules: [{id: a, match: {actions: [end_call]}, decision: deny, reason: No}]", schemas.Denied},
		"a class that is denied": {never, "", schemas.Denied},
		"denied by default":      {usual + ", safe: deny", "", schemas.Denied},
		"a rule that fails":      {usual, "rules: [{id: a, match: {actions: [end_call]}, when: \"caller.roles[7] == 'a'\", decision: validate, reason: R}]", schemas.Denied},
		"allowed in its class":   {never + ", safe: validate", "", schemas.Done},
		"a rule that asks":       {usual, "rules: [{id: a, match: {actions: [end_call]}, decision: approve, reason: Ask}]", schemas.Done},
		"an empty budget":        {usual, "budgets: {few: {key: caller, rate: 1/d, burst: 1, cost: \"2\"}}\nrules: [{id: a, match: {actions: [end_call]}, limit: few, reason: Few}]", schemas.Done},
	} {
		p, err := rules.Parse("base", []byte(head+"defaults: {"+c.defaults+"}\n"+c.rest+"\n"))
		if err != nil {
			t.Fatal(name, err)
		}
		s.Policy = policy.FixedPolicySet(p)
		before := len(x.ended)
		if res := s.Do(t.Context(), s.call(t, "end_call", onCall("call-1"))); res.Outcome() != c.want || (len(x.ended) > before) != (c.want == schemas.Done) {
			t.Errorf("%s: %s, %v, %q", name, res.Outcome(), res.Err, x.ended)
		}
	}
}

// TestFlagBudget checks that flags, which wait for nobody and run during a stop, come to an end.
func TestFlagBudget(t *testing.T) {
	for _, profile := range []string{"desktop", "team", "unattended"} {
		s := newTestGate(t, profile)
		if err := s.Ledger.Stop(t.Context(), ledger.StopScope{Kind: ledger.StopEverything}, adaCaller.Actor, ""); err != nil {
			t.Fatal(err)
		}
		for n := range 301 {
			flag := policy.Call{Caller: adaCaller, Payload: payload(t, "flag_call_for_review", fmt.Sprintf(`{"identity":"0e6f1a52-4f0e-4a3b-9a87-%012x"}`, n))}
			want := schemas.Done
			if n == 300 {
				want = schemas.LimitExceeded
			}
			if a := s.Do(t.Context(), flag); a.Outcome() != want {
				t.Fatalf("%s: flag %d: %s, want %s: %v", profile, n, a.Outcome(), want, a.Err)
			}
		}
	}
}
