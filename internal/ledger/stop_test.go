package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

var (
	everything = ledger.StopScope{Kind: ledger.StopEverything}
	ringing    = ledger.StopScope{Kind: ledger.StopRinging}
)

func assistantsOf(person string) ledger.StopScope {
	return ledger.StopScope{Kind: ledger.StopAssistant, Person: person}
}

func stop(t testing.TB, l ledger.Ledger, scope ledger.StopScope) {
	t.Helper()
	if err := l.Stop(t.Context(), scope, ledger.Actor{Name: "grace"}, "lunch"); err != nil {
		t.Fatal(err)
	}
}

func resume(t testing.TB, l ledger.Ledger, scope ledger.StopScope, want ...ledger.StopScope) {
	t.Helper()
	ended, err := l.Resume(t.Context(), scope, ledger.Actor{Name: "grace"})
	if err != nil || len(ended) != len(want) {
		t.Fatalf("resuming %v ended %+v, %v", scope, ended, err)
	}
	for i, e := range ended {
		if !e.Same(want[i]) {
			t.Errorf("resuming %v ended %v, not %v", scope, e.StopScope, want[i])
		}
	}
}

// ring returns a call that rings, by a caller.
func ring(n, caller string) ledger.Txn {
	x := call(n)
	x.Action, x.Class, x.EffectKind, x.Caller = "start_outbound_call", schemas.Outbound, schemas.Ringing, ledger.Actor{Name: caller, Via: "token t1"}
	return x
}

// createBy returns a call that rings nobody, by a caller.
func createBy(n, caller string) ledger.Txn {
	x := call(n)
	x.Caller = ledger.Actor{Name: caller, Via: "stdio"}
	return x
}

func TestEmergencyStop(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	pending, x := createApproval(t, l, call("w"), c.now().Add(time.Minute)), call("g")
	approved := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, approved, ledger.Approved)
	if s, err := l.CurrentStops(t.Context()); err != nil || len(s) != 0 {
		t.Fatal(s, err)
	}
	stop(t, l, everything)
	if s, err := l.CurrentStops(t.Context()); err != nil || len(s) != 1 || s[0].By.String() != "grace" || s[0].Note != "lunch" || s[0].StopScope != everything {
		t.Fatalf("stops: %+v, %v", s, err)
	}
	wantErr(t, "pending", l.CheckApproval(t.Context(), pending), ledger.ErrApprovalRevoked)
	wantErr(t, "approved", l.CheckApproval(t.Context(), approved), ledger.ErrApprovalRevoked)
	var stopped *ledger.StoppedError
	if _, err := l.Commit(t.Context(), x); !errors.As(err, &stopped) || stopped.Note != "lunch" {
		t.Errorf("commit during the stop: %v", err)
	}
	if err := l.CreateApproval(t.Context(), approvalFor(x, c.now().Add(time.Minute))); !errors.As(err, &stopped) {
		t.Errorf("create during the stop: %v", err)
	}
	up := call("up")
	up.Action, up.Class = ledger.HangUp, "destructive"
	commit(t, l, up)
	commit(t, l, up) // also while the first is in flight
	safe := call("flag")
	safe.Safe = true
	commit(t, l, safe)
	commit(t, l, safe)
	resume(t, l, everything, everything)
	resume(t, l, everything)
	wantErr(t, "after the stop", l.CheckApproval(t.Context(), approved), ledger.ErrApprovalRevoked)
	commit(t, l, x)
	verifyClean(t, l)
}

// TestStopScopes: a stop rejects the calls that it covers, at a request, an answer and the commit,
// and revokes the requests of those calls only.
func TestStopScopes(t *testing.T) {
	calls := map[string]func(n string) ledger.Txn{
		"ada rings":   func(n string) ledger.Txn { return ring(n, "ada") },
		"ada creates": func(n string) ledger.Txn { return createBy(n, "ada") },
		"bob rings":   func(n string) ledger.Txn { return ring(n, "bob") },
		"bob creates": func(n string) ledger.Txn { return createBy(n, "bob") },
	}
	for name, c := range map[string]struct {
		scope   ledger.StopScope
		stopped []string
	}{
		"everything":         {everything, []string{"ada rings", "ada creates", "bob rings", "bob creates"}},
		"ringing":            {ringing, []string{"ada rings", "bob rings"}},
		"assistants":         {assistantsOf("ada"), []string{"ada rings", "ada creates"}},
		"in any case":        {assistantsOf("ADA"), []string{"ada rings", "ada creates"}},
		"another's":          {assistantsOf("ad"), nil},
		"a name with spaces": {assistantsOf("ada "), nil},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			l := open(t, ledger.Options{Now: clock.now})
			covered := map[string]bool{}
			for _, s := range c.stopped {
				covered[s] = true
			}
			pending, approved := map[string]ledger.ApprovalRequest{}, map[string]ledger.ApprovalRequest{}
			for who, of := range calls {
				pending[who] = createApproval(t, l, of("p"), clock.now().Add(time.Hour))
				approved[who] = createApproval(t, l, of("a"), clock.now().Add(time.Hour))
				answer(t, l, approved[who], ledger.Approved)
			}
			stop(t, l, c.scope)
			for who, of := range calls {
				wantPending, wantApproved := ledger.ErrApprovalPending, error(nil)
				if covered[who] {
					wantPending, wantApproved = ledger.ErrApprovalRevoked, ledger.ErrApprovalRevoked
				}
				wantErr(t, who+", pending", l.CheckApproval(t.Context(), pending[who]), wantPending)
				wantErr(t, who+", approved", l.CheckApproval(t.Context(), approved[who]), wantApproved)
				var stopped *ledger.StoppedError
				rejected := func(what string, err error) {
					t.Helper()
					if got := errors.As(err, &stopped); got != covered[who] || !got && err != nil {
						t.Errorf("%s, %s: %v", who, what, err)
					}
				}
				_, err := l.Commit(t.Context(), of("new"))
				rejected("commit", err)
				rejected("a request", l.CreateApproval(t.Context(), approvalFor(of("other"), clock.now().Add(time.Hour))))
				x := of("a")
				if x.ApprovalID = approved[who].ID; !covered[who] {
					settle(t, l, commit(t, l, x), ledger.Succeeded)
				}
			}
			up := ring("up", "ada")
			up.Action, up.Class, up.EffectKind = ledger.HangUp, schemas.Destructive, ""
			commit(t, l, up)
			resume(t, l, ledger.StopScope{}, c.scope)
			for who, of := range calls {
				commit(t, l, of("after"))
				if covered[who] {
					wantErr(t, who+", after", l.CheckApproval(t.Context(), approved[who]), ledger.ErrApprovalRevoked)
				}
			}
			if r := records(t, l, ledger.Filter{Phase: ledger.PhaseStopped}); len(r) != 1 || r[0].Count != int64(2*len(c.stopped)) ||
				r[0].Scope != string(c.scope.Kind) || r[0].Person != c.scope.Person {
				t.Errorf("%+v", r)
			}
			verifyClean(t, l)
		})
	}
}

// TestStopsOverlap: where one of two stops ends, the other still covers its calls.
func TestStopsOverlap(t *testing.T) {
	l := open(t, ledger.Options{})
	var stopped *ledger.StoppedError
	check := func(what string, x ledger.Txn, by string) {
		t.Helper()
		_, err := l.Commit(t.Context(), x)
		if by == "" && err != nil || by != "" && (!errors.As(err, &stopped) || stopped.StopScope.String() != by) {
			t.Errorf("%s: %v", what, err)
		}
	}
	stop(t, l, assistantsOf("ada"))
	stop(t, l, ringing)
	stop(t, l, assistantsOf("Ada")) // no second one
	check("ada rings", ring("1", "ada"), "ringing")
	check("ada creates", createBy("2", "ada"), "the assistants of ada")
	check("bob rings", ring("3", "bob"), "ringing")
	check("bob creates", createBy("4", "bob"), "")
	resume(t, l, ringing, ringing)
	check("ada rings", ring("5", "ada"), "the assistants of ada")
	check("bob rings", ring("6", "bob"), "")
	stop(t, l, everything)
	check("ada rings", ring("7", "ada"), "everything")
	resume(t, l, assistantsOf("bob"))
	resume(t, l, assistantsOf("ADA"), assistantsOf("ada"))
	check("ada creates", createBy("8", "ada"), "everything")
	stop(t, l, ringing)
	resume(t, l, everything, everything)
	check("ada creates", createBy("9", "ada"), "")
	check("ada rings", ring("10", "ada"), "ringing")
	stop(t, l, assistantsOf("bob"))
	resume(t, l, ledger.StopScope{}, ringing, assistantsOf("bob"))
	check("bob rings", ring("11", "bob"), "")
	verifyClean(t, l)
}

// TestStopScopeInvalid: a scope that stops nothing, or something unclear, is rejected.
func TestStopScopeInvalid(t *testing.T) {
	l := open(t, ledger.Options{})
	for _, s := range []ledger.StopScope{{}, {Kind: "all"}, {Kind: ledger.StopAssistant}, {Kind: ledger.StopRinging, Person: "ada"}, {Person: "ada"}} {
		if err := l.Stop(t.Context(), s, ledger.Actor{Name: "ada"}, ""); !errors.Is(err, ledger.ErrRejected) {
			t.Errorf("%+v: %v", s, err)
		}
		if _, err := l.Resume(t.Context(), s, ledger.Actor{Name: "ada"}); s != (ledger.StopScope{}) && !errors.Is(err, ledger.ErrRejected) {
			t.Errorf("resuming %+v: %v", s, err)
		}
	}
	if s, err := l.CurrentStops(t.Context()); err != nil || len(s) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestNotSentAfterStop: an approval returns after its call was not sent, unless a stop since then
// covers the call.
func TestNotSentAfterStop(t *testing.T) {
	for name, c := range map[string]struct {
		scope ledger.StopScope
		ended bool
		want  error
	}{
		"ended":             {assistantsOf("ada"), true, ledger.ErrApprovalRevoked},
		"in force":          {ringing, false, ledger.ErrApprovalRevoked},
		"of others":         {assistantsOf("bob"), false, nil},
		"of others, ended":  {assistantsOf("bob"), true, nil},
		"everything, ended": {everything, true, ledger.ErrApprovalRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			l := open(t, ledger.Options{Now: clock.now})
			x := ring("a", "ada")
			request := createApproval(t, l, x, clock.now().Add(time.Hour))
			answer(t, l, request, ledger.Approved)
			x.ApprovalID = request.ID
			in := commit(t, l, x)
			if stop(t, l, c.scope); c.ended {
				resume(t, l, c.scope, c.scope)
			}
			settle(t, l, in, ledger.NotSent)
			wantErr(t, name, l.CheckApproval(t.Context(), request), c.want)
			verifyClean(t, l)
		})
	}
}

// TestStopHandover: what a call of a stopped assistant issued is not handed over.
func TestStopHandover(t *testing.T) {
	l := open(t, ledger.Options{})
	x := createBy("a", "ada")
	x.Class, x.Action = schemas.Credential, "issue_operator_access_token"
	request := createApproval(t, l, x, time.Now().Add(time.Hour))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	err := l.Settle(t.Context(), ledger.Settlement{Intent: commit(t, l, x).ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done,
		Handover: []byte(`{"token":"t"}`), HandoverUntil: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	var stopped *ledger.StoppedError
	stop(t, l, assistantsOf("ada"))
	if _, err := l.TakeHandover(t.Context(), request.ID, ledger.Actor{Name: "bob"}); !errors.As(err, &stopped) {
		t.Errorf("ada's are stopped: %v", err)
	}
	resume(t, l, ledger.StopScope{}, assistantsOf("ada"))
	stop(t, l, assistantsOf("bob"))
	stop(t, l, ringing)
	if _, err := l.TakeHandover(t.Context(), request.ID, ledger.Actor{Name: "bob"}); err != nil {
		t.Errorf("others are stopped: %v", err)
	}
}

// TestStopTampered: verify finds a stop that was changed, removed or narrowed behind the log.
func TestStopTampered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	stop(t, l, everything)
	stop(t, l, assistantsOf("ada"))
	stop(t, l, ringing)
	resume(t, l, ringing, ringing)
	l.Close()
	if r := verify(t, copyDir(t, dir), ledger.VerifyOptions{}); len(r.Findings) != 0 {
		t.Fatalf("untouched: %+v", r.Findings)
	}
	for i, query := range []string{
		"UPDATE stops SET resumed = 1 WHERE scope = 'everything'",
		"DELETE FROM stops WHERE scope = 'assistant'",
		"UPDATE stops SET scope = 'ringing' WHERE scope = 'everything'",
		"UPDATE stops SET person = 'bob' WHERE scope = 'assistant'",
		"UPDATE stops SET stopped_by = '{\"name\":\"eve\"}' WHERE scope = 'everything'",
		"UPDATE stops SET note = 'x' WHERE scope = 'everything'",
		"UPDATE stops SET at = at + 1 WHERE scope = 'everything'",
		"UPDATE stops SET resumed = NULL WHERE scope = 'ringing'",
		"INSERT INTO stops (scope, person, at, stopped_by, note, seq) VALUES ('assistant', 'eve', 1, '{}', '', 1)",
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			copied := copyDir(t, dir)
			tamper(t, copied, func(db *sql.DB) { run(t, db, query) })
			if r := verify(t, copied, ledger.VerifyOptions{}); len(r.Findings) == 0 {
				t.Errorf("not found: %s", query)
			}
		})
	}
}

// TestStopVerifiesIntents: verify finds a call that ran during a stop that covers it, and none that
// it does not cover.
func TestStopVerifiesIntents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	stop(t, l, assistantsOf("bob"))
	settle(t, l, commit(t, l, ring("a", "ada")), ledger.Succeeded)
	l.Close()
	for query, want := range map[string]int{
		"UPDATE records SET body = body WHERE seq = 1":                                                                                      0,
		`UPDATE records SET body = replace(body, '"scope":"assistant","person":"bob"', '"scope":"ringing"') WHERE seq = 1`:                  1,
		`UPDATE records SET body = replace(body, '"scope":"assistant","person":"bob"', '"scope":"everything"') WHERE seq = 1`:               1,
		`UPDATE records SET body = replace(body, '"scope":"assistant","person":"bob"', '"scope":"assistant","person":"ADA"') WHERE seq = 1`: 1,
	} {
		copied := copyDir(t, dir)
		tamper(t, copied, func(db *sql.DB) {
			run(t, db, query)
			rechain(t, db, 1)
		})
		n := 0
		for _, f := range verify(t, copied, ledger.VerifyOptions{}).Findings {
			if f.Kind == ledger.WrongStop && f.ID != "" {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %d findings about an intent", query, n)
		}
	}
}

// TestStopWithoutCache: a commit sees a stop that another process made a moment ago.
func TestStopWithoutCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, other := open(t, ledger.Options{Dir: dir}), open(t, ledger.Options{Dir: dir})
	if s, err := l.CurrentStops(context.Background()); err != nil || len(s) != 0 {
		t.Fatal(s, err)
	}
	stop(t, other, assistantsOf("ada"))
	if s, _ := l.CurrentStops(context.Background()); len(s) != 0 {
		t.Skip("the cached stops are older than their bound")
	}
	var stopped *ledger.StoppedError
	if _, err := l.Commit(t.Context(), createBy("a", "ada")); !errors.As(err, &stopped) {
		t.Errorf("%v", err)
	}
	commit(t, l, createBy("b", "bob"))
}
