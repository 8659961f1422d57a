package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
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
	secret, caller, id string
	client             *modern

	// Guarded by the world.
	mine        []*payload
	approvalIDs map[string]*payload // the questions that it was told of
	told        []toldOf
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
func TestKilledBetweenApprovalAndRun(t *testing.T) {
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
		a := &asker{secret: w.token(t, fmt.Sprint("bob", i), "agent"), approvalIDs: map[string]*payload{}}
		a.id = a.secret[len("smcp_") : len("smcp_")+12]
		a.caller = fmt.Sprintf("bob%d (%s)", i, a.id)
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
	left, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Approved})
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
		p = k.invent(k.lane, a.caller, names)
		a.mine = append(a.mine, p)
	default:
		recent := a.mine[max(0, len(a.mine)-8):]
		p = recent[rand.N(len(recent))]
		for known, of := range a.approvalIDs {
			if of == p && chance(0.5) {
				id = known
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
		a.approvalIDs[s.Approval.ID] = p
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
	open, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, Inbox: true, State: ledger.Pending})
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
	answer := "approve"
	switch x := rand.Float64(); {
	case strings.Contains(q.Card.PreviousRun, "The same call"), x < 0.06:
		answer = "decline"
	case x < 0.10:
		answer = "revoke"
	}
	k.mu.Lock()
	n := len(k.said[q.ID])
	k.said[q.ID] = append(k.said[q.ID], heard{answer: answer})
	if p := k.payloads[tokens.FindString(fmt.Sprint(q.Card.Lines))]; p != nil && answer == "approve" {
		p.approved++
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
	if answer == "approve" && status == http.StatusOK {
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
		agreed, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Approved})
		return err == nil && len(agreed) == 0
	}, func() string { return "a yes waits, and nobody runs it" })
	all, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Inbox: true})
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
