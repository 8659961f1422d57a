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
)

// thousandRecords writes a log of a thousand records of every phase and returns its closed
// directory.
func thousandRecords(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	c := newClock()
	l := open(t, ledger.Options{Dir: dir, Now: c.now, Records: 150})
	for i := range 40 {
		c.advance(time.Second)
		name := fmt.Sprint(i)
		x := call(name)
		x.Subjects = []string{"contact:" + name}
		request := createApproval(t, l, x, c.now().Add(time.Minute))
		answer(t, l, request, ledger.Approved)
		x.ApprovalID = request.ID
		ends := []ledger.IntentState{ledger.Succeeded, ledger.Failed, ledger.NotSent, ledger.Unknown}
		in := commit(t, l, x)
		settle(t, l, in, ends[i%4])
		if i%8 == 3 {
			if err := l.Resolve(t.Context(), in.ID, ledger.Succeeded, "found in the list", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
		}
		if i == 20 {
			if _, err := l.Erase(t.Context(), "contact:3", ledger.Actor{Name: "ada"}); err != nil {
				t.Fatal(err)
			}
			if err := l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, "lunch"); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"}); err != nil {
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

func recordLine(t *testing.T, db *sql.DB, seq int) string {
	t.Helper()
	var s string
	if err := db.QueryRow("SELECT body FROM records WHERE seq = ?", seq).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// rechain repairs the links from a record on, as a careful forger would.
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
			sum := sha256.Sum256([]byte(recordLine(t, db, seq-1)))
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
	dir := thousandRecords(t)
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
			s := []byte(recordLine(t, db, at))
			i := 1 + other%(len(s)-2)
			s[i] ^= 1
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", string(s), at)
		},
		"edit and rechain": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "UPDATE records SET body = replace(body, '\"caller\":{\"name\":\"ada\"', '\"caller\":{\"name\":\"bob\"') || '' WHERE seq = ?", at)
			run(t, db, "UPDATE records SET body = replace(body, '\"phase\":\"stopped\"', '\"phase\":\"resumed\"') WHERE seq = ?", at)
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
			a, b := recordLine(t, db, at), recordLine(t, db, other)
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", b, at)
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", a, other)
		},
		"insert": func(t *testing.T, db *sql.DB, at, other int) {
			shift(t, db, at, 1)
			run(t, db, "INSERT INTO records (seq, body) VALUES (?, ?)", at, recordLine(t, db, at+1))
		},
		"insert and rechain": func(t *testing.T, db *sql.DB, at, other int) {
			s := recordLine(t, db, at)
			shift(t, db, at, 1)
			run(t, db, "INSERT INTO records (seq, body) VALUES (?, ?)", at, s)
			rechain(t, db, at)
		},
		"replay over another": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "UPDATE records SET body = ? WHERE seq = ?", recordLine(t, db, other), at)
		},
		"replay at the end": func(t *testing.T, db *sql.DB, at, other int) {
			run(t, db, "INSERT INTO records (seq, body) VALUES (1001, ?)", recordLine(t, db, at))
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
					continue // the record has no such text
				}
				if len(sum.Findings) == 0 {
					t.Errorf("at %d (and %d): not found", at, other)
				}
				// Without the local checkpoints and the code of the head, the links or the kept
				// checkpoint must show it.
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
						found = found || f.Kind == ledger.WrongCheckpoint
					}
					if !found && !(name == "insert and rechain" && at == 1000) { // this adds a record after the signed ones
						t.Errorf("at %d: the kept checkpoint did not show it: %+v", at, r.Findings)
					}
				}
			}
		})
	}
}

func TestTamperedTables(t *testing.T) {
	dir := thousandRecords(t)
	for name, query := range map[string]string{
		"an unknown intent made failed":        "UPDATE intents SET state = 'failed' WHERE id = (SELECT id FROM intents WHERE state = 'unknown' LIMIT 1)",
		"an intent of another caller":          "UPDATE intents SET caller = 'bob' WHERE id = (SELECT id FROM intents LIMIT 1)",
		"a missing intent":                     "DELETE FROM intents WHERE id = (SELECT id FROM intents LIMIT 1)",
		"an approval that nobody gave":         "UPDATE approvals SET state = 'approved' WHERE id = (SELECT id FROM approvals WHERE state = 'used' LIMIT 1)",
		"a longer approval":                    "UPDATE approvals SET expires = expires + 1 WHERE id = (SELECT id FROM approvals LIMIT 1)",
		"an approval of another payload":       "UPDATE approvals SET fingerprint = 'x' WHERE id = (SELECT id FROM approvals LIMIT 1)",
		"an approval of another effect":        "UPDATE approvals SET effect = 'x' WHERE id = (SELECT id FROM approvals LIMIT 1)",
		"an intent of another effect":          "UPDATE intents SET effect = 'x' WHERE id = (SELECT id FROM intents LIMIT 1)",
		"an intent of another kind":            "UPDATE intents SET effect_kind = 'mail' WHERE id = (SELECT id FROM intents LIMIT 1)",
		"an intent that affects others":        "UPDATE intents SET affects = 'x' WHERE id = (SELECT id FROM intents LIMIT 1)",
		"an approval without a record":         "INSERT INTO approvals (id, requester, credential, organisation, action, fingerprint, effect, policy, recipients, needs, repeats, state, answered_by, requested, answered, expires, seq, last_seq, person, process, shown) SELECT 'new', requester, credential, organisation, action, fingerprint, effect, policy, recipients, needs, repeats, 'approved', answered_by, requested, answered, expires, seq, last_seq, person, process, shown FROM approvals LIMIT 1",
		"an emergency stop without a record":   "INSERT INTO stops (scope, person, at, stopped_by, note, seq) VALUES ('everything', '', 1, '{}', '', 1)",
		"a key destroyed without a record":     "UPDATE keys SET wrapped = NULL, tag = NULL, name = NULL, erased = 1 WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a missing key":                        "DELETE FROM keys WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a destroyed key restored":             "UPDATE keys SET wrapped = x'00', erased = NULL WHERE erased IS NOT NULL",
		"a changed key":                        "UPDATE keys SET wrapped = x'00' WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"a key with another tag":               "UPDATE keys SET tag = x'00' WHERE id = (SELECT id FROM keys WHERE erased IS NULL LIMIT 1)",
		"an approval revoked without a record": "UPDATE approvals SET state = 'revoked' WHERE id = (SELECT id FROM approvals WHERE state = 'approved' LIMIT 1)",
		"an approval of other recipients":      "UPDATE approvals SET recipients = 'another'",
		"a request of another person":          "UPDATE approvals SET person = 'eve'",
		"a request that needs less":            "UPDATE approvals SET needs = 'validate'",
		"a request shown later to approvers":   "UPDATE approvals SET shown = shown + 1",
		"a wrong code of the head":             "UPDATE meta SET value = 'other' WHERE name = 'head'",
		"no code of the head":                  "DELETE FROM meta WHERE name = 'head'",
		"an intent without a record":           "INSERT INTO intents (id, request, caller, credential, organisation, action, class, fingerprint, effect, conflict_key, effect_kind, affects, approval_id, process, keys, seq, prepared, state) SELECT 'new', request, caller, credential, organisation, action, class, fingerprint, effect, conflict_key, effect_kind, affects, approval_id, process, keys, seq + 100000, prepared, 'succeeded' FROM intents LIMIT 1",
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

// TestRolledBackDirectory: an older copy of the state directory verifies; only a checkpoint that
// was kept elsewhere shows it.
func TestRolledBackDirectory(t *testing.T) {
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
	if r := verify(t, old, ledger.VerifyOptions{Checkpoint: kept, Key: string(key)}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongCheckpoint {
		t.Errorf("rolled back: %+v", r.Findings)
	}
	// A fork: the same number of other records.
	l = open(t, ledger.Options{Dir: old})
	settle(t, l, commit(t, l, call("c")), ledger.Succeeded)
	l.Close()
	if r := verify(t, old, ledger.VerifyOptions{Checkpoint: kept, Key: string(key)}); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.WrongCheckpoint {
		t.Errorf("forked: %+v", r.Findings)
	}
	// Signed by another key, or not signed.
	other := filepath.Join(t.TempDir(), "state")
	open(t, ledger.Options{Dir: other}).Close()
	foreign, err := os.ReadFile(filepath.Join(other, ledger.VerifyKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []ledger.VerifyOptions{{Checkpoint: kept, Key: string(foreign)}, {Checkpoint: []byte("nothing")}, {Checkpoint: []byte{}}} {
		if r := verify(t, dir, o); len(r.Findings) == 0 {
			t.Errorf("%.20q was accepted as a checkpoint", o.Checkpoint)
		}
	}
	l = open(t, ledger.Options{Dir: dir})
	if _, err := l.Verify(t.Context(), ledger.VerifyOptions{Key: "nonsense"}); err == nil || !strings.Contains(err.Error(), ledger.VerifyKeyFile) {
		t.Errorf("an invalid key: %v", err)
	}
}

// TestLinesChain: the exported lines form a hash chain that can be checked without this program.
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
