package ledger_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

func TestErase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	ada, bob, both := call("ada-text"), call("bob-text"), call("both-text")
	ada.Subjects, bob.Subjects, both.Subjects = []string{"contact:ada"}, []string{"contact:bob"}, []string{"contact:bob", "contact:ada"}
	var ids []string
	for _, x := range []ledger.Txn{ada, bob, both} {
		in := commit(t, l, x)
		settle(t, l, in, ledger.Succeeded)
		ids = append(ids, in.ID)
	}
	inFlight := commit(t, l, func() ledger.Txn { x := call("flying"); x.Subjects = ada.Subjects; return x }())
	l.RecordEvent(event("contact:ada", "contact:bob"))
	l.Close()
	l = open(t, ledger.Options{Dir: dir})
	var wrapped []byte
	tamper(t, dir, func(db *sql.DB) {
		key := records(t, l, ledger.Filter{Intent: ids[0]})[0].Sealed.Keys[0]
		if err := db.QueryRow("SELECT wrapped FROM keys WHERE id = ?", key).Scan(&wrapped); err != nil {
			t.Fatal(err)
		}
	})
	if !bytes.Contains(readFiles(t, dir), wrapped) {
		t.Fatal("the test searches for the wrong bytes")
	}
	if existed, err := l.Erase(t.Context(), "contact:ada", ledger.Actor{Name: "ada"}); err != nil || !existed {
		t.Fatal(existed, err)
	}
	if bytes.Contains(readFiles(t, dir), wrapped) {
		t.Error("a file contains the destroyed key")
	}
	if existed, err := l.Erase(t.Context(), "contact:ada", ledger.Actor{Name: "ada"}); err != nil || existed {
		t.Errorf("twice: %v, %v", existed, err)
	}
	if _, err := l.Erase(t.Context(), "", ledger.Actor{Name: "ada"}); err == nil {
		t.Error("an empty subject was erased")
	}
	settle(t, l, inFlight, ledger.Succeeded) // its subject is erased, so no result is kept
	for i, readable := range []bool{false, true, false} {
		in, err := l.Intent(t.Context(), ids[i])
		if err != nil || (in.Payload != nil) != readable || (in.Result != nil) != readable {
			t.Errorf("intent %d: payload %q, result %q, %v", i, in.Payload, in.Result, err)
		}
	}
	read := records(t, l, ledger.Filter{Phase: ledger.PhaseRead})
	if len(read) != 1 || !slices.Equal(read[0].SubjectNames, []string{"contact:bob"}) {
		t.Errorf("the read names %+v", read)
	}
	if len(records(t, l, ledger.Filter{Subject: "contact:ada"})) != 0 {
		t.Error("an erased subject was found")
	}
	// The same person again gets a new key, without access to the old records.
	again := call("again")
	again.Subjects = ada.Subjects
	settle(t, l, commit(t, l, again), ledger.Succeeded)
	if got := records(t, l, ledger.Filter{Subject: "contact:ada"}); len(got) != 2 {
		t.Errorf("found %d records", len(got))
	}
	if r := verifyClean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}
