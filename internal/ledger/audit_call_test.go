package ledger_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// update is a call that changes a contact, about whom something is sealed.
func update(n string) ledger.Txn {
	x := call(n)
	x.Action, x.Subjects = "update_contact", []string{"contact:1"}
	x.Payload = []byte(`{"action":"update_contact","identity":"c0000000-0000-4000-8000-000000000001","input":{"fullName":"Grace"}}`)
	x.Replaced = []byte(`{"fullName":"Ada"}`)
	return x
}

func find(t testing.TB, l ledger.Ledger, id string) *ledger.AuditedCall {
	t.Helper()
	c, err := ledger.FindCall(t.Context(), l, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func phases(c *ledger.AuditedCall) (all []ledger.Phase) {
	for _, r := range c.Records {
		all = append(all, r.Phase)
	}
	return all
}

// One call is found by its intent, its approval request, or the number of any record.
func TestFindCall(t *testing.T) {
	l := open(t, ledger.Options{})
	x := update("a")
	request := createApproval(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	in := commit(t, l, x)
	settle(t, l, in, ledger.Succeeded)
	wantPhases := []ledger.Phase{ledger.PhaseRequested, ledger.PhaseAnswered, ledger.PhasePrepared, ledger.PhaseSettled}
	for _, c := range []struct {
		id, state string
		kind      ledger.CallKind
	}{{in.ID, "succeeded", ledger.KindIntent}, {"4", "succeeded", ledger.KindIntent}, {request.ID, "used", ledger.KindApproval}, {"1", "used", ledger.KindApproval}} {
		got := find(t, l, c.id)
		if got.Kind != c.kind || got.State != c.state || got.Answer != "approved" || got.Outcome != schemas.Done || got.Status != 200 || string(got.Replaced) != `{"fullName":"Ada"}` ||
			got.ApprovalID != request.ID || !cmp.Equal(got.People, []string{"contact:1"}) {
			t.Errorf("%s: %+v", c.id, got)
		}
		if diff := cmp.Diff(wantPhases, phases(got)); diff != "" {
			t.Errorf("%s: records (-want +got):\n%s", c.id, diff)
		}
		raw, err := json.Marshal(got)
		if err != nil || strings.Contains(string(raw), `"sealed"`) || !strings.Contains(string(raw), `"people":["contact:1"]`) {
			t.Errorf("%s: %v in %s", c.id, err, raw)
		}
	}
	for _, id := range []string{"99", "0", "-1", "nonsense", "", strings.Repeat("0", 32)} {
		if _, err := ledger.FindCall(t.Context(), l, id); !errors.Is(err, ledger.ErrNoCall) {
			t.Errorf("%q: got %v, want ErrNoCall", id, err)
		}
	}
}

// An approval whose first run sent nothing has two runs. Each intent has its own records only.
func TestFindCallWithTwoRuns(t *testing.T) {
	l := open(t, ledger.Options{})
	x := update("a")
	request := createApproval(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	first := commit(t, l, x)
	settle(t, l, first, ledger.NotSent)
	second := commit(t, l, x)
	settle(t, l, second, ledger.Failed)
	for id, want := range map[string]int{request.ID: 6, first.ID: 4, second.ID: 4} {
		if got := find(t, l, id); len(got.Records) != want {
			t.Errorf("%s: %d records, want %d: %v", id, len(got.Records), want, phases(got))
		}
	}
}

func TestFindCallOfExpiredApproval(t *testing.T) {
	l := open(t, ledger.Options{})
	request := createApproval(t, l, update("a"), time.Now().Add(time.Millisecond))
	time.Sleep(2 * time.Millisecond)
	if got := find(t, l, request.ID); got.State != "expired" || got.AnswerSummary() != "" {
		t.Errorf("%+v", got)
	}
}

// An event that is about no call is found by its number.
func TestFindCallOfRecord(t *testing.T) {
	l := open(t, ledger.Options{})
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, "wrong list"); err != nil {
		t.Fatal(err)
	}
	if got := find(t, l, "1"); got.Kind != ledger.KindRecord || got.ID != "" || !cmp.Equal(phases(got), []ledger.Phase{ledger.PhaseStopped}) {
		t.Errorf("%+v", got)
	}
}

func TestFindCallAfterErasure(t *testing.T) {
	l := open(t, ledger.Options{})
	in := commit(t, l, update("a"))
	settle(t, l, in, ledger.Succeeded)
	if _, err := l.Erase(t.Context(), "contact:1", ledger.Actor{Name: "eve"}); err != nil {
		t.Fatal(err)
	}
	got := find(t, l, in.ID)
	if got.Erased == nil || got.Erased.By.Name != "eve" || got.Erased.At.IsZero() || got.Payload != nil || got.Result != nil || got.People != nil || !got.Records[0].Erased {
		t.Errorf("%+v", got)
	}
	if _, err := got.Undo(); err == nil || !strings.Contains(err.Error(), "a person whom it concerns was erased") {
		t.Errorf("undo: %v", err)
	}
}

func TestUndo(t *testing.T) {
	l := open(t, ledger.Options{})
	in := commit(t, l, update("a"))
	check := func(want string) {
		t.Helper()
		if _, err := find(t, l, in.ID).Undo(); !errors.Is(err, ledger.ErrRejected) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("has no outcome yet")
	settle(t, l, in, ledger.Succeeded)
	undo, err := find(t, l, in.ID).Undo()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"identity":"c0000000-0000-4000-8000-000000000001","input":{"fullName":"Ada"}}`
	if undo.Intent != in.ID || undo.Action != "update_contact" || string(undo.Arguments) != want {
		t.Errorf("got %+v %s", undo, undo.Arguments)
	}
	in = commit(t, l, update("b"))
	settle(t, l, in, ledger.Failed)
	check("is failed: it changed nothing")
	in = commit(t, l, update("c"))
	settle(t, l, in, ledger.Unknown)
	check("the outcome of intent " + in.ID + " is unknown")
	in = commit(t, l, call("d"))
	settle(t, l, in, ledger.Succeeded)
	check("create_contact cannot be undone")
	if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, l, "9").Undo(); err == nil || !strings.Contains(err.Error(), "record 9 is about no call") {
		t.Errorf("a stop: %v", err)
	}
}
