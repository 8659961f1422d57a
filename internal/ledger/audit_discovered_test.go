package ledger_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// noted closes and opens the ledger: what was noted is written by then.
func noted(t *testing.T, l *ledger.SQLite, dir string) *ledger.SQLite {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, ledger.Options{Dir: dir})
}

func TestFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	gone := call("gone")
	gone.Subjects = []string{"contact:gone"}
	ran := commit(t, l, gone)
	settle(t, l, ran, ledger.Succeeded)

	var asked atomic.Int32
	e := event("contact:1")
	e.FindSubjects = func() (subjects, erased []string) {
		asked.Add(1)
		return []string{"contact:2", "contact:1", "contact:gone", "contact:3", ""}, []string{"contact:gone", "contact:never seen", "", "contact:gone"}
	}
	l.RecordEvent(e)
	wild := event("contact:4")
	wild.FindSubjects = func() ([]string, []string) { panic("a shape that nobody thought of") }
	l.RecordEvent(wild)
	wide := event()
	wide.FindSubjects = func() (subjects, erased []string) {
		for i := range ledger.MaxSubjects + 7 {
			subjects = append(subjects, fmt.Sprint("wide:", i))
		}
		return subjects, nil
	}
	l.RecordEvent(wide)
	l = noted(t, l, dir)
	if n := asked.Load(); n != 1 {
		t.Errorf("Find was called %d times", n)
	}
	reads := records(t, l, ledger.Filter{Phase: ledger.PhaseRead})
	if len(reads) != 3 {
		t.Fatalf("%d reads", len(reads))
	}
	people := slices.Sorted(slices.Values(reads[0].SubjectNames))
	if want := []string{"contact:1", "contact:2", "contact:3"}; !slices.Equal(people, want) {
		t.Errorf("found %q, want %q", people, want)
	}
	if !slices.Equal(reads[1].SubjectNames, []string{"contact:4"}) {
		t.Errorf("after a panic: %q", reads[1].SubjectNames)
	}
	if len(reads[2].Subjects) != ledger.MaxSubjects || reads[2].Count != 7 {
		t.Errorf("%d subjects and %d more", len(reads[2].Subjects), reads[2].Count)
	}
	erased := records(t, l, ledger.Filter{Phase: ledger.PhaseErased})
	if len(erased) != 1 || len(erased[0].Subjects) != 1 || erased[0].By.Name != "Sippet" || erased[0].Note != "found erased" {
		t.Errorf("erased: %+v", erased)
	}
	if in, err := l.Intent(t.Context(), ran.ID); err != nil || in.Payload != nil || in.Result != nil {
		t.Errorf("still readable: %+v, %v", in, err)
	}
	if dropped := records(t, l, ledger.Filter{Phase: ledger.PhaseDropped}); len(dropped) != 0 {
		t.Errorf("%+v", dropped)
	}
	if r := clean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}

// What Sippet erased is erased here too, though the store could not take it when it was found.
func TestFoundWhileTheStoreIsFull(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Subjects = []string{"contact:gone"}
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	ledger.LimitPages(t, l, 1)
	e := event("contact:1")
	e.Payload = []byte(`"` + string(bytes.Repeat([]byte("x"), 300<<10)) + `"`)
	e.FindSubjects = func() (subjects, erased []string) { return nil, []string{"contact:gone"} }
	l.RecordEvent(e)
	within(t, "the trouble is noticed", func() bool { return l.StoreError() != nil })
	ledger.LimitPages(t, l, 1<<20)
	within(t, "the subject is erased", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhaseErased})) == 1 })
	within(t, "the read is counted", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhaseDropped})) == 1 })
	clean(t, l)
}

func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in ten seconds: " + what)
		}
	}
}

// TestBecomes: a contact that is created has no id before; erasing it takes along what was sealed until then.
func TestBecomes(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	known := call("known")
	known.Subjects = []string{"contact:1"}
	settle(t, l, commit(t, l, known), ledger.Succeeded)

	// The question has another request than the call.
	x := call("new")
	x.Subjects = []string{"new:question", "campaign:1"}
	g := ask(t, l, x, c.now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	x.Subjects, x.ApprovalID = []string{"new:call", "campaign:1"}, g.ID
	in := commit(t, l, x)
	become := ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"id":"1"}`), CreatedSubject: "contact:1"}
	if err := l.Settle(t.Context(), become); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, l, ledger.Filter{Subject: "new:call"})) + len(records(t, l, ledger.Filter{Subject: "new:question"})); n != 0 {
		t.Errorf("%d records are still of the provisional subject", n)
	}
	// Two of the contact's earlier call, asked, prepared and settled.
	if all := records(t, l, ledger.Filter{Subject: "contact:1"}); len(all) != 5 || !slices.Contains(all[4].SubjectNames, "contact:1") {
		t.Errorf("of the contact: %+v", all)
	}
	if got, err := l.Intent(t.Context(), in.ID); err != nil || got.Payload == nil || got.Result == nil {
		t.Errorf("before it is erased: %+v, %v", got, err)
	}
	clean(t, l)

	// Nobody's key becomes another's, and nobody becomes everybody.
	for name, y := range map[string]ledger.Txn{"somebody's": call("somebody"), "no one's": call("no one")} {
		if name == "somebody's" {
			y.Subjects = []string{"campaign:1"}
		}
		become.Intent = commit(t, l, y).ID
		if err := l.Settle(t.Context(), become); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(records(t, l, ledger.Filter{Subject: "contact:1"})); n != 5 {
		t.Errorf("%d records are of the contact", n)
	}

	if was, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "ada"}); err != nil || !was {
		t.Fatal(was, err)
	}
	if got, err := l.Intent(t.Context(), in.ID); err != nil || got.Payload != nil || got.Result != nil {
		t.Errorf("after: %+v, %v", got, err)
	}
	if got, err := l.Approval(t.Context(), g.ID); err != nil || got.Payload != nil || got.Card != nil {
		t.Errorf("the question, after: %+v, %v", got, err)
	}
	if r := clean(t, l); r.Erased != 3 {
		t.Errorf("%d keys are destroyed, want three", r.Erased)
	}
}

// TestSettleErases: with the contact go its keys, in the same transaction.
func TestSettleErases(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	x := call("a")
	x.Subjects = []string{"contact:1"}
	before := commit(t, l, x)
	settle(t, l, before, ledger.Succeeded)
	x = call("b")
	x.Action, x.Class, x.Subjects = "delete_contact", schemas.Destructive, []string{"contact:1"}
	in := commit(t, l, x)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done,
		Result: []byte(`{"id":"1"}`), Erased: []string{"contact:1", "contact:nobody"}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{before.ID, in.ID} {
		if got, err := l.Intent(t.Context(), id); err != nil || got.State != ledger.Succeeded || got.Payload != nil || got.Result != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if all := records(t, l, ledger.Filter{Intent: in.ID}); len(all) != 3 || all[1].Sealed != nil || all[2].Phase != ledger.PhaseErased {
		t.Errorf("%+v", all)
	}
	if r := clean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}

func TestStoreErrorIsReportedAndPasses(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("a"))
	if err := l.StoreError(); err != nil {
		t.Fatal(err)
	}
	ledger.LimitPages(t, l, 1)
	big := call("big")
	big.Payload = []byte(`"` + string(bytes.Repeat([]byte("x"), 300<<10)) + `"`)
	_, err := l.Commit(t.Context(), big)
	wantStoreError(t, "full", err, ledger.DiskFull)
	ledger.LimitPages(t, l, 1<<20)

	path := filepath.Join(dir, ledger.File)
	move(t, path, path+".old")
	_, err = l.Commit(t.Context(), call("b"))
	wantStoreError(t, "moved", err, ledger.Replaced)
	wantStoreError(t, "what is told", l.StoreError(), ledger.Replaced)
	time.Sleep(1500 * time.Millisecond)
	wantStoreError(t, "after a try", l.StoreError(), ledger.Replaced)
	move(t, path+".old", path)
	within(t, "it goes on by itself", func() bool { return l.StoreError() == nil })
	// A refusal is no trouble.
	_, err = l.Commit(t.Context(), call("a"))
	conflicting(t, err)
	if err := l.StoreError(); err != nil {
		t.Error(err)
	}
	clean(t, l)
}
