package tools_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// request waits for the first request in the inbox and returns it.
func (w *world) request(t testing.TB) ledger.ApprovalRequest {
	t.Helper()
	var all []ledger.ApprovalRequest
	waitFor(t, func() bool {
		all = newRequests(t, w, nil)
		return len(all) > 0
	})
	return all[0]
}

// TestClientLeavesWhileWaiting checks a client that disconnects while its call is pending: the
// repeated call gets the outcome, once, and does not run again.
func TestClientLeavesWhileWaiting(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: 20 * time.Second})
	p := overHTTP(t, w.listen(t, adaCaller(true)), true)
	p.capabilities = withoutForms
	const args = `{"input":{"fullName":"approve 1"}}`
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", p.wire.(*httpWire).url, bytes.NewReader([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+p.meta()+`,"name":"create_contact","arguments":`+args+`}}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = p.headers("tools/call", "create_contact")
	left := make(chan struct{})
	go func() {
		defer close(left)
		res, err := p.wire.(*httpWire).client.Do(r)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	id := w.request(t).ID
	cancel()
	<-left
	if got := w.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	waitFor(t, func() bool {
		in, err := w.gate.Ledger.Intents(t.Context(), ledger.IntentFilter{State: ledger.Succeeded})
		return err != nil || len(in) > 0
	})
	again := p.callOnce("create_contact", args, "")
	if again.outcome(t) != "done" || again.text(t, "approvedBy") != "bob" || again.field(t, "result") == nil || runs(w.up.Requests()) != 1 {
		t.Errorf("%s, %d runs", again.Frame, runs(w.up.Requests()))
	}
	w.runner.Inbox.Wait = time.Millisecond
	if third := p.callOnce("create_contact", args, ""); third.outcome(t) != "approval_pending" || runs(w.up.Requests()) != 1 {
		t.Errorf("%s, %d runs", third.Frame, runs(w.up.Requests()))
	}
	all := newRequests(t, w, map[string]bool{id: true})
	if len(all) != 1 || all[0].Repeats == "" {
		t.Errorf("the new request is %+v", all)
	}
}

// TestReportedOnlyIfReceived checks that an outcome does not count as reported if the client left
// before, and does if only the wait has ended.
func TestReportedOnlyIfReceived(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Millisecond})
	q := tools.Request{Caller: adaCaller(false).Caller, Action: "create_contact", Args: []byte(`{"input":{"fullName":"approve 1"}}`)}
	pending := w.runner.Call(t.Context(), q).Pending
	if got := w.approvals.Answer(t.Context(), []string{pending.ApprovalID}, approver, approval.Reply{}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx      context.Context
		reported bool
	}{{left, false}, {t.Context(), true}} {
		if res := w.runner.Await(c.ctx, left, q, pending, nil); res.Outcome != "declined" {
			t.Errorf("%s", res.Structured)
		}
		if g, err := w.gate.Ledger.Approval(t.Context(), pending.ApprovalID); err != nil || g.Reported != c.reported {
			t.Errorf("reported is %t, want %t, %v", g.Reported, c.reported, err)
		}
	}
}

// TestApprovedReadWithoutWait checks that a read that was approved runs in a call that may not wait.
func TestApprovedReadWithoutWait(t *testing.T) {
	w := newWorld(t, setup{policy: confirmAll, inbox: time.Minute})
	q := tools.Request{Caller: adaCaller(false).Caller, Action: "list_contacts", Args: []byte(`{}`)}
	pending := w.runner.Call(t.Context(), q).Pending
	if got := w.approvals.Answer(t.Context(), []string{pending.ApprovalID}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if res := w.runner.Await(t.Context(), over, q, pending, nil); res.Outcome != "done" {
		t.Errorf("%s", res.Structured)
	}
}

// TestServerStopsWhileWaiting checks that a waiting call answers approval_pending at once, and that
// its request remains pending.
func TestServerStopsWhileWaiting(t *testing.T) {
	for _, modern := range []bool{false, true} {
		w := newWorld(t, setup{policy: byName, inbox: time.Minute})
		p := w.overStdio(t, adaCaller(true), modern)
		p.capabilities = withoutForms
		reply := make(chan *reply, 1)
		go func() { reply <- p.callOnce("create_contact", `{"input":{"fullName":"approve 1"}}`, "") }()
		id := w.request(t).ID
		w.server.StopWaiting()
		select {
		case r := <-reply:
			if r.outcome(t) != "approval_pending" {
				t.Errorf("%s", r.Frame)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the call still waits")
		}
		if q, err := w.gate.Ledger.Approval(t.Context(), id); err != nil || q.State != ledger.Pending || q.Reported {
			t.Errorf("%+v, %v", q, err)
		}
	}
}

// TestNotifications checks that each new request is shown once, and not for a repeated call.
func TestNotifications(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Millisecond})
	var mu sync.Mutex
	var requested []string
	w.runner.Inbox.Show = func(c policy.Caller, q *policy.PendingApproval, _ bool) {
		mu.Lock()
		defer mu.Unlock()
		requested = append(requested, c.Person+" "+q.Card.Needs)
	}
	p := overHTTP(t, w.listen(t, adaCaller(false)), true)
	for _, name := range []string{"approve 1", "approve 1", "confirm 1", "approve 1", "validate 1"} {
		p.callOnce("create_contact", `{"input":{"fullName":"`+name+`"}}`, "")
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(requested, []string{"ada approve", "ada confirm"}) {
		t.Errorf("%q", requested)
	}
}
