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
	requesters = 4 // programs with their own tokens
	approvers  = 2 // that answer at the same time
)

// killWorld is a crashWorld in which people answer in the inbox instead of the client.
type killWorld struct {
	*crashWorld
	lane       *lane
	ada        string
	requesters []*requester

	// Guarded by the world.
	replies map[string][]sentReply // by request
}

// requester is a program with a token, and its calls.
type requester struct {
	secret, id string
	caller     ledger.Actor
	client     *modern

	// Guarded by the world.
	payloads    []*payload
	approvalIDs map[string]*payload // the requests that it knows
	results     []requesterResult
}

// requesterResult is an outcome that a program got.
type requesterResult struct {
	p               *payload
	outcome, intent string
}

// sentReply is a reply of ada, and the status of the API; 0 if the server died.
type sentReply struct {
	answer string
	status int
}

// TestKilledBetweenApprovalAndRun kills the server at random and at critical moments, mostly
// between an approval and its run. Each approval runs at most once, nothing runs without one, and
// programs and approvers get the right outcome.
func TestKilledBetweenApprovalAndRun(t *testing.T) {
	t.Parallel() // with other tests that mostly wait
	began := time.Now()
	k := newKilled(t)
	up := httptest.NewServer(k)
	k.url = up.URL
	c, err := rpc.New(rpc.Config{BaseURL: up.URL, Key: rpctest.Key})
	if err != nil {
		t.Fatal(err)
	}
	if k.organisation, _, err = k.l.OpenOrganisation(t.Context(), c.KeyName()); err != nil {
		t.Fatal(err)
	}
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
	k.checkReplies()
	k.checkRequesters()
	t.Logf("%d rounds in %v: %s", n, time.Since(began).Round(time.Millisecond), k.summary())
}

func newKilled(t *testing.T) *killWorld {
	temp := t.TempDir()
	w := &world{dir: filepath.Join(temp, "state")}
	k := &killWorld{replies: map[string][]sentReply{}, ada: w.token(t, "ada", "approver")}
	for i := range requesters {
		a := &requester{secret: w.token(t, fmt.Sprint("bob", i), "agent"), approvalIDs: map[string]*payload{}}
		a.id = tokenID(a.secret)
		a.caller = tokenActor(fmt.Sprint("bob", i), a.secret)
		k.requesters = append(k.requesters, a)
	}
	k.crashWorld = &crashWorld{t: t, dir: w.dir, policy: filepath.Join(temp, "policy.yaml"), closing: make(chan struct{}),
		payloads: map[string]*payload{}, counts: map[string]int{}}
	must(t, os.WriteFile(k.policy, []byte(strings.Replace(crashPolicy, "destructive: confirm", "destructive: approve", 1)), 0o600))
	k.l = openState(t, k.dir)
	k.lane = newLane(k.crashWorld, "http")
	return k
}

// serve starts a server. It may be killed before it listens.
func (k *killWorld) serve() *process {
	p, err := spawn([]string{"http", "--addr", "127.0.0.1:0", "--base-url", k.url, "--state-dir", k.dir, "--policy", k.policy,
		"--approval-wait", "300ms", "--log-level", "error"})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

// round starts a server, makes requests and answers them, and kills the server.
func (k *killWorld) round() {
	p := k.serve()
	var dead, serves atomic.Bool
	kill := func() {
		if dead.Swap(true) {
			return
		}
		if serves.Load() && chance(0.15) && p.cmd.Process.Signal(syscall.SIGTERM) == nil {
			k.count("stopped")
			time.AfterFunc(200*time.Millisecond, p.kill) // to let calls in progress end
			return
		}
		p.kill()
	}
	if chance(0.1) { // while it starts, opens the ledger, and runs approvals that are left
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
		k.fail("the server logged an error: %s", s)
	}
	k.count("kills")
	left, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Approved})
	if err != nil {
		k.fail("%v", err)
	}
	for range left {
		k.count("approvals without a run at a kill")
	}
}

// aim chooses when to kill: at a random moment, or at an approval, the validation after it, the run
// or its answer.
func (k *killWorld) aim(kill func()) {
	time.AfterFunc(20*time.Millisecond+rand.N(1500*time.Millisecond), kill)
	if chance(0.2) {
		return
	}
	want := []string{"approval", "approval", "validate", "arrival", "answer"}[rand.N(5)]
	var left atomic.Int32
	left.Store(1 + rand.Int32N(10))
	at := func(event string) {
		if event == want && left.Add(-1) == 0 {
			kill()
		}
	}
	k.lane.trigger.Store(&at)
}

// load makes requests and answers them until the server is dead.
func (k *killWorld) load(p *process, dead *atomic.Bool) {
	var wg sync.WaitGroup
	for _, a := range k.requesters {
		a.client = &modern{p.url, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}}
		wg.Go(func() {
			for !dead.Load() && k.ask(a) {
			}
		})
	}
	ada := &answerer{strings.TrimSuffix(p.url, "/mcp"), k.ada}
	for range approvers {
		wg.Go(func() {
			for !dead.Load() && k.answer(ada) {
			}
		})
	}
	wg.Wait()
	k.lane.trigger.Store(nil)
}

// approvedActions need a person's approval.
var approvedActions = []string{"start_outbound_call", "archive_contact", "delete_contact"}

// ask makes a call, new or known, or asks for the status of a request. It reports whether the
// server is still running.
func (k *killWorld) ask(a *requester) bool {
	k.mu.Lock()
	var p *payload
	var id string
	switch {
	case chance(0.4) || len(a.payloads) == 0:
		p = k.newPayload(k.lane, a.caller, approvedActions)
		a.payloads = append(a.payloads, p)
	default:
		recent := a.payloads[max(0, len(a.payloads)-8):]
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
		k.count("got nothing")
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &r.Result.StructuredContent
	if s.Outcome == "limit_exceeded" && strings.Contains(s.Message, "were declined") {
		s.Outcome = "denied"
		liftPauses(k.t, k.l) // else nobody could be asked for five minutes
	}
	k.counts["got "+s.Outcome]++
	if s.Approval.ID != "" {
		a.approvalIDs[s.Approval.ID] = p
	}
	a.results = append(a.results, requesterResult{p, s.Outcome, s.Intent})
	return true
}

func (a *requester) call(tool, args string) (*reply, error) {
	m := *a.client
	m.http = &http.Client{Transport: bearerBy{a.secret, a.client.http.Transport}, Timeout: a.client.http.Timeout}
	return m.call(tool, args, "")
}

// bearerBy sends a token with every request, through another transport.
type bearerBy struct {
	secret string
	by     http.RoundTripper
}

func (b bearerBy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.secret)
	return b.by.RoundTrip(r)
}

// answer answers one pending request, if there is any, and reports whether the server is still
// running. It lists requests from the ledger, because the API renders all cards again after each
// change.
func (k *killWorld) answer(ada *answerer) bool {
	open, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Pending})
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
	case strings.Contains(q.Card.Earlier, "The same call"), x < 0.06:
		answer = "decline"
	case x < 0.10:
		answer = "revoke"
	}
	k.mu.Lock()
	n := len(k.replies[q.ID])
	k.replies[q.ID] = append(k.replies[q.ID], sentReply{answer: answer})
	if p := k.payloads[tokens.FindString(fmt.Sprint(q.Card.Sent))]; p != nil && answer == "approve" {
		p.approved++
	}
	k.counts["replied "+answer]++
	k.mu.Unlock()
	status, _, err := ada.answer(&q, answer)
	if err != nil {
		return false
	}
	k.mu.Lock()
	k.replies[q.ID][n].status = status
	if status != http.StatusOK {
		k.counts["replies rejected"]++
	}
	k.mu.Unlock()
	if answer == "approve" && status == http.StatusOK {
		k.lane.event("approval")
	}
	if chance(0.05) { // and revokes it, if it is not too late
		status, _, err = ada.answer(&q, "revoke")
		k.mu.Lock()
		k.replies[q.ID] = append(k.replies[q.ID], sentReply{"revoke", status})
		k.mu.Unlock()
	}
	return err == nil
}

// last starts one more server to finish the approved calls, and asks for the status of every
// request.
func (k *killWorld) last() {
	p := k.serve()
	must(k.t, p.listening())
	defer func() { p.kill(); <-p.ended }()
	until(k.t, 20*time.Second, func() bool {
		approved, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{Open: true, State: ledger.Approved})
		return err == nil && len(approved) == 0
	}, func() string { return "an approved call is not run" })
	all, err := k.l.Approvals(k.t.Context(), ledger.ApprovalFilter{})
	must(k.t, err)
	for _, a := range k.requesters {
		a.client = newModern(p.url)
		for i := range all {
			if q := &all[i]; q.Credential == a.id {
				k.checkStatus(a, q.ID)
			}
		}
		a.client.http.CloseIdleConnections()
	}
}
