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

// request waits for the first question in the inbox.
func (w *world) request(t testing.TB) ledger.ApprovalRequest {
	t.Helper()
	for range 5000 {
		if all := newIn(t, w, nil); len(all) > 0 {
			return all[0]
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("nothing came to the inbox")
	return ledger.ApprovalRequest{}
}

// TestClientGoesAwayWhileItWaits: what comes of its question then is the answer to the same call, once; it does not run again.
func TestClientGoesAwayWhileItWaits(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: 20 * time.Second})
	p := overHTTP(t, w.listen(t, adaAsks(true)), true)
	p.capabilities = noForms
	const args = `{"input":{"fullName":"approve 1"}}`
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", p.wire.(*httpWire).url, bytes.NewReader([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+p.meta()+`,"name":"create_contact","arguments":`+args+`}}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = p.headers("tools/call", "create_contact")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		res, err := p.wire.(*httpWire).client.Do(r)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	id := w.request(t).ID
	cancel()
	<-gone
	if got := w.approvals.Answer(t.Context(), []string{id}, approver, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	for {
		if q, err := w.gate.Ledger.Approval(t.Context(), id); err != nil || q.State == ledger.Used {
			break
		}
		time.Sleep(time.Millisecond)
	}
	again := p.once("create_contact", args, "")
	if again.outcome(t) != "done" || again.text(t, "approvedBy") != "bob" || again.field(t, "result") == nil || runs(w.up.Requests()) != 1 {
		t.Errorf("%s, %d runs", again.Frame, runs(w.up.Requests()))
	}
	w.runner.Inbox.Wait = time.Millisecond
	if third := p.once("create_contact", args, ""); third.outcome(t) != "approval_pending" || runs(w.up.Requests()) != 1 {
		t.Errorf("%s, %d runs", third.Frame, runs(w.up.Requests()))
	}
	all := newIn(t, w, map[string]bool{id: true})
	if len(all) != 1 || all[0].Repeats == "" {
		t.Errorf("asked anew: %+v", all)
	}
}

// TestToldIsWhatSomebodyHears: an answer that comes when the client has gone away was not heard.
func TestToldIsWhatSomebodyHears(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Millisecond})
	q := tools.Request{Caller: adaAsks(false).Caller, Action: "create_contact", Args: []byte(`{"input":{"fullName":"approve 1"}}`)}
	pending := w.runner.Call(t.Context(), q).Pending
	if got := w.approvals.Answer(t.Context(), []string{pending.ApprovalID}, approver, approval.Reply{}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		told bool
	}{{gone, false}, {t.Context(), true}} {
		if res := w.runner.Await(c.ctx, q, pending); res.Outcome != "declined" {
			t.Errorf("%s", res.Structured)
		}
		if g, err := w.gate.Ledger.Approval(t.Context(), pending.ApprovalID); err != nil || g.Reported != c.told {
			t.Errorf("told is %t, want %t, %v", g.Reported, c.told, err)
		}
	}
}

// TestServerEndsWhileItWaits: the call hears at once that it is pending, and the question stays.
func TestServerEndsWhileItWaits(t *testing.T) {
	for _, modern := range []bool{false, true} {
		w := newWorld(t, setup{policy: byName, inbox: time.Minute})
		p := w.overStdio(t, adaAsks(true), modern)
		p.capabilities = noForms
		reply := make(chan *reply, 1)
		go func() { reply <- p.once("create_contact", `{"input":{"fullName":"approve 1"}}`, "") }()
		id := w.request(t).ID
		w.server.StopWaiting()
		select {
		case r := <-reply:
			if r.outcome(t) != "approval_pending" {
				t.Errorf("%s", r.Frame)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits on")
		}
		if q, err := w.gate.Ledger.Approval(t.Context(), id); err != nil || q.State != ledger.Pending || q.Reported {
			t.Errorf("%+v, %v", q, err)
		}
	}
}

// TestWhoIsNotified: of each new one, once; not of a call that waits for one that was there.
func TestWhoIsNotified(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Millisecond})
	var mu sync.Mutex
	var told []string
	w.runner.Inbox.Requested = func(c policy.Caller, q *policy.PendingApproval) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, c.Person+" "+q.Card.Needs)
	}
	p := overHTTP(t, w.listen(t, adaAsks(false)), true)
	for _, name := range []string{"approve 1", "approve 1", "confirm 1", "approve 1", "validate 1"} {
		p.once("create_contact", `{"input":{"fullName":"`+name+`"}}`, "")
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, []string{"ada approve", "ada confirm"}) {
		t.Errorf("%q", told)
	}
}
