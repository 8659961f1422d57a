package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// TestOrphanTakenOver approves a request after its program has ended. A program with the same key
// runs it, once, also if its policy is another one.
func TestOrphanTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fix(t)
	first, one := w.stdio(t, nil)
	id, base := one.tool(t, "delete_contact", erase(1)).waits(t)
	w.heirs(t, 3)
	first.kill()
	<-first.ended
	ada := &answerer{base, w.ada}
	ada.approveOrphan(t, id)
	ada.awaitStatus(t, id, "ada approved, and it ran")
	time.Sleep(time.Second)
	if n := w.erased(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

// TestOrphanRevoked: a request on stdio cannot be approved after its program has ended, if no other
// program can run it. It is revoked, and says why. That of an HTTP server waits for the server.
func TestOrphanRevoked(t *testing.T) {
	for name, others := range map[string]func(t *testing.T, w *world) *answerer{
		"inbox serve": func(t *testing.T, w *world) *answerer {
			p, err := spawn([]string{"inbox", "serve", "--state-dir", w.dir})
			must(t, err)
			t.Cleanup(func() { p.kill(); <-p.ended })
			line, err := p.out.ReadString('\n')
			base := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
			if must(t, err); base == "" {
				t.Fatalf("no address: %s", line)
			}
			return &answerer{base, w.ada}
		},
		"a program with another key": func(t *testing.T, w *world) *answerer {
			_, c := w.stdio(t, []string{"SIPPET_SECRET_KEY=sk_test_fedcba9876543210"})
			_, base := c.tool(t, "delete_contact", erase(9)).waits(t)
			return &answerer{base, w.ada}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fix(t)
			first, one := w.stdio(t, nil)
			id, _ := one.tool(t, "delete_contact", erase(1)).waits(t)
			server, bob, _ := w.http(t)
			kept, _ := bob.tool(t, "delete_contact", erase(2)).waits(t)
			ada := others(t, w)
			for _, p := range []*process{first, server} {
				p.kill()
				<-p.ended
			}
			ended := time.Now()
			until(t, 6*time.Second, func() bool { _, err := ada.look(id); return err == nil }, func() string { return "no process serves the inbox" })
			if status, s, err := ada.say(id, "approve"); err != nil || status != http.StatusConflict || !strings.HasPrefix(s.Error, "this cannot be approved now, because the program that asked has ended") {
				t.Errorf("approving before it is revoked: %d %+v %v", status, s, err)
			}
			var q pending
			until(t, 25*time.Second, func() bool { q, _ = ada.look(id); return q.State != "pending" }, func() string { return fmt.Sprintf("it stays open: %+v", q) })
			if q.State != "revoked" || q.Status != "cannot be approved any more" || q.Detail != "the program that asked has ended; nothing ran" || q.Stamp != "" || q.By != (ledger.Actor{}) {
				t.Errorf("%+v", q)
			}
			if took := time.Since(ended); took < 5*time.Second {
				t.Errorf("it was revoked after %v, when another program could still start", took)
			}
			// Of the list, only what waits for the server can be approved.
			var list struct{ Open []pending }
			if _, err := ada.do("GET", "/api/approvals", "", &list); err != nil || slices.ContainsFunc(list.Open, func(q pending) bool { return q.ID == id }) ||
				!slices.ContainsFunc(list.Open, func(q pending) bool { return q.ID == kept }) {
				t.Errorf("%+v %v", list, err)
			}
			// The program that is started again tells why, asks anew, and does not run the old one.
			_, again := w.stdio(t, nil)
			if r := again.tool(t, "approval_status", `{"id":"`+id+`"}`); r.outcome() != "unavailable" ||
				!strings.Contains(r.Result.StructuredContent.Message, "this cannot be approved any more, because the program that asked has ended; nothing ran") {
				t.Errorf("%+v", r.Result)
			}
			ada.approve(t, kept)
			w.http(t)
			ada.awaitStatus(t, kept, "ada approved, and it ran")
			if n, kept := w.erased(), w.erasedOf(2); n != 1 || kept != 1 {
				t.Errorf("%d calls ran, the one of the server %d times", n, kept)
			}
		})
	}
}

// heirs starts processes with the same key, and one more policy.
func (w *world) heirs(t *testing.T, n int) {
	t.Helper()
	for range n {
		w.stdio(t, nil, "--policy", "desktop")
	}
}

// TestApprovalThatNobodyRuns: an approval that no process uses expires after a minute. Approver and
// requester are told, and it does not run later.
func TestApprovalThatNobodyRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	w := newWorld(t)
	first, one, _ := w.http(t)
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
	_, two, ada := w.http(t) // it could have run it earlier
	r := two.tool(t, "approval_status", `{"id":"`+id+`"}`)
	if r.outcome() != "denied" || !strings.Contains(r.Result.StructuredContent.Message, "ada approved, but the call could not run in time, so the approval has expired; nothing ran") {
		t.Errorf("%+v", r.Result)
	}
	again, _ := two.tool(t, "delete_contact", erase(1)).waits(t)
	if again == id {
		t.Error("the expired request is used for the new call")
	}
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
	first, one, _ := w.http(t)
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
