package tools_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

var selectReads = tools.Selection{ReadOnly: true}

const deleting = `{"input":{"contactId":"` + anID + `"}}`

// runs counts what reached Run and is no read.
func runs(rs []rpctest.Request) (n int) {
	for _, r := range rs {
		if a, err := schemas.Find(r.Action); r.Endpoint == "run" && (err != nil || a.Class != schemas.Read) {
			n++
		}
	}
	return n
}

// TestAnswerCountsOnce: a yes is good for the call it was given to, and for one of them.
func TestAnswerCountsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		// second is made with the state of an open question about delete_contact; it must not run.
		second  func(p, other *peer, state string) *reply
		outcome string
		says    string
		// still says that the person's answer to the true call counts afterwards.
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
			return o.retry("delete_contact", deleting, s, accepts)
		}, "denied", "another call", true},
		"another caller says no": {func(_, o *peer, s string) *reply {
			return o.retry("delete_contact", deleting, s, refuses)
		}, "denied", "another call", true},
		"a longer state": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleting, s+"x", accepts)
		}, "denied", "no such approval request", true},
		"a state in capitals": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleting, strings.ToUpper(s)+"0", accepts)
		}, "denied", "no such approval request", true},
		"a made-up state": {func(p, _ *peer, _ string) *reply {
			return p.retry("delete_contact", deleting, "00000000000000000000000000000000", accepts)
		}, "denied", "no such approval request", true},
		"a no": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleting, s, refuses)
		}, "declined", "", false},
		"a yes without the box": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleting, s, `{"action":"accept"}`)
		}, "declined", "", false},
		"a yes in words": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", deleting, s, `{"action":"accept","content":{"approve":"true"}}`)
		}, "declined", "", false},
		"a yes to another question": {func(p, _ *peer, s string) *reply {
			return p.once("delete_contact", deleting, `,"inputResponses":{"other":`+accepts+`},"requestState":"`+s+`"`)
		}, "declined", "", false},
		"no answer at all": {func(p, _ *peer, s string) *reply {
			return p.once("delete_contact", deleting, `,"requestState":"`+s+`"`)
		}, "declined", "", false},
		"the client lost its capability": {func(p, _ *peer, s string) *reply {
			was := p.capabilities
			p.capabilities = `{}`
			defer func() { p.capabilities = was }()
			return p.retry("delete_contact", deleting, s, accepts)
		}, "denied", "declares no elicitation", false},
		"bad arguments": {func(p, _ *peer, s string) *reply {
			return p.retry("delete_contact", `{}`, s, accepts)
		}, "invalid_arguments", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{})
			p := w.httpPeer(t, true)
			other := overHTTP(t, w.listen(t, tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "eve"}}, Interactive: true}), true)
			q := p.once("delete_contact", deleting, "")
			state := q.Result.RequestState
			if state == "" {
				t.Fatalf("not asked: %s", q.Frame)
			}
			r := c.second(p, other, state)
			if r.outcome(t) != c.outcome || !strings.Contains(r.text(t, "message"), c.says) {
				t.Errorf("%s", r.Frame)
			}
			checkShape(t, r)
			noRun(t, w)
			after := p.retry("delete_contact", deleting, state, accepts)
			if got, want := after.outcome(t) == "done", c.still; got != want {
				t.Errorf("afterwards the true answer counted: %t, want %t: %s", got, want, after.Frame)
			}
			again := p.retry("delete_contact", deleting, state, accepts)
			if again.outcome(t) != "denied" && again.outcome(t) != "declined" {
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
		s := p.once("delete_contact", fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)), "").Result.RequestState
		if len(s) < 22 || seen[s] || strings.Contains(s, rpctest.ID(n)) {
			t.Errorf("state %q", s)
		}
		seen[s] = true
	}
}

// TestConcurrentRetries: many retries with one answer at the same moment spend it once.
func TestConcurrentRetries(t *testing.T) {
	for range 10 {
		w := newWorld(t, setup{})
		url := w.listen(t, ada)
		p := overHTTP(t, url, true)
		state := p.once("delete_contact", deleting, "").Result.RequestState
		// Both are past the first check and in validate at once.
		const n = 2
		all := make(chan struct{})
		var mu sync.Mutex
		in := 0
		w.up.On("validate", "", func(rpctest.Request) rpctest.Answer {
			mu.Lock()
			if in++; in == n {
				close(all)
			}
			mu.Unlock()
			return rpctest.Answer{Usual: true, Until: all}
		})
		var outcomes [n]string
		var done sync.WaitGroup
		for i := range n {
			done.Go(func() {
				outcomes[i] = overHTTP(t, url, true).retry("delete_contact", deleting, state, accepts).outcome(t)
			})
		}
		done.Wait()
		// The other hears that it is running, how it ended, or that the answer was used, by when it comes.
		slices.Sort(outcomes[:])
		if n := runs(w.up.Requests()); n != 1 ||
			!slices.Contains([]string{"done outcome_unknown", "denied done", "done recorded"}, outcomes[0]+" "+outcomes[1]) {
			t.Errorf("%d runs, outcomes %v", n, outcomes)
		}
	}
}

// TestAskedAnew: the same call asked again withdraws the first question, so that two cards cannot both run it.
func TestAskedAnew(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	first := p.once("delete_contact", deleting, "").Result.RequestState
	second := p.once("delete_contact", deleting, "").Result.RequestState
	if r := p.retry("delete_contact", deleting, first, accepts); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "revoked") {
		t.Errorf("%s", r.Frame)
	}
	if r := p.retry("delete_contact", deleting, second, accepts); r.outcome(t) != "done" {
		t.Errorf("%s", r.Frame)
	}
	if n := runs(w.up.Requests()); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// TestPolicyChange: an answer that was given under another version of the policy does not count.
func TestPolicyChange(t *testing.T) {
	up, store := rpctest.New(t), ledgertest.Open(t)
	p := newWorld(t, setup{up: up, ledger: store}).httpPeer(t, true)
	state := p.once("delete_contact", deleting, "").Result.RequestState
	q := newWorld(t, setup{up: up, ledger: store, policy: confirmAll}).httpPeer(t, true)
	if r := q.retry("delete_contact", deleting, state, accepts); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "another call") {
		t.Errorf("%s", r.Frame)
	}
	if n := runs(up.Requests()); n != 0 {
		t.Errorf("%d runs", n)
	}
}

// confirmAll asks for everything, reads too.
const confirmAll = `apiVersion: sippet.policy/v1
defaults:
  class: {read: confirm, write: confirm, outbound: confirm, destructive: confirm, credential: deny}
`

// TestConfirmedRead: a read that the policy confirms is asked for like all else.
func TestConfirmedRead(t *testing.T) {
	transports(t, func() setup { return setup{policy: confirmAll} }, func(t *testing.T, w *world, p *peer) {
		body := w.canonical(t, "list_contacts", "{}")
		if r := p.call("list_contacts", "{}"); r.outcome(t) != "done" {
			t.Errorf("%s", r.Frame)
		}
		got := lifecycle(w.up.Requests())
		if len(got) != 3 || got[0] != "validate "+body || got[1] != got[0] || got[2] != "run "+body {
			t.Errorf("%q", got)
		}
	})
}

// TestNobodyBehindTheCaller: for a caller that is not interactive no answer of its client counts.
func TestNobodyBehindTheCaller(t *testing.T) {
	for _, modern := range []bool{false, true} {
		w := newWorld(t, setup{})
		p := overHTTP(t, w.listen(t, tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "robot"}}}), modern)
		if r := p.call("delete_contact", deleting); r.outcome(t) != "denied" || !strings.Contains(r.text(t, "message"), "this caller is not interactive") {
			t.Errorf("%s", r.Frame)
		}
		if modern {
			// Nor one that it brings for a question which the same caller was asked where a person sits.
			asked := overHTTP(t, w.listen(t, tools.Caller{Caller: policy.Caller{Actor: ledger.Actor{Name: "robot"}}, Interactive: true}), true)
			state := asked.once("delete_contact", deleting, "").Result.RequestState
			if r := p.retry("delete_contact", deleting, state, accepts); r.outcome(t) != "denied" {
				t.Errorf("%s", r.Frame)
			}
		}
		noRun(t, w)
		if len(p.questions()) != 0 {
			t.Error("asked")
		}
	}
}

// TestManyRequests: at most 16 wait for a person at once.
func TestManyRequests(t *testing.T) {
	w := newWorld(t, setup{})
	p := w.httpPeer(t, true)
	args := func(n int) string { return fmt.Sprintf(`{"input":{"contactId":%q}}`, rpctest.ID(n)) }
	first := ""
	for n := range ledger.MaxPending {
		r := p.once("delete_contact", args(n), "")
		if r.Result.ResultType != "input_required" {
			t.Fatalf("question %d: %s", n, r.Frame)
		}
		if n == 0 {
			first = r.Result.RequestState
		}
	}
	r := p.once("delete_contact", args(99), "")
	if r.outcome(t) != "unavailable" || r.field(t, "ran") != false || !r.Result.IsError {
		t.Errorf("%s", r.Frame)
	}
	if r := p.retry("delete_contact", args(0), first, accepts); r.outcome(t) != "done" {
		t.Errorf("%s", r.Frame)
	}
	if r := p.call("delete_contact", args(99)); r.outcome(t) != "done" {
		t.Errorf("room was made and not taken: %s", r.Frame)
	}
}
