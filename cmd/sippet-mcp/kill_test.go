package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

const (
	killRounds = 32
	killShort  = 8 // with -short
	askers     = 4 // programs with tokens of their own
	answerers  = 2 // what people answer with, at once
)

// killed is a crashWorld in which people answer in the inbox, and not at the client.
type killed struct {
	*crashWorld
	lane   *lane
	ada    string
	askers []*asker

	// Guarded by the world.
	said map[string][]heard // of each question, what ada said and what she was told
}

// asker is a program with a token, and what it has called.
type asker struct {
	secret, principal, id string
	client                *modern

	// Guarded by the world.
	mine  []*payload
	grant map[string]*payload // the questions that it was told of
	told  []toldOf
}

// toldOf is an answer that a program got.
type toldOf struct {
	p               *payload
	outcome, intent string
}

// heard is an answer to a question, and what the API said to it: 0 where the server died.
type heard struct {
	answer string
	status int
}

// Programs ask in the inbox, people answer there, and the server is killed at random moments and at the worst ones, most
// of all between a yes and its run: each yes is run at most once, nothing runs without one, and whoever asked and whoever
// answered are told what is true.
func TestKilledBetweenYesAndRun(t *testing.T) {
	t.Parallel() // with what mostly waits
	began := time.Now()
	k := newKilled(t)
	up := httptest.NewServer(k)
	k.url = up.URL
	c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
	if err != nil {
		t.Fatal(err)
	}
	k.organisation = c.Organisation()
	n := killRounds
	if testing.Short() {
		n = killShort
	}
	var outside string
	for round := range n {
		if k.round(); round == n/2 {
			outside = k.copyCheckpoints()
		}
	}
	k.last()
	close(k.closing)
	up.Close()
	k.check(outside)
	k.checkSaid()
	k.checkAskers()
	t.Logf("%d rounds in %v: %s", n, time.Since(began).Round(time.Millisecond), k.figures())
}

func newKilled(t *testing.T) *killed {
	temp := t.TempDir()
	w := &world{dir: filepath.Join(temp, "state")}
	k := &killed{said: map[string][]heard{}, ada: w.token(t, "ada", "approver")}
	for i := range askers {
		a := &asker{secret: w.token(t, fmt.Sprint("bob", i), "agent"), grant: map[string]*payload{}}
		a.id = a.secret[len("smcp_") : len("smcp_")+12]
		a.principal = fmt.Sprintf("bob%d (%s)", i, a.id)
		k.askers = append(k.askers, a)
	}
	k.crashWorld = &crashWorld{t: t, dir: w.dir, policy: filepath.Join(temp, "policy.yaml"), closing: make(chan struct{}),
		payloads: map[string]*payload{}, counts: map[string]int{}}
	must(t, os.WriteFile(k.policy, []byte(strings.Replace(crashPolicy, "destructive: confirm", "destructive: approve", 1)), 0o600))
	k.l = openState(t, k.dir)
	k.lane = newLane(k.crashWorld, "http")
	return k
}

// serve starts a server; whether it comes to serve is another matter.
func (k *killed) serve() *process {
	p, err := spawn([]string{"http", "--addr", "127.0.0.1:0", "--base-url", k.url, "--state-dir", k.dir, "--policy", k.policy,
		"--approval-wait", "300ms", "--log-level", "error"})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

// round starts a server, lets programs ask and people answer, and kills it.
func (k *killed) round() {
	p := k.serve()
	var dead, serves atomic.Bool
	kill := func() {
		if dead.Swap(true) {
			return
		}
		if serves.Load() && chance(0.15) && p.cmd.Process.Signal(syscall.SIGTERM) == nil {
			k.count("stopped")
			time.AfterFunc(200*time.Millisecond, p.kill) // what is under way may end by itself
			return
		}
		p.kill()
	}
	if chance(0.1) { // while it starts, and opens and sweeps the ledger, and looks for yeses
		time.AfterFunc(rand.N(200*time.Millisecond), kill)
	}
	if err := p.listening(); err == nil {
		serves.Store(true)
		k.aim(kill)
		k.load(p, &dead)
	} else if !dead.Load() {
		k.fail("the server does not start: %v", err)
	}
	kill()
	<-p.ended
	if s := p.faults(); s != "" {
		k.fail("the server complained: %s", s)
	}
	k.count("kills")
	left, err := k.l.Grants(k.t.Context(), ledger.GrantFilter{Open: true, State: ledger.Granted})
	if err != nil {
		k.fail("%v", err)
	}
	for range left {
		k.count("yeses without a run at a kill")
	}
}

// aim chooses the moment: any, or that of a yes, of the validation that follows it, of the run or of its answer.
func (k *killed) aim(kill func()) {
	time.AfterFunc(20*time.Millisecond+rand.N(1500*time.Millisecond), kill)
	if chance(0.2) {
		return
	}
	want := []string{"yes", "yes", "validate", "arrival", "answer"}[rand.N(5)]
	var left atomic.Int32
	left.Store(1 + rand.Int32N(10))
	at := func(edge string) {
		if edge == want && left.Add(-1) == 0 {
			kill()
		}
	}
	k.lane.sharp.Store(&at)
}

// load lets all ask and answer until the server is dead.
func (k *killed) load(p *process, dead *atomic.Bool) {
	var wg sync.WaitGroup
	for _, a := range k.askers {
		a.client = &modern{p.url, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}}
		wg.Go(func() {
			for !dead.Load() && k.ask(a) {
			}
		})
	}
	ada := &answerer{strings.TrimSuffix(p.url, "/mcp"), k.ada}
	for range answerers {
		wg.Go(func() {
			for !dead.Load() && k.answer(ada) {
			}
		})
	}
	wg.Wait()
	k.lane.sharp.Store(nil)
}

// names are the actions for which a person is needed.
var names = []string{"start_outbound_call", "archive_contact", "delete_contact"}

// ask makes a call, new or known, or asks what became of a question, and reports whether the server lives on.
func (k *killed) ask(a *asker) bool {
	k.mu.Lock()
	var p *payload
	var id string
	switch {
	case chance(0.4) || len(a.mine) == 0:
		p = k.invent(k.lane, a.principal, names)
		a.mine = append(a.mine, p)
	default:
		recent := a.mine[max(0, len(a.mine)-8):]
		p = recent[rand.N(len(recent))]
		for grant, of := range a.grant {
			if of == p && chance(0.5) {
				id = grant
			}
		}
	}
	k.counts["calls"]++
	k.mu.Unlock()
	var r *reply
	var err error
	if id != "" {
		r, err = a.call("approval_status", `{"id":"`+id+`"}`)
	} else {
		r, err = a.call(p.action.Name, p.args)
	}
	if err != nil {
		k.count("told nothing")
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &r.Result.StructuredContent
	k.counts["told "+s.Outcome]++
	if s.Approval.ID != "" {
		a.grant[s.Approval.ID] = p
	}
	a.told = append(a.told, toldOf{p, s.Outcome, s.Intent})
	return true
}

func (a *asker) call(tool, args string) (*reply, error) {
	m := *a.client
	m.http = &http.Client{Transport: bearerBy{a.secret, a.client.http.Transport}, Timeout: a.client.http.Timeout}
	return m.call(tool, args, "")
}

// bearerBy shows a token with every request, by another transport than the usual one.
type bearerBy struct {
	secret string
	by     http.RoundTripper
}

func (b bearerBy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.secret)
	return b.by.RoundTrip(r)
}

// answer answers one of the questions that wait, if any does, and reports whether the server lives on. Which those are it
// reads from the ledger: a list with all their cards is made anew for each change, and here everything changes.
func (k *killed) answer(ada *answerer) bool {
	open, err := k.l.Grants(k.t.Context(), ledger.GrantFilter{Open: true, Inbox: true, State: ledger.Waiting})
	if err != nil {
		k.fail("%v", err)
		return false
	}
	if len(open) == 0 {
		time.Sleep(5 * time.Millisecond)
		return true
	}
	q, err := ada.look(open[rand.N(len(open))].ID)
	if err != nil || q.State != "pending" {
		return err == nil
	}
	answer := "yes"
	switch x := rand.Float64(); {
	case strings.Contains(q.Card.Before, "The same was"), x < 0.06:
		answer = "no"
	case x < 0.10:
		answer = "revoke"
	}
	k.mu.Lock()
	n := len(k.said[q.ID])
	k.said[q.ID] = append(k.said[q.ID], heard{answer: answer})
	if p := k.payloads[tokens.FindString(fmt.Sprint(q.Card.Lines))]; p != nil && answer == "yes" {
		p.yes++
	}
	k.counts["said "+answer]++
	k.mu.Unlock()
	status, _, err := ada.answer(&q, answer)
	if err != nil {
		return false
	}
	k.mu.Lock()
	k.said[q.ID][n].status = status
	if status != http.StatusOK {
		k.counts["answers not taken"]++
	}
	k.mu.Unlock()
	if answer == "yes" && status == http.StatusOK {
		k.lane.edge("yes")
	}
	if chance(0.05) { // and takes it back, if it is not too late
		status, _, err = ada.answer(&q, "revoke")
		k.mu.Lock()
		k.said[q.ID] = append(k.said[q.ID], heard{"revoke", status})
		k.mu.Unlock()
	}
	return err == nil
}

// last lets one more server finish what was agreed to, and asks what became of every question.
func (k *killed) last() {
	p := k.serve()
	must(k.t, p.listening())
	defer func() { p.kill(); <-p.ended }()
	until(k.t, 20*time.Second, func() bool {
		agreed, err := k.l.Grants(k.t.Context(), ledger.GrantFilter{Open: true, State: ledger.Granted})
		return err == nil && len(agreed) == 0
	}, func() string { return "a yes waits, and nobody runs it" })
	all, err := k.l.Grants(k.t.Context(), ledger.GrantFilter{Inbox: true})
	must(k.t, err)
	for _, a := range k.askers {
		a.client = newModern(p.url)
		for i := range all {
			if q := &all[i]; q.Credential == a.id {
				k.checkStatus(a, q.ID)
			}
		}
		a.client.http.CloseIdleConnections()
	}
}

// checkStatus holds what a program is told of its question against the ledger.
func (k *killed) checkStatus(a *asker, id string) {
	var r *reply
	// Of what was in flight when its server was killed, nobody knows how it ended, after a moment.
	until(k.t, 30*time.Second, func() bool {
		var err error
		r, err = a.call("approval_status", `{"id":"`+id+`"}`)
		return err == nil && !strings.Contains(r.Result.StructuredContent.Message, "is running")
	}, func() string { return fmt.Sprintf("question %s: %+v", id, r) })
	outcome := r.outcome()
	q, err := k.l.Grant(k.t.Context(), id)
	if err != nil {
		k.fail("question %s: %v", id, err)
		return
	}
	want := map[ledger.State]string{ledger.Waiting: "approval_pending", ledger.Refused: "declined", ledger.Revoked: "denied"}[q.State]
	switch {
	case q.State == ledger.Revoked && q.Fault != nil: // why may be gone, with somebody whose data was erased
		want = string(q.Outcome)
	case q.State == ledger.Granted: // its time ran out
		want = "denied"
	case q.State == ledger.Spent:
		in, err := k.l.Intent(k.t.Context(), q.Intent)
		if err != nil {
			k.fail("question %s is spent by nothing: %v", id, err)
			return
		}
		want = map[ledger.Progress]string{ledger.Succeeded: "done", ledger.Failed: "upstream_error", ledger.Unknown: "outcome_unknown"}[in.State]
	}
	k.count("questions " + string(q.State))
	if outcome != want {
		k.fail("question %s is %s (%s), and whoever asked is told %s", id, q.State, want, outcome)
	}
}

// checkSaid holds what ada said, and what she was told, against the chain.
func (k *killed) checkSaid() {
	t := k.t
	records, err := k.l.Records(t.Context(), ledger.Filter{})
	must(t, err)
	agreed, spent := map[string]int64{}, map[string]bool{}
	for _, r := range records {
		switch {
		case r.Phase == ledger.PhaseAnswered && r.State == string(ledger.Granted):
			if r.By != "ada (api)" || !slices.ContainsFunc(k.said[r.Grant], func(h heard) bool { return h.answer == "yes" }) {
				t.Errorf("record %d: %s agreed to %s, and nobody said so", r.Seq, r.By, r.Grant)
			}
			agreed[r.Grant] = r.Seq
		case r.Phase == ledger.PhasePrepared && (agreed[r.Grant] == 0 || agreed[r.Grant] > r.Seq):
			t.Errorf("record %d: %s was about to run, and nobody had agreed", r.Seq, r.Action)
		case r.Phase == ledger.PhasePrepared:
			spent[r.Grant] = true
		case r.Phase == ledger.PhaseSettled && r.State == string(ledger.NotSent):
			spent[r.Grant] = false
		}
	}
	if len(spent) == 0 {
		t.Error("nothing was ever run, so nothing was shown")
	}
	for id, all := range k.said {
		for _, h := range all {
			switch q, err := k.l.Grant(t.Context(), id); {
			case err != nil:
				t.Errorf("question %s: %v", id, err)
			case h.status != http.StatusOK:
			case h.answer == "yes" && agreed[id] == 0:
				t.Errorf("ada was told that her yes to %s was taken, and it is nowhere", id)
			case h.answer == "no" && (q.State != ledger.Refused || spent[id]):
				t.Errorf("ada was told that her no to %s was taken, and it is %s", id, q.State)
			case h.answer == "revoke" && (q.State != ledger.Revoked || spent[id]):
				t.Errorf("ada was told that %s is taken back, and it is %s", id, q.State)
			}
		}
	}
}

// checkAskers holds each answer that a program got against the ledger.
func (k *killed) checkAskers() {
	t := k.t
	intents, err := k.l.Intents(t.Context(), ledger.IntentFilter{})
	must(t, err)
	states := map[string]ledger.Progress{}
	ended := map[*payload]map[ledger.Progress]bool{}
	for _, in := range intents {
		states[in.ID] = in.State
		for _, p := range k.payloads {
			for _, r := range p.runs {
				if r.intent.ID == in.ID {
					if ended[p] == nil {
						ended[p] = map[ledger.Progress]bool{}
					}
					ended[p][in.State] = true
				}
			}
		}
	}
	for _, a := range k.askers {
		for _, got := range a.told {
			switch got.outcome {
			case "done":
				if !ended[got.p][ledger.Succeeded] {
					t.Errorf("%s: a program was told that it ran", got.p.body)
				}
			case "upstream_error":
				if !ended[got.p][ledger.Failed] {
					t.Errorf("%s: a program was told that Sippet refused it", got.p.body)
				}
			case "outcome_unknown":
				if states[got.intent] == "" {
					t.Errorf("%s: nobody knows how it ended, and its intent %q is lost", got.p.body, got.intent)
				}
			case "approval_pending", "declined", "denied", "upstream_unavailable":
			default:
				t.Errorf("%s: a program was told %s", got.p.body, got.outcome)
			}
		}
	}
	if raw, err := json.Marshal(k.counts); !testing.Short() && (err != nil || k.counts["questions spent"] == 0 || k.counts["swept"] == 0 || k.counts["yeses without a run at a kill"] == 0) {
		t.Errorf("the server was never killed at a moment that matters: %s", raw)
	}
}
