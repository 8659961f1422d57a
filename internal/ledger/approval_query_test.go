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

func askInInbox(t testing.TB, l ledger.Ledger, x ledger.Txn, person string, expires time.Time) ledger.ApprovalRequest {
	t.Helper()
	g := approvalFor(x, expires)
	g.Person, g.Inbox = person, true
	if err := l.CreateApproval(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func newApproval(t testing.TB, l ledger.Ledger, id string) ledger.ApprovalRequest {
	t.Helper()
	g, err := l.Approval(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A question that waits in the inbox is answered by whoever reads it there, once, with a note that only its subjects' keys open.
func TestInboxAnswer(t *testing.T) {
	c := newClock()
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir, Now: c.now})
	x := call("a")
	x.Subjects = []string{"contact:1"}
	asked := askInInbox(t, l, x, "ada", c.now().Add(time.Hour))
	g := newApproval(t, l, asked.ID)
	if g.Person != "ada" || !g.Inbox || !g.OwnProcess || g.Orphaned || !g.Open(c.now()) {
		t.Errorf("%+v", g)
	}
	by := func(who string, s ledger.ApprovalState) ledger.Reply {
		return ledger.Reply{State: s, By: ledger.Actor{Name: who, Via: "inbox"}, Note: "not Grace Hopper", Quick: true, Until: c.now().Add(time.Minute)}
	}
	if err := l.AnswerApproval(t.Context(), g, by("bob", ledger.Approved)); err != nil {
		t.Fatal(err)
	}
	if err := l.AnswerApproval(t.Context(), g, by("bob", ledger.Approved)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	wantErr(t, "another's yes", l.AnswerApproval(t.Context(), g, by("cem", ledger.Approved)), ledger.ErrAlreadyAnswered)
	got := newApproval(t, l, asked.ID)
	if got.State != ledger.Approved || got.By.String() != "bob, via inbox" || !got.Quick || got.Note != "not Grace Hopper" || !got.Expires.Equal(c.now().Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
	for _, r := range records(t, l, ledger.Filter{}) {
		if strings.Contains(string(r.Line), "Hopper") {
			t.Errorf("a note about a person stands in the clear: %s", r.Line)
		}
	}
	// It came to nothing, and whoever asked hears why.
	fault := ledger.Reply{State: ledger.Revoked, Outcome: schemas.LimitExceeded, Fault: []byte(`{"Message":"spent"}`)}
	if err := l.AnswerApproval(t.Context(), got, fault); err != nil {
		t.Fatal(err)
	}
	got = newApproval(t, l, asked.ID)
	if got.State != ledger.Revoked || got.By.String() != "bob, via inbox" || got.Outcome != schemas.LimitExceeded || string(got.Fault) != `{"Message":"spent"}` || got.Reported {
		t.Errorf("%+v", got)
	}
	if err := l.MarkReported(t.Context(), got.ID); err != nil {
		t.Fatal(err)
	}
	if again, err := l.LatestApproval(t.Context(), asked); err != nil || again.ID != asked.ID || !again.Reported {
		t.Errorf("%+v, %v", again, err)
	}
	other := asked
	other.Requester = ledger.Actor{Name: "eve"}
	_, err := l.LatestApproval(t.Context(), other)
	wantErr(t, "another's", err, ledger.ErrNoApproval)

	// With the subject its words are gone, and the question can still be refused.
	last := askInInbox(t, l, x, "ada", c.now().Add(time.Hour))
	if _, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if g = newApproval(t, l, asked.ID); g.Fault != nil || g.Payload != nil {
		t.Errorf("%+v", g)
	}
	if err := l.AnswerApproval(t.Context(), newApproval(t, l, last.ID), by("bob", ledger.Declined)); err != nil {
		t.Fatal(err)
	}
	if g = newApproval(t, l, last.ID); g.State != ledger.Declined || g.Note != "" {
		t.Errorf("%+v", g)
	}
	wantErr(t, "no answer", l.AnswerApproval(t.Context(), g, ledger.Reply{State: ledger.Used}), ledger.ErrUsage)
	clean(t, l)
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
		for _, g := range all {
			s += g.Requester.Name
		}
		return s
	}
	ask := func(name, person string, d time.Duration) (ledger.Txn, ledger.ApprovalRequest) {
		x := call(name)
		x.Caller = ledger.Actor{Name: name}
		return x, askInInbox(t, l, x, person, c.now().Add(d))
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
	xa, a := ask("a", "ada", time.Hour)
	changed("a question")
	ask("b", "bob", time.Minute)
	_, d := ask("d", "ada", 2*time.Hour)
	direct := call("c")
	direct.Caller = ledger.Actor{Name: "c"}
	g := approvalFor(direct, c.now().Add(time.Hour))
	if err := l.CreateApproval(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	v = version()
	l.RecordEvent(event("contact:1"))
	if got := ids(ledger.ApprovalFilter{Open: true}); got != "abdc" {
		t.Errorf("open: %s", got)
	}
	if got := ids(ledger.ApprovalFilter{Open: true, Inbox: true, Person: "ada", Limit: 1}); got != "a" {
		t.Errorf("ada's: %s", got)
	}
	c.pass(time.Minute)
	if got := ids(ledger.ApprovalFilter{Open: true, Inbox: true}) + " " + ids(ledger.ApprovalFilter{Ended: true, Inbox: true}); got != "ad b" {
		t.Errorf("after a minute: %s", got)
	}
	if version() != v {
		t.Error("reading and waiting changed the version")
	}
	answer(t, l, a, ledger.Approved)
	changed("an answer")
	xa.ApprovalID = a.ID
	in := commit(t, l, xa)
	changed("a run")
	if got := newApproval(t, l, a.ID); got.Intent != in.ID || got.State != ledger.Used {
		t.Errorf("%+v", got)
	}
	settle(t, l, in, ledger.Failed)
	changed("its end")
	answer(t, l, d, ledger.Declined)
	v = version()
	if got := ids(ledger.ApprovalFilter{Ended: true, Inbox: true}); got != "dab" {
		t.Errorf("ended: %s", got)
	}
	if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, ""); err != nil {
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
		g := approvalFor(x, c.now().Add(time.Hour))
		g.Action = x.Action
		if err := l.CreateApproval(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		answer(t, l, g, ledger.Approved)
		x.ApprovalID = g.ID
		in := commit(t, l, x)
		end := ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Handover: []byte(secret), HandoverUntil: c.now().Add(10 * time.Minute)}
		if err := l.Settle(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		return g.ID
	}
	once := issued("a")
	if until, err := l.HandoverExpires(t.Context(), once); err != nil || !until.Equal(c.now().Add(10*time.Minute)) {
		t.Errorf("%v, %v", until, err)
	}
	if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.TakeHandover(t.Context(), once, ledger.Actor{Name: "bob"}); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("while everything is stopped: %v", err)
	}
	if _, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if got, err := l.TakeHandover(t.Context(), once, ledger.Actor{Name: "bob"}); err != nil || string(got) != secret {
		t.Errorf("%s, %v", got, err)
	}
	_, err := l.TakeHandover(t.Context(), once, ledger.Actor{Name: "bob"})
	wantErr(t, "a second time", err, ledger.ErrNoHandover)
	late := issued("b")
	c.pass(10 * time.Minute)
	_, err = l.TakeHandover(t.Context(), late, ledger.Actor{Name: "bob"})
	wantErr(t, "too late", err, ledger.ErrNoHandover)
	ledger.Sweep(t, l)
	clean(t, l)
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
	// A result that is kept cannot be handed over as well.
	l = open(t, ledger.Options{Dir: dir, Now: c.now})
	in := commit(t, l, call("c"))
	wantErr(t, "both", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Result: []byte("1"), Handover: []byte("1"), HandoverUntil: c.now()}), ledger.ErrUsage)
	wantErr(t, "for nobody", l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Handover: []byte("1"), HandoverUntil: c.now()}), ledger.ErrUsage)
}
