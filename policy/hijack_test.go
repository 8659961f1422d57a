package policy_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// hijackChecks is how many sequences are tried under all profiles together, unless the flag
// rapid.checks says how many under each.
const hijackChecks = 5000

// hijack is one random sequence of what a hijacked caller does, what people answer, and what changes
// meanwhile.
type hijack struct {
	rt      *rapid.T
	world   *hijackWorld
	column  int // of the table
	gate    *policy.Gate
	up      *fakeSippet
	clock   *ledgertest.Clock
	callers [2]policy.Caller // the hijacked one, and a colleague's
	focus   string           // the contact that most of the sequence is about

	drafts   []draft  // earlier calls
	requests []string // ids of approval requests
	views    map[string]*view
	doing    policy.Call // the call that the gate has
	fault    string      // what the oracle objects to

	freshAddress map[string]time.Time // when a caller set the address of a contact, by both
	overwritten  []overwritten
	unknown      []*hijackRun      // the runs with an unknown outcome
	started      map[string]string // who started a live call, by its callUuid

	began   time.Time
	budgets map[string]*hijackBudget // by caller
}

// overwritten is a value of a contact that a caller replaced, and nobody approved it.
type overwritten struct {
	by, contact, field string
	value              any
	at                 time.Time
}

// valuesBefore returns the values of a contact's field in the last day that this caller replaced, and
// nobody approved it.
func (h *hijack) valuesBefore(contact, field string) (values []any) {
	for _, o := range h.overwritten {
		if o.by == h.doing.Actor.Name && o.contact == contact && o.field == field && o.at.After(h.clock.Now().Add(-24*time.Hour)) {
			values = append(values, o.value)
		}
	}
	return values
}

// forget forgets the replaced values of a contact's field: a person has seen the change.
func (h *hijack) forget(contact, field string) {
	h.overwritten = slices.DeleteFunc(h.overwritten, func(o overwritten) bool { return o.contact == contact && o.field == field })
}

// hijackWorld is what the sequences under one profile share: each has an organisation and callers of
// its own.
type hijackWorld struct {
	policy *policy.PolicySet
	dir    string
	ledger ledger.Ledger
	clock  *ledgertest.Clock
	people *approval.Approvals
	n      int
	seen   map[string]int // how often it happened
}

// TestHijackedCaller tries random sequences of calls by a caller that an attacker controls. Whatever
// they do, each write that reaches Sippet is one that the profile leaves open, or one that a person
// approved on a card that showed the record as it was, the people and the text.
func TestHijackedCaller(t *testing.T) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		checks := hijackChecks / 3
		if testing.Short() {
			checks /= 2 // and rapid divides by 5
		}
		setFlag(t, "rapid.checks", fmt.Sprint(checks))
	}
	t.Run("profiles", func(t *testing.T) { // ends when all of them have
		for column, name := range []string{"desktop", "team", "unattended"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newHijackWorld(t, name)
				rapid.Check(t, func(rt *rapid.T) { w.sequence(rt, column) })
				w.report(t, name)
			})
		}
	})
}

// setFlag sets a flag until the test ends.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, old) })
}

func newHijackWorld(t *testing.T, profile string) *hijackWorld {
	t.Helper()
	p, err := rules.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	w := &hijackWorld{policy: policy.FixedPolicySet(p), clock: ledgertest.NewClock(noon), dir: t.TempDir(), seen: map[string]int{}}
	if memory, err := os.MkdirTemp("/dev/shm", "hijack"); err == nil { // thousands of commits wait for no disk
		t.Cleanup(func() { os.RemoveAll(memory) })
		w.dir = memory
	}
	t.Cleanup(func() { w.ledger.Close() })
	return w
}

// perLedger is how many sequences share a ledger: a new one takes time, and so does a large one.
const perLedger = 100

// begin counts a sequence, and opens a new ledger for it if it is time.
func (w *hijackWorld) begin(rt *rapid.T) {
	if w.n++; w.n%perLedger != 1 {
		return
	}
	if w.ledger != nil {
		w.ledger.Close()
	}
	l, err := ledger.Open(context.Background(), ledger.Options{Dir: filepath.Join(w.dir, fmt.Sprint(w.n)), Now: w.clock.Now})
	if err != nil {
		rt.Fatal(err)
	}
	w.ledger = l
	w.people = &approval.Approvals{Ledger: l, Watch: &approval.Watcher{Ledger: l, Log: slog.New(slog.DiscardHandler)}, Now: w.clock.Now}
}

// report fails the test if the sequences did not try enough to mean something.
func (w *hijackWorld) report(t *testing.T, profile string) {
	t.Helper()
	t.Logf("%d sequences: %v", w.n, w.seen)
	wanted := []string{"beyond 20 contacts", "ran unasked", "asked", "denied", "approved", "ran approved", "the record changed", "the recipients changed", "a name changed", "unknown outcome"}
	if profile == "unattended" {
		wanted = []string{"ran unasked", "denied", "unknown outcome"}
	}
	for _, what := range wanted {
		if w.n >= 300 && w.seen[what] < w.n/500+1 {
			t.Errorf("%s: only %d of %d sequences", what, w.seen[what], w.n)
		}
	}
}

// sequence draws one sequence and runs it.
func (w *hijackWorld) sequence(rt *rapid.T, column int) {
	w.begin(rt)
	h := &hijack{rt: rt, world: w, column: column, clock: w.clock, views: map[string]*view{}, freshAddress: map[string]time.Time{}, started: map[string]string{}, began: w.clock.Now(), budgets: map[string]*hijackBudget{}}
	h.up = newFakeSippet(w.n, h.judge)
	h.gate = &policy.Gate{Policy: w.policy, Upstream: h.up, Ledger: w.ledger, Organisation: fmt.Sprintf("org %d", w.n), Lifetime: 15 * time.Minute, Now: w.clock.Now,
		Log: slog.New(slog.DiscardHandler)}
	for i, name := range []string{"ada", "bo"} {
		name = fmt.Sprintf("%s-%d", name, w.n)
		h.callers[i] = policy.Caller{Actor: ledger.Actor{Name: name, Via: "http"}, ID: name, Person: name, Client: "test 1"}
	}
	h.focus = one(rt, "focus", h.up.id(1), h.up.id(1), h.up.id(2), h.up.id(3))
	for range rapid.IntRange(2, 10).Draw(rt, "steps") {
		h.step(rt)
		if h.fault != "" {
			rt.Fatal(h.fault)
		}
	}
}

// step draws one thing that happens.
func (h *hijack) step(rt *rapid.T) {
	switch n := rapid.IntRange(0, 99).Draw(rt, "step"); {
	case n == 83: // rapid draws small numbers more often, and this one takes long
		h.flood(rt)
	case n < 10:
		h.trick(rt)
	case n < 36:
		h.call(rt, h.draftCall(rt), "")
	case n < 44 && len(h.drafts) > 0:
		h.call(rt, disguise(rt, one(rt, "again", h.drafts...)), "")
	case n < 48 && len(h.requests) > 0:
		// An approval that was given for something else, perhaps to somebody else.
		d := h.draftCall(rt)
		if len(h.drafts) > 0 && often(rt, "known", 5) {
			d = disguise(rt, one(rt, "replayed", h.drafts...))
		}
		h.call(rt, d, one(rt, "approval", h.requests...))
	case n < 54:
		h.up.fate = one(rt, "fate", isLost, answersLost, isRejected, isNotSent)
	case n < 72:
		h.answer(rt)
	case n < 80:
		h.execute(rt)
	case n < 93:
		h.colleague(rt)
	default:
		h.clock.Add(one(rt, "time", 5*time.Second, 70*time.Second, 11*time.Minute, 16*time.Minute))
	}
}

// call makes a call as the hijacked caller, seldom as the colleague's.
func (h *hijack) call(rt *rapid.T, d draft, approvalID string) {
	c := policy.Call{Caller: h.callers[0], ApprovalID: approvalID, CanAsk: rapid.Bool().Draw(rt, "can ask"), Again: often(rt, "meant", 1)}
	if often(rt, "colleague", 1) {
		c.Caller = h.callers[1]
	}
	action, fault := schemas.Find(d.action)
	if fault != nil {
		rt.Fatal(fault)
	}
	raw := d.encode(rt)
	if c.Payload, fault = action.Check(raw, schemas.Limits{Now: h.clock.Now()}); fault != nil {
		h.world.seen["invalid"]++
		return
	}
	h.drafts = append(h.drafts, d)
	rt.Logf("%s calls %s %s %s", c.Actor.Name, d.action, raw, approvalID)
	h.do(c)
}

// do takes a call through the gate.
func (h *hijack) do(c policy.Call) policy.Result {
	h.doing = c
	res := h.gate.Do(context.Background(), c)
	h.doing = policy.Call{}
	h.rt.Logf("→ %s %v", res.Outcome(), res.Err)
	switch {
	case res.Pending != nil && res.Pending.New:
		h.requests = append(h.requests, res.Pending.ApprovalID)
		h.world.seen["asked"]++
	case res.Outcome() == schemas.Denied:
		h.world.seen["denied"]++
	case res.Outcome() == schemas.OutcomeUnknown:
		h.world.seen["unknown outcome"]++
	}
	return res
}

// judge is called for each write that reaches Sippet, before it has its effect.
func (h *hijack) judge(r *hijackRun) {
	r.caller = h.doing.Actor.Name
	need, why := h.needs(r)
	v := h.views[h.doing.ApprovalID]
	object := func(format string, args ...any) {
		h.fault = fmt.Sprintf("%s needs %s (%s), but ", r.body, need, why) + fmt.Sprintf(format, args...)
	}
	switch approved := v != nil; {
	case need == never:
		object("ran")
	case need == nobody && !approved:
		h.world.seen["ran unasked"]++
	case !approved:
		object("nobody approved it")
	case v.used:
		object("its approval was used before")
	case v.caller != h.doing.Actor.Name:
		object("the approval is of %s, and ran for %s", v.caller, h.doing.Actor.Name)
	case v.body != r.body:
		object("the approval is of %s", v.body)
	case v.by < need:
		object("only the caller's person approved it")
	case h.clock.Now().After(v.at.Add(time.Minute)):
		object("it was approved at %s, and ran at %s", v.at, h.clock.Now())
	case v.missing(r) != "":
		object("the card did not show %s:\n%s", v.missing(r), strings.Join(v.texts, "\n"))
	default:
		h.world.seen["ran approved"]++
	}
	if over := h.overBudget(r, v != nil); over != "" && h.fault == "" {
		object("%s", over)
	}
	if v != nil {
		v.used = true
	}
	if !r.rejected {
		h.remember(r, v != nil)
	}
	if r.lost {
		h.unknown = append(h.unknown, r)
	}
}

// remember keeps what later needs depend on.
func (h *hijack) remember(r *hijackRun, approved bool) {
	for _, call := range r.rung {
		h.started[call] = h.doing.Actor.Name
	}
	for id, c := range diff(r.before["list_contacts"], r.after["list_contacts"]) {
		changes := c.fields()
		if slices.Contains(changes, "email") {
			h.freshAddress[h.doing.Actor.Name+id] = h.clock.Now()
		}
		for _, field := range []string{"fullName", "metadata"} {
			switch {
			case c.before == nil || !slices.Contains(changes, field):
			case approved:
				h.forget(id, field)
			default:
				h.overwritten = append(h.overwritten, overwritten{h.doing.Actor.Name, id, field, c.before[field], h.clock.Now()})
			}
		}
	}
}

// trick does in two steps what needs a person in one, or asks for something and changes what it is about
// before or after a person approves it.
func (h *hijack) trick(rt *rapid.T) {
	change := func() {
		switch rapid.IntRange(0, 2).Draw(rt, "change") {
		case 0:
			name := one(rt, "name", hijackNames...)
			h.call(rt, draft{"update_contact", row{"identity": h.focus, "input": row{"fullName": name}}}, "")
		case 1:
			h.colleague(rt)
		}
	}
	asks, after := h.draftWeighty, change
	switch rapid.IntRange(0, 9).Draw(rt, "trick") {
	case 0: // a stranger becomes a contact, and then writes
		address := one(rt, "stranger", "eve@example.net", "mallory@example.net")
		h.call(rt, draft{"create_contact", newInput(row{"fullName": "Mallory Stranger", "email": address})}, "")
		asks = func(*rapid.T) draft {
			return draft{"import_inbound_email", with(newInput(row{"recipientAddress": "hello@harbourlane.example",
				"structuredPayload": row{"from": address, "text": "Hello"}}), row{"fields": []any{"id"}})}
		}
	case 1: // a name is replaced word by word
		for _, name := range []string{"Eleanor Blythe", "Hannah Blythe-Stranger", "Mallory Stranger"} {
			h.call(rt, draft{"update_contact", onRecord(h.focus, row{"fullName": name})}, "")
		}
	case 2: // a number changes after the approval
		asks = func(*rapid.T) draft { return draft{"start_outbound_call", newInput(row{"contactId": h.focus})} }
		after = func() { h.change(h.focus, row{"phoneE164": one(rt, "number", hijackNumbers...)}) }
	}
	if rapid.Bool().Draw(rt, "before") {
		change()
	}
	before := len(h.requests)
	h.call(rt, asks(rt), "")
	if len(h.requests) == before {
		return
	}
	id := h.requests[before]
	if h.answerRequest(rt, id, true) {
		after()
		h.run(id)
	}
}
