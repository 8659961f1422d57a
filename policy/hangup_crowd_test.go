package policy_test

import (
	"context"
	"encoding/json"
	"errors"
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

// throng is an upstream on which our own calls hide in a throng of records that only say they are live.
// A bulk call rings its people one after the other. Each request takes time, as does each byte.
type throng struct {
	began   time.Time // of the test; the gate's time is noon then
	rows    []crowdRow
	people  int // whom the bulk call has not rung
	failing map[string]bool

	mu    sync.Mutex
	lists map[string]int
	ended map[string]time.Duration // how long our calls have rung
}

type crowdRow struct {
	uuid, number, agent string
	at                  time.Time // zero: the record has none
	bulk, own, over     bool
}

const (
	crowdRequest  = 20 * time.Millisecond
	crowdMegabyte = 20 * time.Millisecond
	crowdMost     = 32 << 20 // bytes of an answer
)

func (c *throng) Validate(context.Context, rpc.Request) *schemas.Error {
	panic("hanging up needs no validation")
}

// now is the gate's time.
func (c *throng) now() time.Time { return noon.Add(time.Since(c.began)) }

// ringNext lets the bulk call ring a person if nobody is on the line.
func (c *throng) ringNext() {
	for _, r := range c.rows {
		if r.bulk && !r.over {
			return
		}
	}
	if c.people > 0 {
		c.people--
		c.rows = append(c.rows, crowdRow{uuid: fmt.Sprint("bulk-", c.people), number: "+442079460123", agent: anID, at: c.now(), bulk: true, own: true})
	}
}

type crowdFilter struct {
	CallUUID struct {
		In    []string
		IsNil *bool
	}
	StartedAt struct {
		GreaterThanOrEqual, LessThan *time.Time
		IsNil                        bool
	}
}

func (f *crowdFilter) passes(r *crowdRow) bool {
	if f.CallUUID.In != nil {
		return slices.Contains(f.CallUUID.In, r.uuid)
	}
	s := f.StartedAt
	if s.IsNil || r.at.IsZero() {
		return s.IsNil && r.at.IsZero()
	}
	return (s.GreaterThanOrEqual == nil || !r.at.Before(*s.GreaterThanOrEqual)) && (s.LessThan == nil || r.at.Before(*s.LessThan))
}

func (c *throng) Run(ctx context.Context, r rpc.Request) (rpc.Result, *schemas.Error) {
	time.Sleep(crowdRequest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ringNext()
	c.lists[r.Action]++
	if c.failing[r.Action] {
		return rpc.Result{Sent: true, Status: 500}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "sippet failed on " + r.Action + " (HTTP 500)"}
	}
	var body struct {
		Fields []string
		Filter crowdFilter
		Input  struct{ CallUUID string }
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		panic(err)
	}
	rows, size := []map[string]any{}, 0
	switch r.Action {
	case "list_calls":
		for i := range c.rows {
			row := &c.rows[i]
			if row.over || !body.Filter.passes(row) {
				continue
			}
			all, out := map[string]any{"callUuid": row.uuid, "toNumber": row.number, "currentAiAgentId": nil}, map[string]any{}
			if row.agent != "" {
				all["currentAiAgentId"] = row.agent
			}
			for _, f := range body.Fields {
				out[f] = all[f]
				text, _ := all[f].(string)
				size += len(text)
			}
			rows = append(rows, out)
		}
	case "list_bulk_outbound_call_entries":
		if *body.Filter.CallUUID.IsNil {
			if c.people > 0 {
				rows = append(rows, map[string]any{"callUuid": nil})
			}
			break
		}
		for _, row := range c.rows {
			if row.bulk && !row.over {
				rows = append(rows, map[string]any{"callUuid": row.uuid})
			}
		}
	case "end_call":
		for i := range c.rows {
			if row := &c.rows[i]; row.own && row.uuid == body.Input.CallUUID && !row.over {
				row.over = true
				c.ended[row.uuid] = c.now().Sub(row.at)
				return rpc.Result{Sent: true, Status: 200, Data: json.RawMessage(`{}`)}, nil
			}
		}
		return rpc.Result{Sent: true, Status: 200}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "call is not live"}
	default:
		panic(r.Action + " was not expected")
	}
	if size > crowdMost {
		return rpc.Result{Sent: true, Status: 200}, &schemas.Error{Outcome: schemas.UpstreamError, Message: "the answer to " + r.Action + " is longer than 32 MiB"}
	}
	time.Sleep(time.Duration(size>>20) * crowdMegabyte)
	raw, err := json.Marshal(rows)
	if err != nil {
		panic(err)
	}
	return rpc.Result{Sent: true, Status: 200, Data: raw}, nil
}

// TestEndCallsInACrowd checks that our own calls are hung up within five seconds, and so is the next
// person of a bulk call, beside three thousand records that only say they are live, records of 8 MB, and
// a list that answers 500. What could not be listed is named.
func TestEndCallsInACrowd(t *testing.T) {
	for name, c := range map[string]struct {
		failing []string
		long    string   // what of five records of one second is 8 MB long
		want    []string // in the error; none: it is nil
	}{
		"records alone":  {},
		"long numbers":   {long: "number"},
		"long callUuids": {long: "callUuid", want: []string{"calls that began between 2026-01-31 11:47:00 and 2026-01-31 11:47:01 UTC could not be listed: the answer to list_calls is longer than 32 MiB"}},
		"no list of calls": {failing: []string{"list_calls"}, long: "number",
			want: []string{"the live calls could not be listed: sippet failed on list_calls (HTTP 500)", "the calls that this ledger started could not be listed"}},
		"no list of entries": {failing: []string{"list_bulk_outbound_call_entries"}, long: "number",
			want: []string{"the entries of bulk calls could not be listed: sippet failed on list_bulk_outbound_call_entries (HTTP 500)"}},
		"no list at all": {failing: []string{"list_calls", "list_bulk_outbound_call_entries"}, want: []string{"the live calls could not be listed", "the entries of bulk calls could not be listed"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, _ := gate(t, "desktop")
				up := &throng{began: time.Now(), people: 6, failing: map[string]bool{}, lists: map[string]int{}, ended: map[string]time.Duration{}}
				g.Upstream, g.Now = up, up.now
				for _, list := range c.failing {
					up.failing[list] = true
				}
				for i := range 3000 {
					up.rows = append(up.rows, crowdRow{uuid: fmt.Sprint("fake-", i), number: "+447700900555", at: noon.Add(-time.Duration(i) * time.Second)})
				}
				for i := range 5 {
					row := crowdRow{uuid: fmt.Sprint("long-", i), number: "+447700900555", at: noon.Add(-13 * time.Minute)}
					switch long := strings.Repeat("7", 8<<20); c.long {
					case "number":
						row.number = long
					case "callUuid":
						row.uuid += long
					}
					up.rows = append(up.rows, row)
				}
				own := 6
				for i := range 3 { // calls that our ledger started
					uuid := fmt.Sprint("own-", i)
					up.rows, own = append(up.rows, crowdRow{uuid: uuid, number: "+442079460123", agent: anID, at: noon, own: true}), own+1
					recordStart(t, g, uuid)
				}
				up.rows, own = append(up.rows, crowdRow{uuid: "other", number: "+442079460123", agent: anID, own: true, at: noon}), own+1
				g.Ledger = brokenStore{g.Ledger, "commit"} // thousands of records would take the test a minute
				if up.failing["list_calls"] {
					own-- // no list has it
				}
				if len(c.failing) == 2 {
					own -= 6
				}
				err := g.EndCalls(t.Context(), ledger.Actor{Name: "grace"}, func(policy.EndedCall) {})
				slowest := time.Duration(0)
				for _, rang := range up.ended {
					slowest = max(slowest, rang)
				}
				t.Logf("%d calls of ours were ended, the slowest after %s; %s in all; requests: %v", len(up.ended), slowest, time.Since(up.began), up.lists)
				if len(up.ended) != own || slowest > 5*time.Second {
					t.Errorf("%d of %d were ended, the slowest after %s: %v", len(up.ended), own, slowest, up.ended)
				}
				var unseen *policy.UnseenError
				if errors.As(err, &unseen) != (c.want != nil) || err != nil && unseen == nil {
					t.Fatalf("%v", err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v\nlacks %s", err, want)
					}
				}
			})
		})
	}
}

// recordStart records that somebody started a call that Sippet named so.
func recordStart(t *testing.T, g *policy.Gate, uuid string) {
	t.Helper()
	p := payload(t, "start_outbound_call", ringNumber)
	in, err := g.Ledger.Commit(t.Context(), ledger.Txn{Call: ledger.Call{Caller: ledger.Actor{Name: "ada"}, Organisation: g.Organisation, Action: p.Action.Name, Class: p.Action.Class,
		Hash: uuid, EffectKey: uuid, Payload: p.Body}})
	if err == nil {
		err = g.Ledger.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: fmt.Appendf(nil, `{"callUuid":%q}`, uuid)})
	}
	if err != nil {
		t.Fatal(err)
	}
}
