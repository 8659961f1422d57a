package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// crowd is an organisation of very many contacts, of which each read shows the next page.
type crowd struct {
	scripted
	next  int
	reads int
	found json.RawMessage // answers each read instead; nil without one
}

func (c *crowd) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	if !r.Read {
		return c.scripted.Run(ctx, r)
	}
	c.reads++
	if found := usualRead(r); found != nil {
		return rpc.Result{Sent: true, Status: 200, Data: found}, nil // a read for the gate
	}
	if c.found != nil {
		return rpc.Result{Sent: true, Status: 200, Data: c.found}, nil
	}
	var body struct{ Page struct{ Limit int } }
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return rpc.Result{}, &schemas.Error{Outcome: schemas.UpstreamError, Message: err.Error()}
	}
	rows := []map[string]any{}
	for range body.Page.Limit {
		c.next++
		rows = append(rows, map[string]any{"id": fmt.Sprintf("0e6f1a52-4f0e-4a3b-9a87-%012x", c.next), "dateOfBirth": "1970-01-01"})
	}
	raw, _ := json.Marshal(map[string]any{"results": rows, "hasMore": true, "type": "keyset"})
	return rpc.Result{Sent: true, Status: 200, Data: raw}, nil
}

func newCrowd(t *testing.T, profile string) (*testGate, *crowd) {
	s, c := newTestGate(t, profile), &crowd{}
	s.Gate.Upstream = c
	return s, c
}

func (s *testGate) read(t *testing.T, who policy.Caller, limit int) policy.Result {
	t.Helper()
	return s.Do(t.Context(), policy.Call{Caller: who, Payload: payload(t, "list_contacts", fmt.Sprintf(`{"fields":["id","dateOfBirth"],"page":{"limit":%d}}`, limit))})
}

// TestPeopleBudget checks that nobody reads all contacts: 2,000 people are shown, and the next read
// ends before it is sent, whatever the client calls itself and however many sessions it has.
func TestPeopleBudget(t *testing.T) {
	for _, profile := range []string{"team", "unattended"} {
		s, c := newCrowd(t, profile)
		began := time.Now()
		for range 20 {
			if a := s.read(t, adaCaller, 100); a.Outcome() != schemas.Done {
				t.Fatalf("%s: after %d people: %v", profile, c.next, a.Err)
			}
		}
		t.Logf("%s: %d people in %s", profile, c.next, time.Since(began))
		renamed := adaCaller
		renamed.Client, renamed.Actor.Via = "another 2", "stdio"
		for _, who := range []policy.Caller{adaCaller, renamed} {
			a := s.read(t, who, 1)
			if a.Outcome() != schemas.LimitExceeded || a.Err.RetryAfter <= 0 || a.Err.RetryAfter > 2*time.Second || !strings.Contains(a.Err.Message, "people") || c.reads != 20 {
				t.Errorf("%s: %s after %d people and %d reads: %v", profile, a.Outcome(), c.next, c.reads, a.Err)
			}
		}
		if e := s.Explain(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "create_contact", createArgs)}); e.Fault == nil || e.Fault.Outcome != schemas.LimitExceeded || c.reads != 20 {
			t.Errorf("%s: validate_action goes on: %v", profile, e.Fault)
		}
		if a := s.read(t, boCaller, 100); a.Outcome() != schemas.Done {
			t.Errorf("%s: another caller: %v", profile, a.Err)
		}
		flag := policy.Call{Caller: adaCaller, Payload: payload(t, "flag_call_for_review", `{"identity":"`+anID+`"}`)}
		if a := s.Do(t.Context(), flag); a.Outcome() != schemas.Done {
			t.Errorf("%s: a change waits for a budget of reading: %v", profile, a.Err)
		}
		s.clock.Add(30 * time.Minute)
		if a := s.read(t, adaCaller, 100); a.Outcome() != schemas.Done {
			t.Errorf("%s: half an hour later: %v", profile, a.Err)
		}
	}
	s, c := newCrowd(t, "desktop")
	for range 25 {
		if a := s.read(t, adaCaller, 100); a.Outcome() != schemas.Done {
			t.Fatalf("desktop: after %d people: %v", c.next, a.Err)
		}
	}
}

// TestPeopleShown checks who is counted: the persons in the rows that the caller is shown, and not
// those that the gate reads for its own sake.
func TestPeopleShown(t *testing.T) {
	s, c := newCrowd(t, "team")
	people := ledger.Debit{Budget: "team/people", Key: "caller:ada", Interval: 1800 * time.Millisecond, Burst: 2000}
	left := func(want int64) {
		t.Helper()
		var got int64
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			var err error
			if got, _, err = s.Ledger.BudgetLeft(t.Context(), people); err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
		}
		t.Errorf("%d are left, want %d", got, want)
	}
	s.read(t, adaCaller, 100)
	left(1900)
	// A page of 100 of which 40 are shown; then nobody new.
	part := policy.Call{Caller: adaCaller, Payload: payload(t, "list_contacts", `{"page":{"limit":100}}`), Shows: func(json.RawMessage) int { return 40 }}
	s.Do(t.Context(), part)
	left(1860)
	c.next = 0
	s.read(t, adaCaller, 100)
	// The gate looks for contacts like a new one.
	if a := s.Do(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "create_contact", `{"input":{"fullName":"Ada","phoneE164":"+442079460123"}}`)}); a.Outcome() != schemas.Done || c.reads < 4 {
		t.Fatalf("%v, %d reads", a.Err, c.reads)
	}
	// A cursor shows somebody too, and so may a filter that finds nobody.
	for n, c := range []struct{ args, found string }{
		{`{"fields":["defaultLanguage"],"page":{"limit":1}}`, `{"results":[{"defaultLanguage":"en"}],"hasMore":true,"nextPage":"x","type":"keyset"}`},
		{`{"filter":{"dateOfBirth":{"lessThan":"1970-01-01"}},"page":{"limit":1}}`, `{"results":[],"hasMore":false,"count":0,"type":"offset"}`},
		{`{"filter":{"dateOfBirth":{"lessThan":"1960-01-01"}},"page":{"limit":1}}`, `{"results":[],"hasMore":false,"count":0,"type":"offset"}`},
	} {
		c2 := &crowd{found: json.RawMessage(c.found)}
		s.Gate.Upstream = c2
		if a := s.Do(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "list_contacts", c.args)}); a.Outcome() != schemas.Done {
			t.Fatal(a.Err)
		}
		left(1859 - int64(n))
	}
	s.Gate.Upstream = c
	// Each test of a call takes one at least, also of somebody who was counted.
	for n := range int64(3) {
		who := fmt.Sprintf(`{"identity":"0e6f1a52-4f0e-4a3b-9a87-%012x","input":{"fullName":"Guess %d"}}`, 1, n)
		if e := s.Explain(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "update_contact", who)}); e.Verdict.Decision == 0 {
			t.Fatalf("%+v", e)
		}
		left(1856 - n)
	}
}

// TestExplainIsRecorded checks that a test of a call is in the audit log, with what the call is
// about, and that there is none without a record.
func TestExplainIsRecorded(t *testing.T) {
	s, _ := newCrowd(t, "team")
	e := s.Explain(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`)})
	if e.Fault != nil || e.Verdict.Decision != rules.Approve {
		t.Fatalf("%+v", e)
	}
	var found []ledger.Record
	waitFor(t, func() bool {
		var err error
		found, err = s.Ledger.Records(t.Context(), ledger.Filter{Phase: ledger.PhaseValidated})
		return err == nil && len(found) > 0
	})
	r := found[0]
	if r.Action != "delete_contact" || r.Caller != adaCaller.Actor || r.Decision != "approve" || r.Outcome != schemas.Done || r.Request == "" ||
		len(r.Budgets) != 1 || len(r.SubjectNames) != 1 || !strings.Contains(string(r.Private.Payload), anID) {
		t.Errorf("%+v", r)
	}
	for _, profile := range rules.Profiles {
		s, c := newCrowd(t, profile)
		s.Gate.Ledger = brokenStore{s.Gate.Ledger, "store"}
		s.clock.Add(5 * time.Minute)
		e := s.Explain(t.Context(), policy.Call{Caller: adaCaller, Payload: payload(t, "update_contact", `{"identity":"`+anID+`","input":{"fullName":"Guess"}}`)})
		if e.Fault == nil || e.Fault.Outcome != schemas.Unavailable || c.reads+c.validates != 0 {
			t.Errorf("%s: tested without a record: %+v", profile, e.Fault)
		}
	}
}
