package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestEraseBeforeRun: a person is erased while an approved call to them and another person is about
// to run. It does not run, and the caller is told why. The very same call makes a new request with a
// card that says so, and runs once after a new approval.
func TestEraseBeforeRun(t *testing.T) {
	args := `{"input":{"contactIds":["` + rpctest.ID(1) + `","` + rpctest.ID(2) + `"]}}`
	for _, profile := range []string{"desktop", "team", "unattended"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, client := w.under(t, profile)
			first := client.tool(t, "start_bulk_outbound_call", args)
			if profile == "unattended" {
				if first.outcome() != "denied" || ran(w.up, "start_bulk_outbound_call") != 0 {
					t.Errorf("%+v", first.Result)
				}
				return
			}
			id, base := first.waits(t)
			ada := &answerer{base, w.ada}
			hold := make(chan struct{})
			validated := make(chan struct{}, 10)
			w.up.On(rpctest.Validate, "start_bulk_outbound_call", func(rpctest.Request) rpctest.Answer {
				validated <- struct{}{}
				return rpctest.Answer{Usual: true, Until: hold}
			})
			ada.approve(t, id)
			<-validated // the approved call is on its way
			w.run(t, "audit", "erase", "contact:"+rpctest.ID(2), "--yes")
			close(hold)
			var r *reply
			until(t, 10*time.Second, func() bool {
				r = client.tool(t, "approval_status", `{"id":"`+id+`"}`)
				return r.outcome() == "denied"
			}, func() string { return "the caller is not told that it did not run" })
			if m := r.Result.StructuredContent.Message; !strings.Contains(m, "erased together with a person's data; nothing ran") {
				t.Errorf("the caller is told %q", m)
			}
			second, _ := client.tool(t, "start_bulk_outbound_call", args).waits(t)
			if q, err := ada.look(second); err != nil || second == id || !strings.Contains(q.Card.Earlier, "a person on its card was erased here since") {
				t.Errorf("the new card: %+v, %v", q, err)
			}
			if n := ran(w.up, "start_bulk_outbound_call"); n != 0 {
				t.Fatalf("it ran %d times by the approval of the erased card", n)
			}
			ada.approve(t, second)
			ada.awaitStatus(t, second, "it ran")
			if n := ran(w.up, "start_bulk_outbound_call"); n != 1 {
				t.Errorf("it ran %d times", n)
			}
			w.run(t, "audit", "verify")
		})
	}
}
