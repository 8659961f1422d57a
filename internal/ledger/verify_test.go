package ledger_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// thousand writes a chain of a thousand records of every phase and gives its closed folder.
func thousand(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Records: 150})
	for i := range 40 {
		c.pass(time.Second)
		name := fmt.Sprint(i)
		x := call(name)
		x.Subjects = []string{"contact:" + name}
		g := ask(t, l, x, c.now().Add(time.Minute))
		answer(t, l, g, ledger.Approved)
		x.ApprovalID = g.ID
		ends := []ledger.IntentState{ledger.Succeeded, ledger.Failed, ledger.NotSent, ledger.Unknown}
		in := commit(t, l, x)
		settle(t, l, in, ends[i%4])
		if i%8 == 3 {
			if err := l.Resolve(t.Context(), in.ID, ledger.Succeeded, "seen", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
		}
		if i == 20 {
			if _, err := l.Erase(t.Context(), "contact:3", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
			if err := l.Stop(t.Context(), ledger.Actor{Name: "ada"}, "lunch"); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Resume(t.Context(), ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	have := len(records(t, l, ledger.Filter{}))
	for i := have; i < 1000; i++ {
		l.RecordEvent(event(fmt.Sprint("contact:", i%50)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func event(subjects ...string) ledger.Event {
	return ledger.Event{Call: ledger.Call{Caller: ledger.Actor{Name: "ada"}, Action: "list_contacts", Class: schemas.Read, Subjects: subjects}, Outcome: schemas.Done}
}

func records(t *testing.T, l ledger.Ledger, f ledger.Filter) []ledger.Record {
	t.Helper()
	all, err := l.Records(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// tamper changes the closed file as somebody without the keys could.
func tamper(t *testing.T, dir string, change func(db *sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	change(db)
}

func run(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

func line(t *testing.T, db *sql.DB, seq int) string {
	t.Helper()
	var s string
	if err := db.QueryRow("SELECT body FROM records WHERE seq = ?", seq).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// rechain makes the links right again from a record on, as a careful forger would.
func rechain(t *testing.T, db *sql.DB, from int) {
	t.Helper()
	for seq := from; ; seq++ {
		var body string
		if db.QueryRow("SELECT body FROM records WHERE seq = ?", seq).Scan(&body) != nil {
			return
		}
		var r map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		if seq > 1 {
			sum := sha256.Sum256([]byte(line(t, db, seq-1)))
			body = strings.Replace(body, string(r["prev"]), `"`+hex.EncodeToString(sum[:])+`"`, 1)
		}
		body = strings.Replace(body, `"seq":`+string(r["seq"]), fmt.Sprintf(`"seq":%d`, seq), 1)
		run(t, db, "UPDATE records SET body = ? WHERE seq = ?", body, seq)
	}
}

func verify(t *testing.T, dir string, o ledger.VerifyOptions) ledger.Report {
	t.Helper()
	c := newClock()
	l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTamper(t *testing.T) {
	dir := thousand(t)
	whole := verify(t, dir, ledger.VerifyOptions{})
	if whole.Records != 1000 || len(whole.Findings) > 0 || whole.Intents != 40 || whole.Unknown != 5 || whole.Erased != 1 || whole.Checkpoints < 4 || whole.Signed != 1000 {
		t.Fatalf("untouched: %+v", whole)
	}
	shift := func(t *testing.T, db *sql.DB, from, by int) {
		run(t, db, "UPDATE records SET seq = -seq WHERE seq >= ?", from)
		run(t, db, "UPDATE records SET seq = -seq + ? WHERE seq < 0", by)
	}
	kinds := map[string]func(t *testing.T, db *sql.DB, at, other int){
		"edit": func(t *testing.T, db *sql.DB, at, other int) {
			s := []byte(line(t, db, at))
			i := 1 + other%(len(s)-2)
			s[i] ^= 1
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", string(s), at)
		},
		"edit and rechain": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "UPDATE records SET body = replace(body, '\"caller\":\"ada\"', '\"caller\":\"bob\"') || '' WHERE seq = ?", at)
			run(t, db, "UPDATE records SET body = replace(body, '\"phase\":\"frozen\"', '\"phase\":\"resumed\"') WHERE seq = ?", at)
			rechain(t, db, at)
		},
		"delete": func(t *testing.T, db *sql.DB, at, other int) { run(t, db, "DELETE FROM records WHERE seq = ?", at) },
		"delete and close up": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "DELETE FROM records WHERE seq = ?", at)
			shift(t, db, at, -1)
		},
		"delete and rechain": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "DELETE FROM records WHERE seq = ?", at)
			shift(t, db, at, -1)
			rechain(t, db, at)
		},
		"swap": func(t *testing.T, db *sql.DB, at, other int) {
			a, b := line(t, db, at), line(t, db, other)
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", b, at)
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", a, other)
		},
		"insert": func(t *testing.T, db *sql.DB, at, other int) {
			shift(t, db, at, 1)
			run(t, db, "INSERT INTO records (seq, body) VALUES (?, ?)", at, line(t, db, at+1))
		},
		"insert and rechain": func(t *testing.T, db *sql.DB, at, other int) {
			s := line(t, db, at)
			shift(t, db, at, 1)
			run(t, db, "INSERT INTO records (seq, body) VALUES (?, ?)", at, s)
			rechain(t, db, at)
		},
		"replay over another": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", line(t, db, other), at)
		},
		"replay at the end": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "INSERT INTO records (seq, body) VALUES (1001, ?)", line(t, db, at))
		},
		"truncate": func(t *testing.T, db *sql.DB, at, other int) { run(t, db, "DELETE FROM records WHERE seq >= ?", at) },
	}
	rounds := 12
	if testing.Short() {
		rounds = 2
	}
	for name, change := range kinds {
		t.Run(name, func(t *testing.T) {
			for i := range rounds {
				at, other := 1+rand.IntN(1000), 1+rand.IntN(1000)
				switch i {
				case 0:
					at = 1
				case 1:
					at = 1000
				}
				if at == other {
					other = at%1000 + 1
				}
				copied := copyDir(t, dir)
				tamper(t, copied, func(db *sql.DB) { change(t, db, at, other) })
				sum := verify(t, copied, ledger.VerifyOptions{})
				if name == "edit and rechain" && sum.Hash == whole.Hash {
					continue // there was nothing of the kind in that record
				}
				if len(sum.Findings) == 0 {
					t.Errorf("at %d (and %d): not found", at, other)
				}
				// Nothing of what the folder itself says of its end: the links, or the kept checkpoint, must do.
				if name == "truncate" || strings.Contains(name, "rechain") {
					kept, err := os.ReadFile(filepath.Join(dir, ledger.CheckpointFile))
					if err != nil {
						t.Fatal(err)
					}
					os.Remove(filepath.Join(copied, ledger.CheckpointFile))
					tamper(t, copied, func(db *sql.DB) { run(t, db, "DELETE FROM meta WHERE name = 'head'") })
					r := verify(t, copied, ledger.VerifyOptions{Checkpoint: kept})
					found := false
					for _, f := range r.Findings {
						found = found || f.Kind == ledger.WrongSigned
					}
					if !found && !(name == "insert and rechain" && at == 1000) { // that one only adds a record after the signed ones
						t.Errorf("at %d: the outside checkpoint did not show it: %+v", at, r.Findings)
					}
				}
			}
		})
	}
}

func TestTamperedTables(t *testing.T) {
	dir := thousand(t)
	for name, query := range map[string]string{
		"an unknown that may run again":   "UPDATE intents SET state = 'failed' WHERE id = (SELECT id FROM intents WHERE state = 'unknown' LIMIT 1)",
		"an intent of somebody else":      "UPDATE intents SET caller = 'bob' WHERE id = (SELECT id FROM intents LIMIT 1)",
		"an intent that is gone":          "DELETE FROM intents WHERE id = (SELECT id FROM intents LIMIT 1)",
		"a yes that nobody gave":          "UPDATE approvals SET state = 'approved' WHERE id = (SELECT id FROM approvals WHERE state = 'used' LIMIT 1)",
		"a yes for longer":                "UPDATE approvals SET expires = expires + 1 WHERE id = (SELECT id FROM approvals LIMIT 1)",
		"a yes for another payload":       "UPDATE approvals SET fingerprint = 'x' WHERE id = (SELECT id FROM approvals LIMIT 1)",
		"a yes from nowhere":              "INSERT INTO approvals (id, requester, credential, organisation, action, fingerprint, policy, recipients, needs, repeats, state, answered_by, requested, answered, expires, seq, last_seq, person, process, inbox) SELECT 'new', requester, credential, organisation, action, fingerprint, policy, recipients, needs, repeats, 'approved', answered_by, requested, answered, expires, seq, last_seq, person, process, inbox FROM approvals LIMIT 1",
		"a freeze from nowhere":           "INSERT INTO stops (at, stopped_by, note, seq) VALUES (1, 'eve', '', 1)",
		"a key destroyed in silence":      "UPDATE keys SET wrapped = NULL, tag = NULL, name = NULL, erased = 1 WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a key that is gone":              "DELETE FROM keys WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a destroyed key that came back":  "UPDATE keys SET wrapped = x'00', erased = NULL WHERE erased IS NOT NULL",
		"a key that was changed":          "UPDATE keys SET wrapped = x'00' WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a key that no name finds":        "UPDATE keys SET tag = x'00' WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a yes that was taken away":       "UPDATE approvals SET state = 'revoked' WHERE id = (SELECT id FROM approvals WHERE state = 'approved' LIMIT 1)",
		"a yes to call somebody else":     "UPDATE approvals SET recipients = 'another'",
		"a question of somebody else":     "UPDATE approvals SET person = 'eve'",
		"a question that anybody answers": "UPDATE approvals SET needs = 'validate'",
		"a question in another place":     "UPDATE approvals SET inbox = 1",
		"a checkpoint of another ledger":  "UPDATE meta SET value = 'other' WHERE name = 'head'",
		"an end that nobody has sealed":   "DELETE FROM meta WHERE name = 'head'",
		"an intent that nobody committed": "INSERT INTO intents (id, request, caller, credential, organisation, action, class, fingerprint, conflict_key, approval_id, process, keys, seq, prepared, state) SELECT 'new', request, caller, credential, organisation, action, class, fingerprint, conflict_key, approval_id, process, keys, seq + 100000, prepared, 'succeeded' FROM intents LIMIT 1",
	} {
		t.Run(name, func(t *testing.T) {
			copied := copyDir(t, dir)
			tamper(t, copied, func(db *sql.DB) { run(t, db, query) })
			if r := verify(t, copied, ledger.VerifyOptions{}); len(r.Findings) == 0 {
				t.Error("not found")
			}
		})
	}
}

// An older copy of the whole folder is in itself right: only a checkpoint that was kept elsewhere shows it.
func TestRolledBackFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	settle(t, l, commit(t, l, call("a")), ledger.Succeeded)
	l.Close()
	old := copyDir(t, dir)
	l = open(t, ledger.Options{Dir: dir})
	settle(t, l, commit(t, l, call("b")), ledger.Succeeded)
	l.Close()
	kept, err := os.ReadFile(filepath.Join(dir, ledger.CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, ledger.VerifyKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, old, ledger.VerifyOptions{}); len(r.Findings) != 0 {
		t.Fatalf("the copy itself: %+v", r.Findings)
	}
	if r := verify(t, old, ledger.VerifyOptions{Checkpoint: kept, Key: string(key)}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongSigned {
		t.Errorf("rolled back: %+v", r.Findings)
	}
	// A fork: the same number of records, other ones.
	l = open(t, ledger.Options{Dir: old})
	settle(t, l, commit(t, l, call("c")), ledger.Succeeded)
	l.Close()
	if r := verify(t, old, ledger.VerifyOptions{Checkpoint: kept, Key: string(key)}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongSigned {
		t.Errorf("forked: %+v", r.Findings)
	}
	// Signed by somebody else, or by nobody.
	other := filepath.Join(t.TempDir(), "state")
	open(t, ledger.Options{Dir: other}).Close()
	foreign, err := os.ReadFile(filepath.Join(other, ledger.VerifyKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []ledger.VerifyOptions{{Checkpoint: kept, Key: string(foreign)}, {Checkpoint: []byte("nothing")}, {Checkpoint: []byte{}}} {
		if r := verify(t, dir, o); len(r.Findings) == 0 {
			t.Errorf("%.20q was taken for a checkpoint", o.Checkpoint)
		}
	}
	l = open(t, ledger.Options{Dir: dir})
	if _, err := l.Verify(t.Context(), ledger.VerifyOptions{Key: "nonsense"}); err == nil || !strings.Contains(err.Error(), ledger.VerifyKeyFile) {
		t.Errorf("a key that is none: %v", err)
	}
}

// Whoever has the exported lines and a shell can check the chain without this program.
func TestLinesChain(t *testing.T) {
	l := open(t, ledger.Options{})
	for i := range 5 {
		settle(t, l, commit(t, l, call(fmt.Sprint(i))), ledger.Succeeded)
	}
	prev := ""
	for _, r := range records(t, l, ledger.Filter{}) {
		if prev != "" && r.Prev != prev {
			t.Errorf("record %d: prev is %s, want %s", r.Seq, r.Prev, prev)
		}
		sum := sha256.Sum256(r.Line)
		prev = hex.EncodeToString(sum[:])
	}
}
