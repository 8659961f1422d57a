package tools_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// TestFastAccepts checks that however often a program accepts its own dialogues, at once, nothing
// runs, and that its person can still decide.
func TestFastAccepts(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Millisecond, now: func() time.Time { return noon }})
	url := w.listen(t, adaCaller(true))
	const args = `{"input":{"fullName":"confirm 1"}}`
	replies := 1000
	if testing.Short() {
		replies = 100
	}
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			p := overHTTP(t, url, true)
			p.think = nil
			for range replies / 4 {
				state := p.callOnce("create_contact", args, "").Result.RequestState
				if r := p.retry("create_contact", args, state, accepts); r.outcome(t) != "approval_pending" || state == "" {
					t.Errorf("%s", r.Frame)
					return
				}
			}
		})
	}
	done.Wait()
	// The first calls, at the same moment, make a request each, and the last one replaces the others.
	all := slices.DeleteFunc(newRequests(t, w, nil), func(q ledger.ApprovalRequest) bool { return q.State == ledger.Revoked && q.By == (ledger.Actor{}) })
	if len(all) != 1 || all[0].State != ledger.Pending || all[0].By != (ledger.Actor{}) || runs(w.up.Requests()) != 0 {
		t.Fatalf("%d requests, %+v, %d runs", len(all), all, runs(w.up.Requests()))
	}
	records, err := w.gate.Ledger.Records(t.Context(), ledger.Filter{ApprovalID: all[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Phase == ledger.PhaseAnswered {
			t.Errorf("recorded as a person's answer: %+v", r)
		}
	}
	if got := w.approvals.Answer(t.Context(), []string{all[0].ID}, requester, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Error(got[0].Err)
	}
	waitFor(t, func() bool { return runs(w.up.Requests()) == 1 })
}

// TestDeclineRacesApproval checks a decline through the client and an approval in the inbox at the
// same moment: either it is declined and nothing ran, or it ran before the decline came.
func TestDeclineRacesApproval(t *testing.T) {
	w := newWorld(t, setup{policy: byName})
	p := overHTTP(t, w.listen(t, adaCaller(true)), true)
	seen := map[ledger.ApprovalState]int{}
	for n := range 30 {
		args := fmt.Sprintf(`{"input":{"fullName":"confirm %d"}}`, n)
		state := p.callOnce("create_contact", args, "").Result.RequestState
		w.think()
		w.up.Forget()
		var race sync.WaitGroup
		race.Go(func() {
			w.approvals.Answer(context.Background(), []string{idOfState(state)}, requester, approval.Reply{Approve: true})
		})
		race.Go(func() {
			time.Sleep(time.Duration(n%6) * 300 * time.Microsecond)
			p.retry("create_contact", args, state, declines)
		})
		race.Wait()
		var q ledger.ApprovalRequest
		waitFor(t, func() bool {
			q, _ = w.gate.Ledger.Approval(t.Context(), idOfState(state))
			return q.State != ledger.Approved
		})
		seen[q.State]++
		ran := runs(w.up.Requests())
		if q.State == ledger.Used != (ran == 1) || q.State == ledger.Declined != (ran == 0) || ran > 1 {
			t.Errorf("it is %s by %s, and ran %d times", q.State, q.By, ran)
		}
		if err := w.gate.Ledger.LiftPause(t.Context(), q.ID, ledger.Actor{Name: "root"}); err != nil && !errors.Is(err, ledger.ErrNoPause) { // three declines in a row
			t.Fatal(err)
		}
	}
	t.Logf("%v", seen)
}

// TestDeclineBeatsApproval checks that a decline through the client ends an approval that is not
// used yet.
func TestDeclineBeatsApproval(t *testing.T) {
	w := newWorld(t, setup{policy: byName, idle: true})
	p := overHTTP(t, w.listen(t, adaCaller(true)), true)
	const args = `{"input":{"fullName":"confirm 1"}}`
	state := p.callOnce("create_contact", args, "").Result.RequestState
	if got := w.approvals.Answer(t.Context(), []string{idOfState(state)}, requester, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	if r := p.retry("create_contact", args, state, declines); r.outcome(t) != "declined" {
		t.Errorf("%s", r.Frame)
	}
	if q, err := w.gate.Ledger.Approval(t.Context(), idOfState(state)); err != nil || q.State != ledger.Declined || q.By.Via != "client test 1" {
		t.Errorf("%+v, %v", q, err)
	}
	checkNothingRan(t, w)
}

// TestOneCallWaits checks that of the calls of one caller one waits for a person, and that calls of
// others wait beside it.
func TestOneCallWaits(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: 20 * time.Second})
	call := func(who tools.Caller, n int) chan *reply {
		out := make(chan *reply, 1)
		p := overHTTP(t, w.listen(t, who), true)
		p.capabilities = withoutForms
		go func() { out <- p.callOnce("create_contact", fmt.Sprintf(`{"input":{"fullName":"confirm %d"}}`, n), "") }()
		return out
	}
	bo := tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "bo", Via: "test"}, ID: "bo", Person: "bo"}}
	first := call(adaCaller(false), 1)
	waitFor(t, func() bool { return len(newRequests(t, w, nil)) == 1 })
	other := call(bo, 2)
	waitFor(t, func() bool { return len(newRequests(t, w, nil)) == 2 })
	select {
	case r := <-call(adaCaller(false), 3):
		if r.outcome(t) != "approval_pending" {
			t.Errorf("%s", r.Frame)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the second call waits too")
	}
	if len(first) != 0 || len(other) != 0 {
		t.Fatal("the first call of each caller does not wait")
	}
	for _, q := range newRequests(t, w, nil) {
		w.approvals.Answer(t.Context(), []string{q.ID}, approver, approval.Reply{Approve: true})
	}
	for _, c := range []chan *reply{first, other} {
		if r := <-c; r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
	}
}

// TestDeparture checks that a request tells whether the program that asked still waits, and that it
// waits again once it repeats its call.
func TestDeparture(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: 20 * time.Second})
	p := overHTTP(t, w.listen(t, adaCaller(true)), true)
	p.capabilities = withoutForms
	const args = `{"input":{"fullName":"confirm 1"}}`
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", p.wire.(*httpWire).url, bytes.NewReader([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+p.meta()+`,"name":"create_contact","arguments":`+args+`}}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = p.headers("tools/call", "create_contact")
	left := make(chan struct{})
	go func() {
		defer close(left)
		if res, err := p.wire.(*httpWire).client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	id := w.request(t).ID
	time.Sleep(50 * time.Millisecond) // it waits
	if q := w.request(t); !q.Departed.IsZero() {
		t.Errorf("it departed while it waits: %+v", q)
	}
	cancel()
	<-left
	waitFor(t, func() bool { return !w.request(t).Departed.IsZero() })
	w.runner.Inbox.Wait = time.Millisecond
	if r := p.callOnce("create_contact", args, ""); r.outcome(t) != "approval_pending" {
		t.Errorf("%s", r.Frame)
	}
	if q := w.request(t); q.ID != id || !q.Departed.IsZero() || q.State != ledger.Pending {
		t.Errorf("after the repeated call: %+v", q)
	}
}

// TestWhenOthersAreShown checks when a request is shown to approvers and the browser opens: at once
// if the client asks nobody, and otherwise later and only if nobody has answered. A client that is
// known to draw dialogues keeps the browser closed, unless it answers by itself.
func TestWhenOthersAreShown(t *testing.T) {
	for name, c := range map[string]struct {
		client, capabilities, answer string
		think                        time.Duration
		want                         []string
	}{
		"no dialogue":                          {"test", withoutForms, "", 0, []string{"at once, browser"}},
		"a client that draws nothing":          {"claude-ai", withForms, accepts, time.Minute, []string{"at once, browser"}},
		"silence":                              {"test", withForms, "", 0, []string{"later, browser"}},
		"silence of a client that draws":       {"claude-code", withForms, "", 0, []string{"later, quiet"}},
		"an instant cancel":                    {"test", withForms, cancels, 0, []string{"later, browser"}},
		"an instant cancel of one that draws":  {"claude-code", withForms, cancels, 0, []string{"later, browser"}},
		"a person's cancel":                    {"test", withForms, cancels, time.Minute, []string{"later, browser"}},
		"a person's cancel, of one that draws": {"claude-code", withForms, cancels, time.Minute, []string{"later, quiet"}},
		"a person's answer":                    {"test", withForms, accepts, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := ledgertest.NewClock(noon)
			w := newWorld(t, setup{policy: byName, inbox: 300 * time.Millisecond, now: clock.Now})
			w.gate.ClientFirst = 400 * time.Millisecond
			var mu sync.Mutex
			var shown []string
			began := time.Now()
			w.runner.Inbox.Show = func(_ policy.Caller, _ *policy.PendingApproval, quiet bool) {
				mu.Lock()
				defer mu.Unlock()
				when, how := "at once", ", browser"
				if time.Since(began) >= w.gate.ClientFirst {
					when = "later"
				}
				if quiet {
					how = ", quiet"
				}
				shown = append(shown, when+how)
			}
			p := overHTTP(t, w.listen(t, adaCaller(true)), true)
			p.client, p.capabilities, p.answer = c.client, c.capabilities, always(c.answer)
			p.think = func() { clock.Add(c.think) }
			p.call("create_contact", `{"input":{"fullName":"confirm 1"}}`)
			time.Sleep(time.Until(began.Add(w.gate.ClientFirst + 600*time.Millisecond)))
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(shown, c.want) {
				t.Errorf("%q, want %q", shown, c.want)
			}
		})
	}
}

// TestOpenedIsNoForm checks that a client that was sent the card's address cannot accept with a form
// that it declares in its second call only. Its decline counts.
func TestOpenedIsNoForm(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: 30 * time.Millisecond, now: func() time.Time { return noon }})
	p := overHTTP(t, w.listen(t, adaCaller(true)), true)
	const args = `{"input":{"fullName":"confirm 1"}}`
	p.capabilities = `{"elicitation":{"url":{}}}`
	state := p.callOnce("create_contact", args, "").Result.RequestState
	p.capabilities = withForms
	if r := p.retry("create_contact", args, state, accepts); r.outcome(t) != "approval_pending" || w.request(t).State != ledger.Pending {
		t.Errorf("%s: %+v", r.Frame, w.request(t))
	}
	if r := p.retry("create_contact", args, state, declines); r.outcome(t) != "declined" {
		t.Errorf("%s", r.Frame)
	}
	checkNothingRan(t, w)
}

// TestWaitCountsFromTheBeginning checks that the time that Sippet takes before a call waits is a part
// of its wait: clients give up soon after it.
func TestWaitCountsFromTheBeginning(t *testing.T) {
	w := newWorld(t, setup{policy: byName, inbox: time.Second})
	w.up.On("validate", "", func(rpctest.Request) rpctest.Answer {
		return rpctest.Answer{Status: 200, Body: `{"success":true,"errors":[]}`, Delay: 900 * time.Millisecond}
	})
	p := overHTTP(t, w.listen(t, adaCaller(false)), true)
	began := time.Now()
	if r := p.callOnce("create_contact", `{"input":{"fullName":"confirm 1"}}`, ""); r.outcome(t) != "approval_pending" {
		t.Errorf("%s", r.Frame)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

// TestWithdrawLeavesApproval checks that a program that ends does not withdraw an approval that was
// just given: its call runs first.
func TestWithdrawLeavesApproval(t *testing.T) {
	w := newWorld(t, setup{policy: byName, idle: true})
	q := tools.Request{Caller: adaCaller(false).Caller, Action: "create_contact", Args: []byte(`{"input":{"fullName":"confirm 1"}}`)}
	pending := w.runner.Call(t.Context(), q).Pending
	if got := w.approvals.Answer(t.Context(), []string{pending.ApprovalID}, requester, approval.Reply{Approve: true}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	ended := make(chan tools.Result, 1)
	go func() { ended <- w.runner.Withdraw(t.Context(), q, pending) }()
	time.Sleep(50 * time.Millisecond) // the executor is slow
	ctx, stop := context.WithCancel(t.Context())
	var executor sync.WaitGroup
	executor.Go(func() {
		(&policy.Executor{Ledger: w.gate.Ledger, Watch: w.watch, Log: w.gate.Log, GateFor: w.gateFor}).Run(ctx)
	})
	if r := <-ended; r.Outcome != schemas.Done {
		t.Errorf("%s", r.Structured)
	}
	stop()
	executor.Wait()
}
