//go:build unix

package main

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestRestartWhilePending restarts a server while a request is pending. The request stays, and the
// requester gets the result afterwards.
func TestRestartWhilePending(t *testing.T) {
	for name, signal := range map[string]os.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			addr, err := freeAddress()
			must(t, err)
			p, bob, _ := w.http(t, "--addr", addr, "--approval-wait", "45s")
			type ended struct {
				r   *reply
				err error
			}
			calls := make(chan ended, 1)
			id, _ := bob.tool(t, "delete_contact", erase(1)).waits(t) // at once, because another person must approve
			go func() {
				r, err := bob.call("approval_status", `{"id":"`+id+`"}`, "")
				calls <- ended{r, err}
			}()
			time.Sleep(300 * time.Millisecond)
			select {
			case call := <-calls:
				t.Fatalf("approval_status does not wait: %+v %v", call.r, call.err)
			default:
			}
			began := time.Now()
			must(t, p.cmd.Process.Signal(signal))
			<-p.ended
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("a waiting call delayed the end for %v", took)
			}
			switch call := <-calls; {
			case signal == syscall.SIGKILL && call.err == nil:
				t.Errorf("a dead server answered: %+v", call.r)
			case signal == syscall.SIGKILL:
			case call.err != nil:
				t.Errorf("the waiting call got no answer: %v", call.err)
			default:
				if got, _ := call.r.waits(t); got != id {
					t.Errorf("the call got request %s, and %s is pending", got, id)
				}
			}
			_, bob, ada := w.http(t, "--addr", addr)
			if q, err := ada.look(id); err != nil || q.State != "pending" || !strings.HasPrefix(q.Card.Title, "Erase the contact") {
				t.Errorf("the request is missing: %+v %v", q, err)
			}
			if again, _ := bob.tool(t, "delete_contact", erase(1)).waits(t); again != id {
				t.Error("the same call again made another request")
			}
			status := func() *reply { return bob.tool(t, "approval_status", `{"id":"`+id+`"}`) }
			if got, _ := status().waits(t); got != id || w.erased() != 0 {
				t.Errorf("before the answer: %s, and it ran %d times", got, w.erased())
			}
			ada.approve(t, id)
			ada.awaitStatus(t, id, "ada approved, and it ran")
			if r := status(); r.outcome() != "done" || r.Result.StructuredContent.ApprovedBy != "ada" {
				t.Errorf("%+v", r.Result)
			}
			if n := w.erased(); n != 1 {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}

// TestApprovalWhileStopping approves while the server ends. The call runs once if the approval was
// accepted, and at most once if the approver got no answer.
func TestApprovalWhileStopping(t *testing.T) {
	const rounds, step = 16, time.Millisecond
	w := newWorld(t)
	w.up.On(rpctest.Run, "delete_contact", rpctest.Always(rpctest.Answer{Usual: true, Delay: 20 * time.Millisecond}))
	addr, err := freeAddress()
	must(t, err)
	p, bob, ada := w.http(t, "--addr", addr)
	accepted, adopted, lost, waits := 0, 0, 0, 0
	for round := range rounds {
		id, _ := bob.tool(t, "delete_contact", erase(round)).waits(t)
		q, err := ada.look(id)
		must(t, err)
		// At moments before, during and after the answer.
		time.AfterFunc(time.Duration(round)*step, func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) })
		time.Sleep(rounds / 3 * step)
		code, s, err := ada.answer(&q, "approve")
		<-p.ended
		before := w.erasedOf(round)
		p, bob, ada = w.http(t, "--addr", addr)
		switch {
		case err == nil && code == http.StatusOK && s.State == string(ledger.Approved):
			if accepted++; before == 0 {
				adopted++
			}
			ada.awaitStatus(t, id, "ada approved, and it ran")
		case err != nil: // the approver got no answer
			lost++
			if q, err = ada.look(id); err != nil {
				t.Fatal(err)
			}
			if q.State == "pending" && before == 0 {
				waits++
				time.Sleep(100 * time.Millisecond)
				if n := w.erasedOf(round); n != 0 {
					t.Errorf("round %d: no approval is recorded, and it ran %d times", round, n)
				}
				continue
			}
			ada.awaitStatus(t, id, "ada approved, and it ran")
		default:
			t.Errorf("round %d: %d %+v", round, code, s)
		}
		if n := w.erasedOf(round); n != 1 {
			t.Errorf("round %d: it ran %d times", round, n)
		}
		if r := bob.tool(t, "approval_status", `{"id":"`+id+`"}`); r.outcome() != "done" {
			t.Errorf("round %d: the requester gets %+v", round, r.Result)
		}
	}
	t.Logf("%d approvals were accepted while the server ended, %d of them run by the next one; %d got no answer, and %d of those are pending", accepted, adopted, lost, waits)
}

// erasedOf returns how often the upstream erased the n-th contact.
func (w *world) erasedOf(n int) (times int) {
	for _, r := range w.up.Requests() {
		if r.Endpoint == rpctest.Run && r.Action == "delete_contact" && bytes.Contains(r.Body, []byte(rpctest.ID(n))) {
			times++
		}
	}
	return times
}
