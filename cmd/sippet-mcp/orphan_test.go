package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestOrphans approves a request after its process has ended. A process with the same key and
// policy runs it, once; no other process does.
func TestOrphans(t *testing.T) {
	for name, c := range map[string]struct {
		others bool // start processes with another key or policy first
		heirs  int
	}{
		"several heirs":           {heirs: 3},
		"others before the heirs": {others: true, heirs: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fix(t)
			first, one := w.stdio(t, nil)
			id, base := one.tool(t, "delete_contact", erase(1)).waits(t)
			if c.others {
				w.stdio(t, []string{"SIPPET_SECRET_KEY=sk_test_fedcba9876543210"})
				w.stdio(t, nil, "--policy", "desktop")
			} else {
				w.heirs(t, c.heirs)
			}
			first.kill()
			<-first.ended
			ada := &answerer{base, w.ada}
			until(t, 6*time.Second, func() bool { _, err := ada.look(id); return err == nil }, func() string { return "no process serves the inbox" })
			ada.approve(t, id)
			if c.others {
				time.Sleep(6 * time.Second) // each has checked it
				q, err := ada.look(id)
				if err != nil || q.State != string(ledger.Approved) || q.Status != "ada approved, and it is about to run" || q.Expires.Sub(q.Answered) > time.Minute {
					t.Errorf("an approval that no process can use: %+v %v", q, err)
				}
				if n := w.erased(); n != 0 {
					t.Errorf("it ran %d times", n)
				}
				w.heirs(t, c.heirs)
			}
			ada.awaitStatus(t, id, "ada approved, and it ran")
			time.Sleep(time.Second)
			if n := w.erased(); n != 1 {
				t.Errorf("it ran %d times", n)
			}
		})
	}
}

// heirs starts processes with the same key and policy.
func (w *world) heirs(t *testing.T, n int) {
	t.Helper()
	for range n {
		w.stdio(t, nil)
	}
}

// TestApprovalThatNobodyRuns: an approval that no process uses expires after a minute. Approver and
// requester are told, and it does not run later.
func TestApprovalThatNobodyRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	w := newWorld(t)
	w.fix(t)
	first, one := w.stdio(t, nil)
	id, _ := one.tool(t, "delete_contact", erase(1)).waits(t)
	first.kill()
	<-first.ended
	token := tokenFile(t, w.ada)
	answered := make(chan bool)
	go func() {
		defer close(answered)
		began := time.Now()
		code, out, errs := at(t, t.Context(), &person{answer: "approve\n"}, w.dir, "approvals", "approve", id, "--token-file", token)
		if code != 1 || out != "" || !strings.Contains(errs, "approved, but it did not run: the program that asked has ended, and the approval has expired") {
			t.Errorf("%d: %s%s", code, out, errs)
		}
		if took := time.Since(began); took < time.Minute || took > 75*time.Second {
			t.Errorf("it took %v", took)
		}
	}()
	t.Parallel() // the minute passes while others run
	<-answered
	_, two := w.stdio(t, nil) // it could have run it earlier
	r := two.tool(t, "approval_status", `{"id":"`+id+`"}`)
	if r.outcome() != "denied" || !strings.Contains(r.Result.StructuredContent.Message, "ada approved, but the call could not run in time, so the approval has expired; nothing ran") {
		t.Errorf("%+v", r.Result)
	}
	again, base := two.tool(t, "delete_contact", erase(1)).waits(t)
	if again == id {
		t.Error("the expired request is used for the new call")
	}
	ada := &answerer{base, w.ada}
	if q, err := ada.look(id); err != nil || q.State != "expired" || q.Status != "ada approved, but it did not run in time" {
		t.Errorf("%+v %v", q, err)
	}
	if n := w.erased(); n != 0 {
		t.Errorf("it ran %d times", n)
	}
	ada.approve(t, again)
	ada.awaitStatus(t, again, "ada approved, and it ran")
	if n := w.erased(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

// TestApprovalNotAwaited: an approver who does not wait is not told that it did not run.
func TestApprovalNotAwaited(t *testing.T) {
	w := newWorld(t)
	w.fix(t)
	first, one := w.stdio(t, nil)
	id, _ := one.tool(t, "delete_contact", erase(1)).waits(t)
	other, _ := one.tool(t, "delete_contact", erase(2)).waits(t)
	first.kill()
	<-first.ended
	token := tokenFile(t, w.ada)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.onceApproved(t, id, cancel)
	code, out, errs := at(t, ctx, &person{answer: "approve\n"}, w.dir, "approvals", "approve", id, "--token-file", token)
	if code != 1 || out != "" || !strings.Contains(errs, "approved; its result was not waited for, see `sippet-mcp approvals show "+id[:8]+" --state-dir "+w.dir+"`") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	// An emergency stop while they wait.
	go w.onceApproved(t, other, func() { _ = command("stop", "--state-dir", w.dir).Run() })
	code, out, errs = at(t, t.Context(), &person{answer: "approve\n"}, w.dir, "approvals", "approve", other, "--token-file", token)
	if code != 1 || out != "" || !strings.Contains(errs, "approved, but it did not run: the request was withdrawn, or an emergency stop revoked it") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if n := w.erased(); n != 0 {
		t.Errorf("it ran %d times", n)
	}
}

// onceApproved calls do when the request has an answer.
func (w *world) onceApproved(t *testing.T, id string, do func()) {
	for t.Context().Err() == nil {
		// In another process, because this one has the ledger open.
		out, _ := command("audit", "list", "--phase", "answered", "--state-dir", w.dir).Output()
		if bytes.Contains(out, []byte(`"approval":"`+id+`"`)) {
			do()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
