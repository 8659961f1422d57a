package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// reopen closes and opens the ledger, so that all events are written.
func reopen(t *testing.T, l *ledger.SQLite, dir string) *ledger.SQLite {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, ledger.Options{Dir: dir})
}

func TestFindSubjects(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	erasedCall := call("gone")
	erasedCall.Subjects = []string{"contact:gone"}
	ran := commit(t, l, erasedCall)
	settle(t, l, ran, ledger.Succeeded)

	var calls atomic.Int32
	e := event("contact:1")
	e.FindSubjects = func() (subjects, erased []string) {
		calls.Add(1)
		return []string{"contact:2", "contact:1", "contact:gone", "contact:3", ""}, []string{"contact:gone", "contact:unknown", "", "contact:gone"}
	}
	l.RecordEvent(e)
	panicking := event("contact:4")
	panicking.FindSubjects = func() ([]string, []string) { panic("an unexpected answer") }
	l.RecordEvent(panicking)
	large := event()
	large.FindSubjects = func() (subjects, erased []string) {
		for i := range ledger.MaxSubjects + 7 {
			subjects = append(subjects, fmt.Sprint("wide:", i))
		}
		return subjects, nil
	}
	l.RecordEvent(large)
	l = reopen(t, l, dir)
	if n := calls.Load(); n != 1 {
		t.Errorf("FindSubjects was called %d times", n)
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
	if r := verifyClean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}

// TestReadBeforeErasure: a read that was made before an erasure, and is written after it, does not
// give the erased subject a new key. A later read does.
func TestReadBeforeErasure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	x := call("a")
	x.Subjects = []string{"contact:gone"}
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	l.RecordEvent(event("contact:gone", "contact:other"))
	if existed, err := l.Erase(t.Context(), "contact:gone", ledger.Actor{Name: "ada"}); !existed || err != nil {
		t.Fatal(existed, err)
	}
	within(t, "the read is written", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhaseRead})) == 1 })
	if r := records(t, l, ledger.Filter{Phase: ledger.PhaseRead})[0]; !slices.Equal(r.SubjectNames, []string{"contact:other"}) || r.Count != 1 || r.Private != nil {
		t.Errorf("%+v", r)
	}
	l.RecordEvent(event("contact:gone"))
	l = reopen(t, l, dir)
	if found := records(t, l, ledger.Filter{Subject: "contact:gone"}); len(found) != 1 {
		t.Errorf("%d records after a later read", len(found))
	}
	verifyClean(t, l)
}

// TestEraseAfterDiskFull: an erasure that the store cannot accept is done later.
func TestEraseAfterDiskFull(t *testing.T) {
	l := open(t, ledger.Options{})
	x := call("a")
	x.Subjects = []string{"contact:gone"}
	settle(t, l, commit(t, l, x), ledger.Succeeded)
	ledger.LimitPages(t, l, 1)
	e := event()
	for i := range ledger.MaxSubjects { // the keys of that many need room
		e.Subjects = append(e.Subjects, fmt.Sprint("contact:", i))
	}
	e.FindSubjects = func() (subjects, erased []string) { return nil, []string{"contact:gone"} }
	l.RecordEvent(e)
	within(t, "the store error is reported", func() bool { return l.StoreError() != nil })
	ledger.LimitPages(t, l, 1<<20)
	within(t, "the subject is erased", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhaseErased})) == 1 })
	within(t, "the read is counted", func() bool { return len(records(t, l, ledger.Filter{Phase: ledger.PhaseDropped})) == 1 })
	verifyClean(t, l)
}

// TestCreatedSubject: erasing a created contact destroys the keys of its provisional name too.
func TestCreatedSubject(t *testing.T) {
	c := newClock()
	l := open(t, ledger.Options{Now: c.now})
	existing := call("known")
	existing.Subjects = []string{"contact:1"}
	settle(t, l, commit(t, l, existing), ledger.Succeeded)

	// The approval request has another id than the call.
	x := call("new")
	x.Subjects = []string{"new:request", "campaign:1"}
	request := createApproval(t, l, x, c.now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.Subjects, x.ApprovalID = []string{"new:call", "campaign:1"}, request.ID
	in := commit(t, l, x)
	end := ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"id":"1"}`), CreatedSubject: "contact:1"}
	if err := l.Settle(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, l, ledger.Filter{Subject: "new:call"})) + len(records(t, l, ledger.Filter{Subject: "new:request"})); n != 0 {
		t.Errorf("%d records are still of the provisional subject", n)
	}
	// Two of the contact's earlier call; then requested, prepared and settled.
	if all := records(t, l, ledger.Filter{Subject: "contact:1"}); len(all) != 5 || !slices.Contains(all[4].SubjectNames, "contact:1") {
		t.Errorf("of the contact: %+v", all)
	}
	if got, err := l.Intent(t.Context(), in.ID); err != nil || got.Payload == nil || got.Result == nil {
		t.Errorf("before it is erased: %+v, %v", got, err)
	}
	verifyClean(t, l)

	// A key moves neither from another subject nor from noSubject.
	for name, y := range map[string]ledger.Txn{"another subject": call("another subject"), "no subject": call("no subject")} {
		if name == "another subject" {
			y.Subjects = []string{"campaign:1"}
		}
		end.Intent = commit(t, l, y).ID
		if err := l.Settle(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(records(t, l, ledger.Filter{Subject: "contact:1"})); n != 5 {
		t.Errorf("%d records are of the contact", n)
	}

	if existed, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "ada"}); err != nil || !existed {
		t.Fatal(existed, err)
	}
	if got, err := l.Intent(t.Context(), in.ID); err != nil || got.Payload != nil || got.Result != nil {
		t.Errorf("after: %+v, %v", got, err)
	}
	if got, err := l.Approval(t.Context(), request.ID); err != nil || got.Payload != nil || got.Card != nil {
		t.Errorf("the approval request, after: %+v, %v", got, err)
	}
	if r := verifyClean(t, l); r.Erased != 3 {
		t.Errorf("%d keys are destroyed, want three", r.Erased)
	}
}

// TestSettleErasesSubject: Settle destroys the keys of a deleted contact in its transaction.
func TestSettleErasesSubject(t *testing.T) {
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
	if r := verifyClean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}
