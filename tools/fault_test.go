package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// validateFaults are the faults of validate.
var validateFaults = map[string]struct {
	handler rpctest.Handler
	outcome string
	slow    bool
}{
	"rejected":    {rpctest.Refuse("invalid_attribute", "is invalid"), "validation_failed", false},
	"forbidden":   {rpctest.Faults(), "validation_failed", false},
	"401":         {rpctest.Status(401, "no"), "upstream_error", false},
	"403":         {rpctest.Status(403, ""), "upstream_error", false},
	"404":         {rpctest.Status(404, "<html>"), "upstream_error", false},
	"429":         {rpctest.Status(429, "", 1), "upstream_error", true},
	"500":         {rpctest.Status(500, `{"errors":{"detail":"Internal Server Error"}}`), "upstream_unavailable", false},
	"503":         {rpctest.Status(503, ""), "upstream_unavailable", false},
	"HTML":        {rpctest.HTML, "upstream_unavailable", false},
	"truncated":   {rpctest.Truncated, "upstream_unavailable", false},
	"oversize":    {rpctest.Oversize, "upstream_unavailable", true},
	"hang":        {rpctest.Hang, "upstream_unavailable", true},
	"reset after": {rpctest.Reset, "upstream_unavailable", false},
}

type fault struct {
	name    string
	handler rpctest.Handler
	// read and write are the outcomes of a read and of a confirmed write.
	read, write string
	retryAfter  int
	// attempts is how often the read is tried.
	attempts int
}

// runFaults are the faults of run. The outcome of a read is never unknown, because it changes
// nothing.
var runFaults = []fault{
	{"rejected", rpctest.Refuse("not_found", "record not found"), "upstream_error", "upstream_error", 0, 1},
	{"forbidden", rpctest.Faults(), "upstream_error", "upstream_error", 0, 1},
	{"400", rpctest.Status(400, `{"errors":{"detail":"Bad Request"}}`), "upstream_error", "upstream_error", 0, 1},
	{"401", rpctest.Status(401, "no"), "upstream_error", "upstream_error", 0, 1},
	{"403", rpctest.Status(403, `{"error":"no"}`), "upstream_error", "upstream_error", 0, 1},
	{"404", rpctest.Status(404, "<html>"), "upstream_error", "upstream_error", 0, 1},
	{"500", rpctest.Status(500, `{"errors":{"detail":"Internal Server Error"}}`), "upstream_error", "outcome_unknown", 0, 1},
	{"503", rpctest.Status(503, "<html>"), "upstream_unavailable", "outcome_unknown", 0, 3},
	{"503 with a time", rpctest.Status(503, "", 30), "upstream_unavailable", "outcome_unknown", 30, 1},
	{"HTML", rpctest.HTML, "upstream_unavailable", "outcome_unknown", 0, 3},
	{"truncated", rpctest.Truncated, "upstream_unavailable", "outcome_unknown", 0, 3},
	{"oversize", rpctest.Oversize, "upstream_error", "outcome_unknown", 0, 1},
	{"hang", rpctest.Hang, "upstream_unavailable", "outcome_unknown", 0, 1},
	{"reset after reading", rpctest.Reset, "upstream_unavailable", "outcome_unknown", 0, 3},
}

// leaks matches what no answer may contain: a proxy's page, an address, a stack, the key.
var leaks = regexp.MustCompile(`(?i)<html|127\.0\.0\.1|goroutine|sk_test`)

func TestUpstreamFaults(t *testing.T) {
	for _, f := range runFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := setup{}
			if f.name == "hang" {
				s.deadline = 400 * time.Millisecond
			}
			w := newWorld(t, s)
			p := w.httpPeer(t, true)
			w.up.On("run", "", f.handler)

			r := p.call("list_contacts", `{"fields":["id"]}`)
			checkFault(t, r, f.read, f.retryAfter)
			if n := len(w.up.Requests()); n != f.attempts {
				t.Errorf("the read was tried %d times, want %d", n, f.attempts)
			}

			w.up.Forget()
			body := w.canonical(t, "delete_contact", deleteArgs)
			r = p.call("delete_contact", deleteArgs)
			wait := f.retryAfter
			if f.write == "outcome_unknown" {
				wait = 0 // it would suggest a repeat
				if s := r.text(t, "nextStep"); !strings.Contains(s, "do not repeat") || !strings.Contains(s, "list_contacts") {
					t.Errorf("next step: %s", s)
				}
			}
			checkFault(t, r, f.write, wait)
			written := slices.DeleteFunc(lifecycle(w.up.Requests()), func(s string) bool { return strings.Contains(s, `"action":"list_`) }) // for the card
			if d := cmp.Diff([]string{"validate " + body, "validate " + body, "run " + body}, written); d != "" {
				t.Errorf("a write is sent once: %s", d)
			}

			// An unconfirmed write has the same outcome.
			w.up.Forget()
			w.up.On("run", "list_contacts", func(rpctest.Request) rpctest.Answer { return rpctest.Answer{Usual: true} }) // the contact is read first
			r = p.call("update_contact", samples["update_contact"])
			if r.outcome(t) != f.write || runs(w.up.Requests()) != 1 {
				t.Errorf("update_contact: %d runs, %s", runs(w.up.Requests()), r.Frame)
			}

			w.up.On("run", "list_contacts", nil)
			w.up.On("run", "", nil)
			checkWorks(t, w, p)
		})
	}
}

func checkFault(t *testing.T, r *reply, outcome string, retryAfter int) {
	t.Helper()
	checkShape(t, r)
	if got := r.outcome(t); got != outcome {
		t.Errorf("outcome %s, want %s: %s", got, outcome, r.Frame)
		return
	}
	ran := any(false)
	if outcome == "outcome_unknown" {
		ran = "unknown"
	}
	if r.field(t, "ran") != ran {
		t.Errorf("ran is %v with %s", r.field(t, "ran"), outcome)
	}
	var after any
	if retryAfter > 0 {
		after = json.Number(fmt.Sprint(retryAfter))
	}
	if got := r.field(t, "retryAfterSeconds"); got != after {
		t.Errorf("retryAfterSeconds is %v, want %v", got, after)
	}
	if found := leaks.Find(r.Frame); found != nil {
		t.Errorf("%q is in the answer: %s", found, r.Frame)
	}
}

// TestTooManyRequests checks that a write that Sippet rejects with HTTP 429 is repeated once, after the
// pause, and that during a longer pause calls are answered without a request.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	w.up.On("run", "delete_contact", rpctest.InTurn(rpctest.Status(429, "", 1), rpctest.Usual))
	body := w.canonical(t, "delete_contact", deleteArgs)
	if r := p.call("delete_contact", deleteArgs); r.outcome(t) != "done" {
		t.Errorf("%s", r.Frame)
	}
	written := slices.DeleteFunc(lifecycle(w.up.Requests()), func(s string) bool { return strings.Contains(s, `"action":"list_`) }) // for the card
	if d := cmp.Diff([]string{"validate " + body, "validate " + body, "run " + body, "run " + body}, written); d != "" {
		t.Error(d)
	}
	w.up.On("run", "list_contacts", rpctest.Status(429, "", 30))
	r := p.call("list_contacts", `{"fields":["id"]}`)
	checkFault(t, r, "upstream_error", 30)
	w.up.Forget()
	for _, call := range [][2]string{{"list_calls", `{"fields":["id"]}`}, {"create_contact", samples["create_contact"]}} {
		r := p.call(call[0], call[1])
		if r.outcome(t) != "upstream_unavailable" || r.field(t, "ran") != false || r.field(t, "retryAfterSeconds") == nil {
			t.Errorf("%s", r.Frame)
		}
	}
	if n := len(w.up.Requests()); n != 0 {
		t.Errorf("%d requests during the pause", n)
	}
}

// TestConnectionRefused checks that a call over a refused connection answers that nothing was sent:
// a read, a validate, and the run of a write after a validate that passed.
func TestConnectionRefused(t *testing.T) {
	t.Run("read and validate", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.httpPeer(t, true)
		w.up.Down()
		for _, c := range [][2]string{{"list_contacts", "{}"}, {"delete_contact", deleteArgs}, {"update_contact", samples["update_contact"]}} {
			r := p.call(c[0], c[1])
			checkFault(t, r, "upstream_unavailable", 0)
		}
		if len(w.up.Requests()) != 0 || len(p.elicitations()) != 0 {
			t.Error("something was sent or asked")
		}
	})
	t.Run("run", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.httpPeer(t, true)
		w.up.On("validate", "", rpctest.InTurn(rpctest.Closing, func(r rpctest.Request) rpctest.Answer {
			w.up.Down()
			return rpctest.Closing(r)
		}))
		r := p.call("delete_contact", deleteArgs)
		checkFault(t, r, "upstream_unavailable", 0)
		checkNothingRan(t, w)
		if n := len(w.up.Requests()); n != 5 {
			t.Errorf("%d requests, want two validates and three reads for the card", n)
		}
	})
	t.Run("the approval was used", func(t *testing.T) {
		w := newWorld(t, setup{})
		p := w.httpPeer(t, true)
		w.up.On("run", "", rpctest.Reset)
		state := p.callOnce("delete_contact", deleteArgs, "").Result.RequestState
		if r := p.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "outcome_unknown" {
			t.Errorf("%s", r.Frame)
		}
		if r := p.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "outcome_unknown" || runs(w.up.Requests()) != 1 {
			t.Errorf("one approval ran it twice: %s", r.Frame)
		}
	})
}

// TestClientLeaves checks that a running write is completed after its client has left.
func TestClientLeaves(t *testing.T) {
	w := newWorld(t, setup{})
	hold := make(chan struct{})
	ended := make(chan struct{})
	w.up.On("run", "update_contact", func(rpctest.Request) rpctest.Answer {
		<-hold
		defer close(ended)
		return rpctest.Answer{Usual: true}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan tools.Result)
	go func() {
		done <- w.runner.Call(ctx, tools.Request{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Action: "update_contact", Args: []byte(`{"identity":"` + anID + `","input":{"fullName":"Ada text"}}`)})
	}()
	w.up.Await(t, 5) // two reads for the decision, the validation, a read of what is replaced, and the run
	cancel()
	close(hold)
	if r := <-done; r.Outcome != schemas.Done {
		t.Fatalf("%s", r.Structured)
	}
	<-ended
}
