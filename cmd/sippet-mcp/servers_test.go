package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestApprovalRacedOverServers sends one approval to three servers many times at once. It is used
// once.
func TestApprovalRacedOverServers(t *testing.T) {
	const races, each = 12, 6
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Delay: 10 * time.Millisecond}))
	_, clients := startServers(t, 3, dir, up.URL)
	outcomes, states := map[string]int{}, map[int]string{}
	call := func(race int) (tool, args string) {
		// A repeat of the first is recorded; the second is idempotent and may run again.
		if race%2 == 0 {
			return "start_outbound_call", fmt.Sprintf(`{"input":{"phoneNumber":"+4420794%05d"}}`, race)
		}
		return "archive_contact", fmt.Sprintf(`{"identity":"%s"}`, rpctest.ID(race))
	}
	for race := range races {
		tool, args := call(race)
		requested, err := clients[race%3].call(tool, args, "")
		if err != nil || requested.Result.RequestState == "" {
			t.Fatalf("no request for input: %v %+v", err, requested)
		}
		states[race] = requested.Result.RequestState
	}
	time.Sleep(reads)
	for race := range races {
		if t.Failed() {
			return // a server that hangs would delay every race
		}
		tool, args := call(race)
		up.Forget()
		done := 0
		for _, o := range raceApproval(t, clients, each, tool, args, states[race]) {
			outcomes[o]++
			if o == "done" {
				done++
			}
		}
		// One call on each server waits for the run.
		if n := ran(up, tool); n != 1 || done < 1 {
			t.Errorf("%s: one approval ran %d times, and %d callers got done", tool, n, done)
		}
	}
	l := openState(t, dir)
	uses := map[string]int{}
	intents, err := l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range intents {
		uses[in.ApprovalID]++
	}
	if len(intents) != races || len(uses) != races {
		t.Errorf("%d approvals were used %d times", len(uses), len(intents))
	}
	verified(t, l, ledger.VerifyOptions{})
	t.Logf("%d approvals, each sent %d times to three servers: %v", races, 3*each, outcomes)
}

// raceApproval sends an approval to all servers, several times at once, and returns the outcomes.
func raceApproval(t *testing.T, clients []*modern, each int, tool, args, state string) []string {
	var wg sync.WaitGroup
	got := make([]string, each*len(clients))
	start := make(chan struct{})
	for i := range got {
		wg.Go(func() {
			<-start
			r, err := clients[i%len(clients)].answer(tool, args, state, approves)
			if err != nil {
				t.Error(err)
				return
			}
			switch got[i] = r.outcome(); got[i] {
			case "done", "approval_pending": // the last one: it is running, and another call waits for it
			default:
				t.Errorf("%s: %+v", tool, r)
			}
		})
	}
	close(start)
	wg.Wait()
	return got
}

// outcomeSpan is an outcome that a client got, with the times of the first call that got it.
type outcomeSpan struct {
	began, ended time.Time
	outcome      string
}

// watcher makes new calls to one server, and stores each outcome that differs from the previous
// one.
type watcher struct {
	mu      sync.Mutex
	changes []outcomeSpan
}

func (w *watcher) watch(t *testing.T, m *modern, name string, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond): // an AI takes longer
		}
		began := time.Now()
		r, err := m.call("create_contact", fmt.Sprintf(`{"input":{"fullName":"%s %d"}}`, name, i), "")
		if err != nil {
			t.Error(err)
			return
		}
		w.mu.Lock()
		if n := len(w.changes); n == 0 || w.changes[n-1].outcome != r.outcome() {
			w.changes = append(w.changes, outcomeSpan{began, time.Now(), r.outcome()})
		}
		w.mu.Unlock()
	}
}

// await waits until the server answers with an outcome, after a time. It returns when the first
// call with that outcome was made.
func (w *watcher) await(t *testing.T, then time.Time, outcome string) time.Time {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		last := outcomeSpan{}
		if n := len(w.changes); n > 0 {
			last = w.changes[n-1]
		}
		w.mu.Unlock()
		if last.outcome == outcome && last.ended.After(then) {
			return last.began
		}
	}
	t.Fatalf("the server never answered %s: %+v", outcome, w.changes)
	return time.Time{}
}

// TestStopHoldsOnServers makes and ends emergency stops, through the ledger and by the command. All
// servers obey within a second.
func TestStopHoldsOnServers(t *testing.T) {
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	l := openState(t, dir)
	_, clients := startServers(t, 3, dir, up.URL)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	watchers := make([]watcher, len(clients))
	for i, m := range clients {
		wg.Go(func() { watchers[i].watch(t, m, fmt.Sprint("server ", i), stop) })
	}
	// Once, also if the test ends early.
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	began := time.Now()
	for i := range watchers {
		watchers[i].await(t, began.Add(-time.Second), "done")
	}
	var slowest, making [2]time.Duration
	for round := range 6 {
		byCommand := round%2 == 1
		stopping := time.Now()
		stopServers(t, l, dir, byCommand)
		durable, runs := time.Now(), ran(up, "create_contact")
		making[0] = max(making[0], durable.Sub(stopping))
		slowest[0] = max(slowest[0], timeToObey(t, watchers, stopping, durable, "stopped"))
		// Only calls that were committed before the stop may still arrive.
		if more := ran(up, "create_contact") - runs; more > len(clients) {
			t.Errorf("round %d: %d writes arrived after the stop", round, more)
		}
		for i, m := range clients {
			if r, err := m.call("list_contacts", `{}`, ""); err != nil || r.outcome() != "done" {
				t.Errorf("server %d does not read during the stop: %v %+v", i, err, r)
			}
			r, err := m.call("start_outbound_call", `{"input":{"phoneNumber":"+442079460123"}}`, "")
			if err != nil || r.outcome() != "stopped" {
				t.Errorf("server %d: %v %+v", i, err, r)
			}
		}
		if r, err := hangUp(clients[round%3], round); err != nil || r.outcome() != "done" {
			t.Errorf("hanging up during the stop: %v %+v", err, r)
		}
		for _, in := range preparedSince(t, l, durable) {
			t.Errorf("round %d: %s was prepared during the stop", round, in)
		}
		began := time.Now()
		resume(t, l, dir, byCommand)
		resumed := time.Now()
		making[1] = max(making[1], resumed.Sub(began))
		slowest[1] = max(slowest[1], timeToObey(t, watchers, began, resumed, "done"))
	}
	end()
	verified(t, l, ledger.VerifyOptions{})
	t.Logf("at most: %v to stop, %v more until all obeyed; %v to resume, %v more until all obeyed", making[0], slowest[0], making[1], slowest[1])
}

func stopServers(t *testing.T, l *ledger.SQLite, dir string, byCommand bool) {
	t.Helper()
	err := error(nil)
	if byCommand {
		err = command("stop", "--state-dir", dir).Run()
	} else {
		err = l.Stop(t.Context(), ledger.StopScope{Kind: ledger.StopEverything}, ledger.Actor{Name: "ada"}, "enough")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, l *ledger.SQLite, dir string, byCommand bool) {
	t.Helper()
	err := error(nil)
	if byCommand {
		err = command("resume", "--state-dir", dir).Run()
	} else {
		_, err = l.Resume(t.Context(), ledger.StopScope{Kind: ledger.StopEverything}, ledger.Actor{Name: "ada"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// timeToObey returns how long after a change the slowest server answered with the outcome.
func timeToObey(t *testing.T, watchers []watcher, began, made time.Time, outcome string) (slowest time.Duration) {
	t.Helper()
	for i := range watchers {
		took := watchers[i].await(t, began, outcome).Sub(made)
		if took > time.Second {
			t.Errorf("server %d was %s after %v", i, outcome, took)
		}
		slowest = max(slowest, took)
	}
	return slowest
}

func hangUp(m *modern, n int) (*reply, error) {
	args := fmt.Sprintf(`{"input":{"callUuid":"%s"}}`, rpctest.ID(n))
	asked, err := m.call("end_call", args, "")
	if err != nil || asked.Result.RequestState == "" {
		return asked, err
	}
	time.Sleep(reads)
	return m.answer("end_call", args, asked.Result.RequestState, approves)
}

func preparedSince(t *testing.T, l *ledger.SQLite, since time.Time) (actions []string) {
	t.Helper()
	all, err := l.Intents(t.Context(), ledger.IntentFilter{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		if in.Action != ledger.HangUp {
			actions = append(actions, in.Action)
		}
	}
	return actions
}

// TestOthersGoOn kills one of three servers. The others go on, and give its open intents an unknown
// outcome.
func TestOthersGoOn(t *testing.T) {
	t.Parallel() // it mostly waits
	dir, up := filepath.Join(t.TempDir(), "state"), rpctest.New(t)
	arrived := make(chan struct{})
	up.On(rpctest.Run, "", func(r rpctest.Request) rpctest.Answer {
		if bytes.Contains(r.Body, []byte("Worker 0,")) {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
		return rpctest.Answer{Usual: true, Delay: 200 * time.Millisecond}
	})
	all, clients := startServers(t, 3, dir, up.URL)
	var wg sync.WaitGroup
	var mu sync.Mutex
	calls := map[string]int{}
	lost := map[string]bool{} // calls without an answer
	stop := make(chan struct{})
	var killed atomic.Bool
	for i := range 12 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				args := fmt.Sprintf(`{"input":{"fullName":"Worker %d, call %d"}}`, i, n)
				r, err := clients[i%3].call("create_contact", args, "")
				mu.Lock()
				switch {
				case i%3 == 0 && killed.Load() && err != nil:
					lost[args] = true
					mu.Unlock()
					return
				case err != nil:
					t.Errorf("server %d: %v", i%3, err)
				default:
					calls[r.outcome()]++
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	<-arrived // at least one call of the first server is in flight
	killed.Store(true)
	all[0].kill()
	<-all[0].ended
	death := time.Now()
	time.Sleep(time.Second)
	close(stop)
	wg.Wait()
	if calls["done"] < 10 || len(calls) != 1 || len(lost) == 0 {
		t.Errorf("after a kill: %v, and %d calls lost", calls, len(lost))
	}
	unknown, l := 0, openState(t, dir)
	for args := range maps.Keys(lost) {
		known, err := awaitUnknown(clients[1], args, death)
		if err != nil {
			t.Error(err)
		}
		liftPauses(t, l)
		if known {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("the dead process left no open intent, so the test shows nothing")
	}
	took := time.Since(death)
	r := verified(t, l, ledger.VerifyOptions{})
	if r.InFlight != 0 || r.Unknown != unknown {
		t.Errorf("%+v, want %d unknown", r, unknown)
	}
	t.Logf("%v on the others; %d calls of the dead server lost; all %d open intents were unknown after %v", calls, len(lost), unknown, took)
}

// liftPauses ends the pauses after declines.
func liftPauses(t testing.TB, l ledger.Ledger) {
	t.Helper()
	all, err := l.Pauses(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, p := range all {
		if err := l.LiftPause(t.Context(), p.Declined.ID, ledger.Actor{Name: "ada", Via: "inbox"}); err != nil && !errors.Is(err, ledger.ErrNoPause) {
			t.Error(err)
		}
	}
}

// awaitUnknown repeats a lost call on another server until its outcome is unknown, and declines the
// repeat. It returns false if the call had no intent yet, and ran now.
func awaitUnknown(m *modern, args string, death time.Time) (bool, error) {
	for time.Since(death) < 30*time.Second {
		r, err := m.call("create_contact", args, "")
		switch {
		case err != nil:
			return false, err
		case r.outcome() == "done" || r.outcome() == "recorded":
			return false, nil
		case strings.Contains(r.request(), "its outcome is unknown"):
			time.Sleep(reads)
			_, err = m.answer("create_contact", args, r.Result.RequestState, declines)
			return true, err
		case r.outcome() != "outcome_unknown": // the outcome of a running call
			return false, fmt.Errorf("%+v", r)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return false, errors.New("half a minute later the call of a dead process is still running")
}
