package policy_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// watchedLedger signals when an executor has read the approved requests.
type watchedLedger struct {
	ledger.Ledger
	seen chan struct{}
}

func (l watchedLedger) Approvals(ctx context.Context, f ledger.ApprovalFilter) ([]ledger.ApprovalRequest, error) {
	all, err := l.Ledger.Approvals(ctx, f)
	if f.State == ledger.Approved {
		select {
		case l.seen <- struct{}{}:
		default:
		}
	}
	return all, err
}

// runOnce lets an executor read the approved requests once, and run them.
func (o *approvalWorld) runOnce(t testing.TB) {
	t.Helper()
	seen := make(chan struct{}, 1)
	stop := o.startExecutorOn(t, watchedLedger{o.Ledger, seen})
	<-seen
	stop()
}

// TestApprovalExpiresSoon checks that an approval that could not run within a minute expires, and
// that the requester gets that.
func TestApprovalExpiresSoon(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		runs  int
	}{{approval.ValidFor - time.Second, 1}, {approval.ValidFor, 0}, {time.Hour, 0}} {
		o := newApprovalWorld(t, house)
		asks := call(t, adaCaller, "delete_contact", eraseContact)
		id := o.ask(t, asks)
		o.answer(t, id, bobPerson, approves)
		if s := o.status(t, id); s.Pending == nil || !strings.Contains(s.Err.Message, "bob approved, and delete_contact is about to run") {
			t.Errorf("at once: %s", brief(s))
		}
		o.clock.Add(c.after)
		stop := o.startExecutor(t)
		if c.runs == 0 {
			if s := o.status(t, id); s.Outcome() != schemas.Denied || s.Pending != nil || !strings.Contains(s.Err.Message, "bob approved, but the call could not run in time") {
				t.Errorf("after %s: %s", c.after, brief(s))
			}
			if a := o.Do(t.Context(), asks); a.Pending == nil || !a.Pending.New {
				t.Errorf("after %s there is no new request: %s", c.after, brief(a))
			}
		} else if a := o.outcome(t, id); a.Outcome() != schemas.Done {
			t.Errorf("after %s: %s", c.after, brief(a))
		}
		stop()
		if got := o.up.runs(); len(got) != c.runs {
			t.Errorf("after %s it ran %q", c.after, got)
		}
	}
}

// TestMilderRules checks that a run uses up its approval even if the rules need none any more;
// otherwise the executor would run the call again.
func TestMilderRules(t *testing.T) {
	morning := house + "rules: [{id: early, match: {actions: [update_contact]}, when: \"!between(now, 'UTC', '12:05', '20:00')\", decision: confirm, reason: It is early.}]\n"
	morning = strings.Replace(morning, "write: confirm", "write: validate", 1)
	for _, action := range []string{"update_contact", "create_contact"} {
		t.Run(action, func(t *testing.T) {
			o := newApprovalWorld(t, strings.ReplaceAll(morning, "update_contact", action))
			args := createArgs
			if action == "update_contact" {
				args = `{"identity":"` + anID + `","input":{"metadata":{"vip":true}}}`
			}
			asks := call(t, adaCaller, action, args)
			id := o.ask(t, asks)
			o.clock.Add(6 * time.Minute)
			if a := o.Explain(t.Context(), asks); a.Verdict.Decision.String() != "validate" {
				t.Fatalf("now it needs %s", a.Verdict.Decision)
			}
			o.answer(t, id, adaPerson, approves)
			for range 3 {
				o.runOnce(t)
			}
			if s := o.status(t, id); s.Outcome() != schemas.Done {
				t.Errorf("%s", brief(s))
			}
			if q := o.request(t, id); q.State != ledger.Used || len(o.up.runs()) != 1 {
				t.Errorf("the approval is %s, and it ran %d times", q.State, len(o.up.runs()))
			}
		})
	}
}

// TestOvertakenInInbox checks that an approval is revoked if the same call ran while the request
// was pending, whatever the rules need by then.
func TestOvertakenInInbox(t *testing.T) {
	evening := strings.Replace(daytime, "write: confirm", "write: validate", 1)
	evening = strings.Replace(evening, "!between(now, 'UTC', '08:00', '12:05')", "between(now, 'UTC', '08:00', '12:05')", 1)
	o := newApprovalWorld(t, evening)
	asks := call(t, adaCaller, "create_contact", createArgs)
	id := o.ask(t, asks)
	o.clock.Add(6 * time.Minute)
	if a := o.Do(t.Context(), asks); a.Outcome() != schemas.Done {
		t.Fatal(brief(a))
	}
	o.answer(t, id, bobPerson, approves)
	o.startExecutor(t)
	if a := o.outcome(t, id); a.Outcome() != schemas.Denied || !strings.Contains(a.Err.Message, "while the request was pending") || len(o.up.runs()) != 1 {
		t.Errorf("%s, ran %d times", brief(a), len(o.up.runs()))
	}
}

// TestRunAgainFromInbox checks that a call that ran a moment ago runs again if it is meant and a
// person approves it with a card that mentions the first run.
func TestRunAgainFromInbox(t *testing.T) {
	o := newApprovalWorld(t, strings.Replace(house, "write: confirm", "write: validate", 1))
	o.startExecutor(t)
	first := call(t, adaCaller, "create_contact", createArgs)
	if a := o.Do(t.Context(), first); a.Outcome() != schemas.Done {
		t.Fatal(brief(a))
	}
	o.clock.Add(2 * time.Minute)
	again := first
	again.Again = true
	a := o.Do(t.Context(), again)
	if a.Pending == nil || !strings.Contains(a.Pending.Card.Earlier, "The same call ran 2 minutes ago. Approving runs it once more.") {
		t.Fatalf("%+v", a)
	}
	o.answer(t, a.Pending.ApprovalID, adaPerson, approves)
	if a := o.outcome(t, a.Pending.ApprovalID); a.Outcome() != schemas.Done || len(o.up.runs()) != 2 {
		t.Errorf("%s, ran %d times", brief(a), len(o.up.runs()))
	}
}

// setProcess changes the process of requests in a closed ledger.
func setProcess(t *testing.T, dir string, names map[string]string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for id, name := range names {
		if _, err := db.Exec("UPDATE approvals SET process = "+name+" WHERE id = ?", id); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOrphans checks that an executor runs the requests of its own process, and of a process that
// has certainly ended; no others.
func TestOrphans(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	o := newApprovalWorld(t, house)
	before := ledgertest.Open(t, ledger.Options{Dir: dir, Now: o.clock.Now})
	o.useLedger(before)
	id := map[string]string{}
	names, ended := []string{"ended", "alive", "elsewhere", "mine"}, []string{"ended", "mine"}
	if runtime.GOOS == "linux" { // it says when a process started, and that it waits for its parent
		names, ended = append(names, "reused", "zombie"), append(ended, "reused", "zombie")
	}
	for _, name := range names {
		id[name] = o.ask(t, call(t, adaCaller, "create_contact", fmt.Sprintf(`{"input":{"fullName":%q}}`, name)))
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zombie.Wait() }()
	// An earlier process with our id has ended, our parent is alive, and a process of another
	// machine is unknown. Another process has our parent's id now, and the zombie's parent has not
	// noticed its end.
	named := func(pid int, rest string) string {
		return fmt.Sprintf("substr(process, 1, instr(process, ' ')) || '%d %s'", pid, rest)
	}
	setProcess(t, dir, map[string]string{id["reused"]: named(os.Getppid(), "x 1"), id["zombie"]: named(zombie.Process.Pid, "x"), id["ended"]: "process || 'x'", id["elsewhere"]: "'elsewhere' || substr(process, instr(process, ' '))",
		id["alive"]: named(os.Getppid(), "x")})
	after := ledgertest.Open(t, ledger.Options{Dir: dir, Now: o.clock.Now})
	o.useLedger(after)
	for _, one := range id {
		o.answer(t, one, adaPerson, approves)
	}
	stop := o.startExecutor(t)
	for _, name := range ended {
		if a := o.outcome(t, id[name]); a.Outcome() != schemas.Done {
			t.Errorf("%s: %s", name, brief(a))
		}
	}
	stop()
	if got := o.up.runs(); len(got) != len(ended) {
		t.Errorf("it ran %q", got)
	}
	for _, name := range []string{"alive", "elsewhere"} {
		if q := o.request(t, id[name]); q.State != ledger.Approved || q.OwnProcess || q.Orphaned {
			t.Errorf("%s: %s, here %t, orphaned %t", name, q.State, q.OwnProcess, q.Orphaned)
		}
	}
}

// TestOrphanUnderAnotherPolicy checks that a process with another policy takes a request over and
// decides again: the approval holds unless the decision is stricter.
func TestOrphanUnderAnotherPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		policy  string
		outcome schemas.Outcome
	}{
		"an unrelated rule": {house + noNewContacts, schemas.Done},
		"milder":            {strings.Replace(house, "destructive: approve", "destructive: confirm", 1), schemas.Done},
		"stricter":          {strings.Replace(house, "destructive: approve", "destructive: deny", 1), schemas.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			o := newApprovalWorld(t, house)
			before := ledgertest.Open(t, ledger.Options{Dir: dir, Now: o.clock.Now})
			o.useLedger(before)
			id := o.ask(t, call(t, adaCaller, "delete_contact", eraseContact))
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			setProcess(t, dir, map[string]string{id: "process || 'x'"}) // an earlier one with our id
			o.Policy = parsePolicy(t, c.policy)
			o.useLedger(ledgertest.Open(t, ledger.Options{Dir: dir, Now: o.clock.Now}))
			o.answer(t, id, bobPerson, approves)
			o.startExecutor(t)
			if a := o.outcome(t, id); a.Outcome() != c.outcome {
				t.Error(brief(a))
			}
		})
	}
}

// TestRequestOfAnotherProcess checks that a request of another organisation is left alone, and that
// a store error does not count as one.
func TestRequestOfAnotherProcess(t *testing.T) {
	o := newApprovalWorld(t, house)
	var mu sync.Mutex
	asked := 0
	o.gateFor = func(context.Context, ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 1 {
			return nil, policy.Caller{}, fmt.Errorf("reading the token: %w", errDisk)
		}
		return nil, policy.Caller{}, fmt.Errorf("another organisation: %w", policy.ErrElsewhere)
	}
	id := o.ask(t, call(t, adaCaller, "create_contact", createArgs))
	o.answer(t, id, adaPerson, approves)
	seen := make(chan struct{}, 1)
	stop := o.startExecutorOn(t, watchedLedger{o.Ledger, seen})
	for n := range 8 { // tried again after the store error, and not after ErrElsewhere
		<-seen
		time.Sleep(5 * time.Millisecond)                                                             // while GateFor runs, the request is not tried again
		o.ask(t, call(t, boCaller, "create_contact", fmt.Sprintf(`{"input":{"fullName":"%d"}}`, n))) // a change
		o.watch.Poke()
	}
	stop()
	if q := o.request(t, id); q.State != ledger.Approved || asked != 2 || len(o.up.runs()) != 0 {
		t.Errorf("the approval is %s after %d calls of GateFor", q.State, asked)
	}
}

// TestTwoExecutors checks that one of two executors of a ledger runs an approved call, even if both
// have passed all checks before the commit.
func TestTwoExecutors(t *testing.T) {
	for _, c := range []struct{ action, args string }{{"create_contact", createArgs}, {"archive_contact", `{"identity":"` + anID + `"}`}} {
		for range 5 {
			o := newApprovalWorld(t, house)
			id := o.ask(t, call(t, adaCaller, c.action, c.args))
			waiting := o.await(t, id)
			both, in := make(chan struct{}), 0
			o.up.with(func(s *sippet) {
				s.onCheck = func() {
					var last bool
					s.with(func(*sippet) { in++; last = in == 2 })
					if last {
						close(both)
					}
					select {
					case <-both:
					case <-time.After(10 * time.Second):
						t.Error("the other executor did not run it")
					}
				}
			})
			o.answer(t, id, bobPerson, approves)
			one, other := o.startExecutor(t), o.startExecutor(t)
			if a := <-waiting; a.Outcome() != schemas.Done {
				t.Errorf("%s", brief(a))
			}
			one()
			other()
			if got := o.up.runs(); len(got) != 1 {
				t.Errorf("%s ran %d times", c.action, len(got))
			}
			if s := o.status(t, id); s.Outcome() != schemas.Done {
				t.Errorf("afterwards: %s", brief(s))
			}
		}
	}
}

// TestExecutorStops checks that an executor completes the calls that it has begun.
func TestExecutorStops(t *testing.T) {
	o := newApprovalWorld(t, house)
	begun, hold := make(chan struct{}), make(chan struct{})
	o.up.with(func(s *sippet) { s.onRun = func() { close(begun); <-hold } })
	id := o.ask(t, call(t, adaCaller, "create_contact", createArgs))
	stop := o.startExecutor(t)
	o.answer(t, id, adaPerson, approves)
	<-begun
	if s := o.status(t, id); s.Pending == nil || !strings.Contains(s.Err.Message, "is running") {
		t.Errorf("while it runs: %s", brief(s))
	}
	down := make(chan struct{})
	go func() { stop(); close(down) }()
	select {
	case <-down:
		t.Error("it ended before the run")
	case <-time.After(50 * time.Millisecond):
	}
	close(hold)
	<-down
	if s := o.status(t, id); s.Outcome() != schemas.Done {
		t.Errorf("%s", brief(s))
	}
}

// TestExecutorStoreFails checks that a call does not run while the ledger cannot be written, and
// that it is tried again while the approval is valid.
func TestExecutorStoreFails(t *testing.T) {
	o := newApprovalWorld(t, house)
	id := o.ask(t, call(t, adaCaller, "create_contact", createArgs))
	whole := o.Ledger
	o.answer(t, id, adaPerson, approves)
	o.useLedger(brokenStore{brokenStore{whole, "commit"}, "answer"})
	stop := o.startExecutor(t)
	waitFor(t, func() bool { return len(o.up.lifecycle()) >= 2 }) // a validate for the request, and one for the run
	stop()
	if q := o.request(t, id); q.State != ledger.Approved || len(o.up.runs()) != 0 {
		t.Errorf("the approval is %s, ran %q", q.State, o.up.runs())
	}
	o.useLedger(whole)
	o.startExecutor(t)
	if a := o.outcome(t, id); a.Outcome() != schemas.Done || len(o.up.runs()) != 1 {
		t.Errorf("%s", brief(a))
	}
}
