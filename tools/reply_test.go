package tools_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

var selectReads = tools.Selection{ReadOnly: true}

const deleteArgs = `{"input":{"contactId":"` + anID + `"}}`

// runs counts the requests to run, without reads.
func runs(rs []rpctest.Request) (n int) {
	for _, r := range rs {
		if a, err := schemas.Find(r.Action); r.Endpoint == "run" && (err != nil || a.Class != schemas.Read) {
			n++
		}
	}
	return n
}

// TestReplyCountsOnce checks that a client's approval is for the call of its request only, and
// counts once.
func TestReplyCountsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		// second makes a call with the state of a pending request of delete_contact; it must not
		// run.
		second  func(p, other *peer, state string) *reply
		outcome string
		says    string
		// still is true if an approval with the request's own call counts afterwards.
		still bool
	}{
		"other arguments": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", `{"input":{"contactId":"`+anotherID+`"}}`, s, accepts)
		}, "denied", "another call", true},
		"other fields": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", `{"fields":["id"],"input":{"contactId":"`+anID+`"}}`, s, accepts)
		}, "denied", "another call", true},
		"another tool": {func(p, _ *peer, s string) *reply {
			return p.retry("archive_contact", samples["archive_contact"], s, accepts)
		}, "denied", "another call", true},
		"another caller": {func(_, o *peer, s string) *reply {
			return o.retry("delete_contact", deleteArgs, s, accepts)
		}, "denied", "not one of this caller's", true},
		"another caller declines": {func(_, o *peer, s string) *reply {
			return o.retry("delete_contact", deleteArgs, s, declines)
		}, "denied", "not one of this caller's", true},
		"a longer state": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleteArgs, s+"x", accepts)
		}, "denied", "not one of this caller's", true},
		"a state in capitals": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleteArgs, strings.ToUpper(s)+"0", accepts)
		}, "denied", "not one of this caller's", true},
		"a made-up state": {func(p, _ *peer, _ string) *reply {
			return p.retry("delete_contact", deleteArgs, "00000000000000000000000000000000", accepts)
		}, "denied", "not one of this caller's", true},
		"declined": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleteArgs, s, declines)
		}, "declined", "", false},
		"accepted without the box": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleteArgs, s, `{"action":"accept"}`)
		}, "approval_pending", "no clear answer", true},
		"accepted with a text": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleteArgs, s, `{"action":"accept","content":{"approve":"true"}}`)
		}, "approval_pending", "no clear answer", true},
		"accepted under another key": {func(p, _ *peer, s string) *reply {
			p.think()
			return p.callOnce("delete_contact", deleteArgs, `,"inputResponses":{"other":`+accepts+`},"requestState":"`+s+`"`)
		}, "approval_pending", "no clear answer", true},
		"accepted at once": {func(p, _ *peer, s string) *reply {
			return p.callOnce("delete_contact", deleteArgs, `,"inputResponses":{"approve":`+accepts+`},"requestState":"`+s+`"`)
		}, "approval_pending", "sooner than a person can", true},
		"no response": {func(p, _ *peer, s string) *reply {
			p.think()
			return p.callOnce("delete_contact", deleteArgs, `,"requestState":"`+s+`"`)
		}, "approval_pending", "no clear answer", true},
		"the client lost its capability": {func(p, _ *peer, s string) *reply {
			was := p.capabilities
			p.capabilities = `{}`
			defer func() { p.capabilities = was }()
			return p.retry("delete_contact", deleteArgs, s, accepts)
		}, "approval_pending", "", true},
		"bad arguments": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", `{}`, s, accepts)
		}, "invalid_arguments", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{inbox: 300 * time.Millisecond})
			p := w.httpPeer(t, true)
			other := overHTTP(t, w.listen(t, tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "eve"}}, Interactive: true}), true)
			q := p.callOnce("delete_contact", deleteArgs, "")
			state := q.Result.RequestState
			if state == "" {
				t.Fatalf("not asked: %s", q.Frame)
			}
			r := c.second(p, other, state)
			if r.outcome(t) != c.outcome || !strings.Contains(r.text(t, "message"), c.says) {
				t.Errorf("%s", r.Frame)
			}
			checkShape(t, r)
			checkNothingRan(t, w)
			w.runner.Inbox.Wait = 20 * time.Second
			after := p.retry("delete_contact", deleteArgs, state, accepts)
			if got, want := after.outcome(t) == "done", c.still; got != want {
				t.Errorf("afterwards the approval counted: %t, want %t: %s", got, want, after.Frame)
			}
			again := p.retry("delete_contact", deleteArgs, state, accepts)
			if again.outcome(t) != after.outcome(t) { // a reply after the end gets the outcome
				t.Errorf("replay: %s", again.Frame)
			}
			want := 0
			if c.still {
				want = 1
			}
			if n := runs(w.up.Requests()); n != want {
				t.Errorf("%d runs, want %d", n, want)
			}
		})
	}
}

func TestStateIsLongAndRandom(t *testing.T) {
	p := newWorld(t, setup{}).httpPeer(t, true)
	seen := map[string]bool{}
	for n := range 10 {
		s := p.callOnce("delete_contact", fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)), "").Result.RequestState
		if len(s) < 22 || seen[s] || strings.Contains(s, rpctest.ID(n)) {
			t.Errorf("state %q", s)
		}
		seen[s] = true
	}
}

// TestConcurrentRetries checks that of two replies to one dialogue at the same moment one runs the
// call, and both get its result.
func TestConcurrentRetries(t *testing.T) {
	for range 10 {
		w := newWorld(t, setup{inbox: 20 * time.Second})
		url := w.listen(t, ada)
		state := overHTTP(t, url, true).callOnce("delete_contact", deleteArgs, "").Result.RequestState
		var outcomes [2]string
		var done sync.WaitGroup
		for i := range outcomes {
			p := overHTTP(t, url, true)
			done.Go(func() { outcomes[i] = p.retry("delete_contact", deleteArgs, state, accepts).outcome(t) })
		}
		done.Wait()
		slices.Sort(outcomes[:])
		// The second waits for no answer, because the first already does.
		if got := strings.Join(outcomes[:], " "); runs(w.up.Requests()) != 1 || got != "done done" && got != "approval_pending done" {
			t.Errorf("%d runs, outcomes %s", runs(w.up.Requests()), got)
		}
	}
}

// TestRepeatedCall checks that a repeated call joins its pending request, and that either dialogue
// answers it.
func TestRepeatedCall(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	first := p.callOnce("delete_contact", deleteArgs, "").Result.RequestState
	second := p.callOnce("delete_contact", deleteArgs, "").Result.RequestState
	if a, b := idOfState(first), idOfState(second); a != b || first == "" {
		t.Errorf("two requests: %s, %s", a, b)
	}
	for _, state := range []string{first, second} {
		if r := p.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
	}
	if n := runs(w.up.Requests()); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// idOfState returns the id of the request that a dialogue is about.
func idOfState(state string) string {
	id, _, _ := strings.Cut(state, ".")
	return id
}

// TestPolicyChange checks that an approval counts under another version of the policy that needs no
// more.
func TestPolicyChange(t *testing.T) {
	up, store := rpctest.New(t), ledgertest.Open(t)
	p := newWorld(t, setup{up: up, ledger: store}).httpPeer(t, true)
	state := p.callOnce("delete_contact", deleteArgs, "").Result.RequestState
	q := newWorld(t, setup{up: up, ledger: store, policy: confirmAll}).httpPeer(t, true)
	if r := q.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "done" {
		t.Errorf("%s", r.Frame)
	}
	if n := runs(up.Requests()); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// confirmAll confirms everything, reads too.
const confirmAll = `apiVersion: sippet.policy/v1
defaults:
  class: {read: confirm, write: confirm, outbound: confirm, destructive: confirm, credential: deny}
`

// TestConfirmedRead checks that a read that needs confirm is validated and approved like any call.
func TestConfirmedRead(t *testing.T) {
	transports(t, func() setup { return setup{policy: confirmAll} }, func(t *testing.T, w *world, p *peer) {
		const args = `{"fields":["id","fullName"]}`
		body := w.canonical(t, "list_contacts", args)
		if r := p.call("list_contacts", args); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
		got := lifecycle(w.up.Requests())
		if len(got) != 3 || got[0] != "validate "+body || got[1] != got[0] || got[2] != "run "+body {
			t.Errorf("%q", got)
		}
	})
}

// TestCallerNotInteractive checks that no response of a client counts if its caller is not
// interactive, nor one to a dialogue that the same caller was sent interactively.
func TestCallerNotInteractive(t *testing.T) {
	w := newWorld(t, setup{inbox: 50 * time.Millisecond})
	robot := policy.Caller{Actor: ledger.Actor{Name: "robot"}, Person: "robot"}
	p := overHTTP(t, w.listen(t, tools.Caller{Caller: robot}), true)
	asked := overHTTP(t, w.listen(t, tools.Caller{Caller: robot, Interactive: true}), true)
	state := asked.callOnce("delete_contact", deleteArgs, "").Result.RequestState
	if r := p.retry("delete_contact", deleteArgs, state, accepts); r.outcome(t) != "approval_pending" || state == "" {
		t.Errorf("%s", r.Frame)
	}
	checkNothingRan(t, w)
	if len(p.elicitations()) != 0 {
		t.Error("the client was asked")
	}
}

// TestTooManyPending checks how many deletions of a caller are pending, and that they prevent no other request.
func TestTooManyPending(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	args := func(n int) string { return fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)) }
	first := ""
	for n := range ledger.MaxPending("delete_contact") {
		r := p.callOnce("delete_contact", args(n), "")
		if r.Result.ResultType != "input_required" {
			t.Fatalf("request %d: %s", n, r.Frame)
		}
		if n == 0 {
			first = r.Result.RequestState
		}
	}
	r := p.callOnce("delete_contact", args(99), "")
	if r.outcome(t) != "limit_exceeded" || r.field(t, "ran") != false || !r.Result.IsError {
		t.Errorf("%s", r.Frame)
	}
	if r := p.callOnce(ringTool, ringArgs, ""); r.Result.ResultType != "input_required" {
		t.Errorf("deletions prevent ringing: %s", r.Frame)
	}
	if r := p.retry("delete_contact", args(0), first, accepts); r.outcome(t) != "done" {
		t.Errorf("%s", r.Frame)
	}
	if r := p.call("delete_contact", args(99)); r.outcome(t) != "done" {
		t.Errorf("after one was answered: %s", r.Frame)
	}
}
