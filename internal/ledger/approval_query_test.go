package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func createInboxApproval(t testing.TB, l ledger.Ledger, x ledger.Txn, person string, expires time.Time) ledger.ApprovalRequest {
	t.Helper()
	request := approvalFor(x, expires)
	request.Person = person
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return request
}

func readApproval(t testing.TB, l ledger.Ledger, id string) ledger.ApprovalRequest {
	t.Helper()
	request, err := l.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// TestAnswerInInbox: a request that was read from the ledger is answered once, and its note is
// sealed for the subjects.
func TestAnswerInInbox(t *testing.T) {
	c := newClock()
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	x := call("a")
	x.Subjects = []string{"contact:1"}
	created := createInboxApproval(t, l, x, "ada", c.now().Add(time.Hour))
	request := readApproval(t, l, created.ID)
	if request.Person != "ada" || !request.OwnProcess || request.Orphaned || !request.Open(c.now()) {
		t.Errorf("%+v", request)
	}
	by := func(who string, s ledger.ApprovalState) ledger.Reply {
		return ledger.Reply{State: s, By: ledger.Actor{Name: who, Via: "inbox"}, Note: "not Grace Hopper", Quick: true, Until: c.now().Add(time.Minute)}
	}
	if err := l.AnswerApproval(t.Context(), request, by("bob", ledger.Approved)); err != nil {
		t.Fatal(err)
	}
	if err := l.AnswerApproval(t.Context(), request, by("bob", ledger.Approved)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	wantErr(t, "by another person", l.AnswerApproval(t.Context(), request, by("cem", ledger.Approved)), ledger.ErrAlreadyAnswered)
	got := readApproval(t, l, created.ID)
	if got.State != ledger.Approved || got.By.String() != "bob, via inbox" || !got.Quick || got.Note != "not Grace Hopper" || !got.Expires.Equal(c.now().Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
	for _, r := range records(t, l, ledger.Filter{}) {
		if strings.Contains(string(r.Line), "Hopper") {
			t.Errorf("a note about a person is in plain text: %s", r.Line)
		}
	}
	// The run failed its checks, and the requester receives the reason.
	fault := ledger.Reply{State: ledger.Revoked, Outcome: schemas.LimitExceeded, Fault: []byte(`{"Message":"spent"}`)}
	if err := l.AnswerApproval(t.Context(), got, fault); err != nil {
		t.Fatal(err)
	}
	got = readApproval(t, l, created.ID)
	if got.State != ledger.Revoked || got.By.String() != "bob, via inbox" || got.Outcome != schemas.LimitExceeded || string(got.Fault) != `{"Message":"spent"}` || got.Reported {
		t.Errorf("%+v", got)
	}
	if err := l.MarkReported(t.Context(), got.ID); err != nil {
		t.Fatal(err)
	}
	if again, err := l.LatestApproval(t.Context(), created); err != nil || again.ID != created.ID || !again.Reported {
		t.Errorf("%+v, %v", again, err)
	}
	other := created
	other.Requester = ledger.Actor{Name: "eve"}
	_, err := l.LatestApproval(t.Context(), other)
	wantErr(t, "another requester", err, ledger.ErrNoApproval)

	// An erased request has no payload or note, and can still be declined.
	last := createInboxApproval(t, l, x, "ada", c.now().Add(time.Hour))
	if _, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if request = readApproval(t, l, created.ID); request.Fault != nil || request.Payload != nil {
		t.Errorf("%+v", request)
	}
	if err := l.AnswerApproval(t.Context(), readApproval(t, l, last.ID), by("bob", ledger.Declined)); err != nil {
		t.Fatal(err)
	}
	if request = readApproval(t, l, last.ID); request.State != ledger.Declined || request.Note != "" {
		t.Errorf("%+v", request)
	}
	wantErr(t, "not an answer", l.AnswerApproval(t.Context(), request, ledger.Reply{State: ledger.Used}), ledger.ErrUsage)
	verifyClean(t, l)
}

func TestApprovalsAndVersion(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	version := func() int64 {
		t.Helper()
		v, err := l.ApprovalsVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ids := func(f ledger.ApprovalFilter) string {
		t.Helper()
		all, err := l.Approvals(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for _, request := range all {
			s += request.Requester.Name
		}
		return s
	}
	createApproval := func(name, person string, d time.Duration) (ledger.Txn, ledger.ApprovalRequest) {
		x := call(name)
		x.Caller = ledger.Actor{Name: name}
		return x, createInboxApproval(t, l, x, person, c.now().Add(d))
	}
	v := version()
	changed := func(what string) {
		t.Helper()
		if now := version(); now == v {
			t.Errorf("%s did not change the version", what)
		} else {
			v = now
		}
	}
	xa, a := createApproval("a", "ada", time.Hour)
	changed("a request")
	createApproval("b", "bob", time.Minute)
	_, d := createApproval("d", "ada", 2*time.Hour)
	v = version()
	l.RecordEvent(event("contact:1"))
	if got := ids(ledger.ApprovalFilter{Open: true}); got != "abd" {
		t.Errorf("open: %s", got)
	}
	if got := ids(ledger.ApprovalFilter{Open: true, Person: "ada", Limit: 1}); got != "a" {
		t.Errorf("ada's: %s", got)
	}
	c.advance(time.Minute)
	if got := ids(ledger.ApprovalFilter{Open: true}) + " " + ids(ledger.ApprovalFilter{Ended: true}); got != "ad b" {
		t.Errorf("after a minute: %s", got)
	}
	if version() != v {
		t.Error("reading or expiry changed the version")
	}
	answer(t, l, a, ledger.Approved)
	changed("an answer")
	xa.ApprovalID = a.ID
	in := commit(t, l, xa)
	changed("a run")
	if got := readApproval(t, l, a.ID); got.Intent != in.ID || got.State != ledger.Used {
		t.Errorf("%+v", got)
	}
	settle(t, l, in, ledger.Failed)
	changed("its outcome")
	answer(t, l, d, ledger.Declined)
	v = version()
	if got := ids(ledger.ApprovalFilter{Ended: true}); got != "dab" {
		t.Errorf("ended: %s", got)
	}
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	changed("a stop")
}

func TestHandover(t *testing.T) {
	c := newClock()
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	secret := `{"token":"op_0123456789abcdef"}`
	issued := func(name string) string {
		t.Helper()
		x := call(name)
		x.Class, x.Action = schemas.Credential, "issue_operator_access_token"
		request := approvalFor(x, c.now().Add(time.Hour))
		request.Action = x.Action
		if err := l.CreateApproval(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		answer(t, l, request, ledger.Approved)
		x.ApprovalID = request.ID
		in := commit(t, l, x)
		end := ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Handover: []byte(secret), HandoverUntil: c.now().Add(10 * time.Minute)}
		if err := l.Settle(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		return request.ID
	}
	first := issued("a")
	if until, err := l.HandoverExpires(t.Context(), first); err != nil || !until.Equal(c.now().Add(10*time.Minute)) {
		t.Errorf("%v, %v", until, err)
	}
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.TakeHandover(t.Context(), first, ledger.Actor{Name: "bob"}); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("during an emergency stop: %v", err)
	}
	if _, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if got, err := l.TakeHandover(t.Context(), first, ledger.Actor{Name: "bob"}); err != nil || string(got) != secret {
		t.Errorf("%s, %v", got, err)
	}
	_, err := l.TakeHandover(t.Context(), first, ledger.Actor{Name: "bob"})
	wantErr(t, "a second time", err, ledger.ErrNoHandover)
	second := issued("b")
	c.advance(10 * time.Minute)
	_, err = l.TakeHandover(t.Context(), second, ledger.Actor{Name: "bob"})
	wantErr(t, "too late", err, ledger.ErrNoHandover)
	ledger.Sweep(t, l)
	verifyClean(t, l)
	l.Close()
	tamper(t, dir, func(db *sql.DB) {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM handovers").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d handovers are left, %v", n, err)
		}
	})
	for _, f := range []string{"ledger.db", "checkpoints"} {
		if raw, err := os.ReadFile(filepath.Join(dir, f)); err != nil || strings.Contains(string(raw), "op_0123456789abcdef") {
			t.Errorf("the secret is in %s, %v", f, err)
		}
	}
	// A stored result cannot be a handover too.
	l = open(t, ledger.Options{Dir: dir, Now: c.now})
	in := commit(t, l, call("c"))
	wantErr(t, "both", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Result: []byte("1"), Handover: []byte("1"), HandoverUntil: c.now()}), ledger.ErrUsage)
	wantErr(t, "without an approval", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Handover: []byte("1"), HandoverUntil: c.now()}), ledger.ErrUsage)
}
