package ledger_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// everyByte reads all files of a folder; they are its owner's alone.
func everyByte(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if i, err := d.Info(); err == nil && i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, i.Mode())
		}
		raw, err := os.ReadFile(path)
		all = append(all, raw...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNothingPersonalIsReadable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	const person, subject, token = "Grace-Hopper-555-0100", "contact:7f9c2ba4-e88f", "sk_live_T0K3N"
	x := call(person)
	x.Hash, x.Request = "hash-of-it", "req"
	x.Subjects = []string{subject}
	x.Replaced = []byte(`{"firstName":"` + person + `"}`)
	g := ask(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, g, ledger.Approved)
	x.ApprovalID = g.ID
	in := commit(t, l, x)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"name":"` + person + `"}`)}); err != nil {
		t.Fatal(err)
	}
	issue := call("widget")
	issue.Class = schemas.Credential
	in = commit(t, l, issue)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"token":"` + token + `"}`)}); err != nil {
		t.Fatal(err)
	}
	e := event(subject)
	e.Payload = []byte(`{"filter":"` + person + `"}`)
	l.RecordEvent(e)
	scan := func(when string) {
		raw := everyByte(t, dir)
		for _, s := range []string{person, subject, token, x.Hash} {
			if bytes.Contains(raw, []byte(s)) {
				t.Errorf("%s: %q is readable", when, s)
			}
		}
	}
	scan("open")
	l.Close()
	scan("closed")

	l = open(t, ledger.Options{Dir: dir})
	seen := records(t, l, ledger.Filter{Subject: subject})
	var phases []ledger.Phase
	for _, r := range seen {
		phases = append(phases, r.Phase)
		if !slices.Equal(r.SubjectNames, []string{subject}) || r.Private == nil {
			t.Errorf("record %d: people %q, private %v", r.Seq, r.SubjectNames, r.Private)
		}
	}
	if want := []ledger.Phase{ledger.PhaseRequested, ledger.PhasePrepared, ledger.PhaseSettled, ledger.PhaseRead}; !slices.Equal(phases, want) {
		t.Errorf("of the subject: %v, want %v", phases, want)
	}
	if p := seen[1].Private; string(p.Payload) != string(x.Payload) || string(p.Replaced) != string(x.Replaced) || p.Hash != x.Hash {
		t.Errorf("private: %+v", p)
	}
}

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
	flying := commit(t, l, func() ledger.Txn { x := call("flying"); x.Subjects = ada.Subjects; return x }())
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
	if !bytes.Contains(everyByte(t, dir), wrapped) {
		t.Fatal("the test looks for the wrong bytes")
	}
	if was, err := l.Erase(t.Context(), "contact:ada", ledger.Actor{Name: "ada"}); err != nil || !was {
		t.Fatal(was, err)
	}
	if bytes.Contains(everyByte(t, dir), wrapped) {
		t.Error("the destroyed key lies on in a file")
	}
	if was, err := l.Erase(t.Context(), "contact:ada", ledger.Actor{Name: "ada"}); err != nil || was {
		t.Errorf("twice: %v, %v", was, err)
	}
	if _, err := l.Erase(t.Context(), "", ledger.Actor{Name: "ada"}); err == nil {
		t.Error("everybody was erased")
	}
	settle(t, l, flying, ledger.Succeeded) // its subject is gone: settled, and nothing kept
	for i, readable := range []bool{false, true, false} {
		in, err := l.Intent(t.Context(), ids[i])
		if err != nil || (in.Payload != nil) != readable || (in.Result != nil) != readable {
			t.Errorf("intent %d: payload %q, result %q, %v", i, in.Payload, in.Result, err)
		}
	}
	read := records(t, l, ledger.Filter{Phase: ledger.PhaseRead})
	if len(read) != 1 || !slices.Equal(read[0].SubjectNames, []string{"contact:bob"}) {
		t.Errorf("the read tells of %+v", read)
	}
	if len(records(t, l, ledger.Filter{Subject: "contact:ada"})) != 0 {
		t.Error("the erased are still found")
	}
	// The same person comes back: a new key, and nothing of the old.
	again := call("again")
	again.Subjects = ada.Subjects
	settle(t, l, commit(t, l, again), ledger.Succeeded)
	if got := records(t, l, ledger.Filter{Subject: "contact:ada"}); len(got) != 2 {
		t.Errorf("found %d records", len(got))
	}
	if r := clean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}

func TestMasterKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	commit(t, l, call("a"))
	l.Close()
	path := filepath.Join(dir, ledger.MasterKeyFile)
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"missing": nil, "another": []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "cut": right[:10], "empty": {}} {
		os.Remove(path)
		if raw != nil {
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
		wantStoreError(t, name, err, ledger.MissingKey)
	}
	if err := os.WriteFile(path, right, 0o600); err != nil {
		t.Fatal(err)
	}
	clean(t, open(t, ledger.Options{Dir: dir}))
}

func wantStoreError(t *testing.T, what string, err error, kind ledger.StoreErrorKind) {
	t.Helper()
	var storeErr *ledger.StoreError
	if !errors.As(err, &storeErr) || storeErr.Kind != kind {
		t.Errorf("%s: got %v, want %s", what, err, kind)
		return
	}
	t.Logf("%s: %v", what, err)
}
