package ledger_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// readFiles returns the contents of all files in a directory, and checks that only the owner can
// read them.
func readFiles(t *testing.T, dir string) []byte {
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

// readAll returns the contents of all files in a directory.
func readAll(dir string) (all []byte) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		raw, _ := os.ReadFile(path)
		all = append(all, raw...)
		return nil
	})
	return all
}

func TestPersonalDataIsSealed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	const person, subject, token = "Grace-Hopper-555-0100", "contact:7f9c2ba4-e88f", "sk_live_T0K3N"
	x := call(person)
	x.Hash, x.Request = "hash-of-it", "req"
	x.Subjects = []string{subject}
	x.Replaced = []byte(`{"firstName":"` + person + `"}`)
	request := createApproval(t, l, x, time.Now().Add(time.Minute))
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	in := commit(t, l, x)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"name":"` + person + `"}`)}); err != nil {
		t.Fatal(err)
	}
	createToken := call("widget")
	createToken.Class = schemas.Credential
	in = commit(t, l, createToken)
	if err := l.Settle(t.Context(), ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{"token":"` + token + `"}`)}); err != nil {
		t.Fatal(err)
	}
	e := event(subject)
	e.Payload = []byte(`{"filter":"` + person + `"}`)
	l.RecordEvent(e)
	scan := func(when string) {
		raw := readFiles(t, dir)
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
	all := records(t, l, ledger.Filter{Subject: subject})
	var phases []ledger.Phase
	for _, r := range all {
		phases = append(phases, r.Phase)
		if !slices.Equal(r.SubjectNames, []string{subject}) || r.Private == nil {
			t.Errorf("record %d: subjects %q, private %v", r.Seq, r.SubjectNames, r.Private)
		}
	}
	if want := []ledger.Phase{ledger.PhaseRequested, ledger.PhasePrepared, ledger.PhaseSettled, ledger.PhaseRead}; !slices.Equal(phases, want) {
		t.Errorf("phases of the subject: %v, want %v", phases, want)
	}
	if p := all[1].Private; string(p.Payload) != string(x.Payload) || string(p.Replaced) != string(x.Replaced) || p.Hash != x.Hash {
		t.Errorf("private: %+v", p)
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
	verifyClean(t, open(t, ledger.Options{Dir: dir}))
}
